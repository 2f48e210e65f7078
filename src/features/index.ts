/**
 * `performers.js/features`: random features by themselves, without ONNX and without attention. Registries name what there is;
 * the functions behind them are exported too, so that a bundle carries only what it uses. docs/features.md describes each.
 */
export { PerformersError } from '../errors.js';
export { type AsymmetricConstants, type AsymmetricOptions, aderf, type SideMoments } from './aderf.js';
export { circulantApply, signedCirculant } from './circulant.js';
export { type CosformerOptions, cosformer } from './cosformer.js';
export { type AlignmentOptions, alignment } from './data/alignment.js';
export { energyBased } from './data/energy.js';
export { type DataOptions, type DataSampler, type Frequencies, frequencyMap } from './data/frequencies.js';
export { type LeverageOptions, leverage } from './data/leverage.js';
export { surrogateLeverage } from './data/surrogate-leverage.js';
export { fastfood, fastfoodApply } from './fastfood.js';
export { type FeatureConstants, type FeatureMap, type FeatureOptions, favorPlus } from './favor-plus.js';
export { type Draw, iidGaussian, type Sampler } from './gaussian.js';
export { activations, generalized } from './generalized.js';
export { haltonGaussian } from './halton.js';
export { type HedgehogOptions, hedgehog } from './hedgehog.js';
export { type HybridOptions, hrf } from './hrf.js';
export { antithetic, hyperbolic } from './hyperbolic.js';
export { gram, type Kernel, type Profile, type Series } from './kernels/kernel.js';
export type { SignedMeasure, SpectralPart } from './kernels/measure.js';
export { type KernelFactory, type KernelName, kernels } from './kernels/registry.js';
export type { LandmarkChoice, LandmarkOptions } from './landmarks/choose.js';
export { clusters } from './landmarks/clusters.js';
export { volumeSampled } from './landmarks/dpp.js';
export { kMeans } from './landmarks/k-means.js';
export type { LandmarkMapFactory, LandmarkMapOptions } from './landmarks/landmark-map.js';
export { nystrom } from './landmarks/nystrom.js';
export { greedy, randomlyPivoted } from './landmarks/pivoted.js';
export { uniformRows } from './landmarks/uniform.js';
export { latticeGaussian } from './lattice.js';
export { type MaclaurinOptions, maclaurin } from './maclaurin.js';
export { momentMatched } from './moment-matching.js';
export type { CalibratedOptions, PairMoments } from './moments.js';
export { oprf, type WidenedOptions } from './oprf.js';
export { orthogonalGaussian, orthonormalRows } from './orf.js';
export { type BudgetedDraw, budgeted, pModelApply } from './p-model.js';
export { type PolysketchOptions, polysketch } from './polysketch.js';
export { quasiOrthogonal } from './qmc-orf.js';
export {
  type AsymmetricMapName,
  applies,
  asymmetricMaps,
  type DataSamplerName,
  dataSamplers,
  type FeatureMapName,
  featureMaps,
  type LandmarkChoiceName,
  type LandmarkMapName,
  landmarkChoices,
  landmarkMaps,
  type PairMapName,
  pairMaps,
  type RowMapName,
  rowMaps,
  type SamplerName,
  samplers,
  samplerTransforms,
} from './registry.js';
export { type ReluOptions, relu } from './relu.js';
export type { PairMap, RowMap, RowMapFactory, RowMapOptions } from './row-map.js';
export { sderf } from './sderf.js';
export { shifted } from './shift.js';
export { fourierMap } from './signed/fourier.js';
export { type MethodName, methods } from './signed/registry.js';
export {
  type FitOptions,
  type FourierBlock,
  type FourierConstants,
  type KernelFeatures,
  type SignedMap,
  signedGram,
} from './signed/signed-map.js';
export { simplexGaussian } from './simrf.js';
export { sobolGaussian } from './sobol.js';
export { sorfApply, structuredOrthogonal } from './sorf.js';
export { sphericalSet, sphericalStructured, ssfApply } from './ssf.js';
export type { Apply } from './structured.js';
export { taylor2 } from './taylor2.js';
export { type TensorSketchOptions, tensorSketch } from './tensor-sketch.js';
export { trig } from './trig.js';
