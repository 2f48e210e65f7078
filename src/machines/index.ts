/** `performers.js/machines`: kernel machines on exact kernels, indefinite ones included, or on random features. */
export {
  compareFeatures,
  type FeatureComparison,
  type FeatureRow,
  featureMethods,
  kernelNames,
  methodsFor,
} from './compare-features.js';
export { featureForm, gramForm, type QuadraticForm } from './quadratic.js';
export { featureRidge, kernelRidge, type RidgeOptions, ridgePredict } from './ridge.js';
export { type KernelSums, type KernelSumsOptions, kernelSums, type Privacy } from './sums.js';
export { accuracy, type Classifier, classify, type SvcOptions, trainClassifier } from './svc.js';
export { type Regressor, regress, type SvrOptions, trainRegressor } from './svr.js';
