/** `performers.js/quant`: features and weights in few bits. */
export { decodeQuantized, encodeQuantized } from './file.js';
export { type LowBitFeatures, type LowBitOptions, lowBitFeatures } from './low-bit-features.js';
export { type DeepKernelShape, deepKernelBytes, widthForBudget } from './memory.js';
export { packCodes, packedBytes, unpackCodes } from './pack.js';
export { type BitPlan, type BitPlanOptions, planBits } from './planner.js';
export { type SchemeName, schemes } from './registry.js';
export type { Quantized } from './scheme.js';
