/** `performers.js/kernels`: attention on WebGPU, for graphs that leave their attention to it and for use on its own. */
export { PerformersError } from '../errors.js';
export { download, type ElementType, free, type GpuArray, upload } from './array.js';
export { attend } from './attend.js';
export type { AttendInput, Band, BlockList } from './attend-input.js';
export { type CausalInput, type CausalResult, causalAttention, decodeStep, emptyState } from './causal.js';
export { type FeatureAttentionInput, type FeatureState, featureAttention } from './double-softmax.js';
export { type Gpu, type GpuOptions, type KernelLimits, openGpu } from './gpu.js';
export { type HybridCodebook, type HybridInput, hybridAttention } from './hybrid.js';
export { type LowBitInput, lowBitAttention } from './low-bit.js';
export { type AttendResult, merge } from './merge.js';
export type { BufferPool, PoolCounts } from './pool.js';
export { type Recording, run } from './record.js';
export { type SparseInput, sparseAttention } from './sparse.js';
