/** `performers.js/attention`: the attention modules of the plans on arrays, in float64, for trying them without a model. */
export { PerformersError } from '../errors.js';
export { type AsymmetricFeatures, doubleSoftmax, type PositiveFeatures } from './double-softmax.js';
export { type AttentionInput, exactAttention, type Reals } from './exact.js';
export {
  type Denominator,
  liftOf,
  type RowSums,
  type SignedAttention,
  type SignedAttentionOptions,
  type SignedNormaliser,
  signedAttention,
  signedNormalisers,
} from './signed.js';
export { type WindowOptions, windowAttention } from './window.js';
