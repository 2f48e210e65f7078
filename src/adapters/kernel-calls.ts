/** Runs the kernels that a graph was cut at (rewrite/segments.ts), on the device and the buffers of onnxruntime. */
import { free, type GpuArray, upload } from '../kernels/array.js';
import { attend } from '../kernels/attend.js';
import { featureAttention } from '../kernels/double-softmax.js';
import { type Gpu, openGpu } from '../kernels/gpu.js';
import { hybridAttention } from '../kernels/hybrid.js';
import type { PoolCounts } from '../kernels/pool.js';
import { type Recording, submitNow } from '../kernels/record.js';
import type { KernelCall } from '../rewrite/segments.js';
import type { OrtTensor } from './ort.js';

/** A tensor of onnxruntime whose data may lie on the GPU. */
export interface GpuTensor extends OrtTensor {
  readonly gpuBuffer: GPUBuffer;
  dispose(): void;
}

/** A context [B,H,N,E] on the device. */
export interface Context {
  readonly array: GpuArray;
  readonly dims: readonly number[];
}

export interface Kernels {
  /** Submits a call, behind whatever was submitted before. `accepted` says whether the device took it. */
  submit(call: KernelCall, tensorOf: (value: string) => OrtTensor): { context: Context; accepted: Promise<void> };
  /** Back to the pool, once what reads it is submitted. */
  free(context: Context): void;
  counts(): PoolCounts;
  destroy(): void;
}

/** Puts the constants of all calls on the device. @throws PerformersError PF703, PF704 */
export async function openKernels(device: GPUDevice, calls: readonly KernelCall[]): Promise<Kernels> {
  const gpu = await openGpu({ device });
  const constants = new Map(
    calls.map((call) => [call, call.constants.map((data) => data && upload(gpu, data))] as const),
  );
  return {
    submit(call, tensorOf) {
      const uploaded: GpuArray[] = [];
      const operand = (value: string): Operand => {
        const tensor = tensorOf(value);
        const array = onDevice(gpu, tensor as GpuTensor);
        if (tensor.location !== 'gpu-buffer') uploaded.push(array);
        return { array, dims: tensor.dims };
      };
      const operands = {
        ...{ q: operand(call.q), k: operand(call.k), v: operand(call.v) },
        keyBias: call.keyBias === undefined ? undefined : operand(call.keyBias),
      };
      const { value, accepted } = submitNow(gpu, (recording) =>
        record(recording, call, {
          ...operands,
          gridDims: call.grid === undefined ? undefined : tensorOf(call.grid).dims,
          constants: constants.get(call) ?? [],
        }),
      );
      free(gpu, ...uploaded, ...value.unread);
      return { context: value.context, accepted };
    },
    free: ({ array }) => free(gpu, array),
    counts: () => gpu.pool.counts(),
    destroy: () => gpu.destroy(),
  };
}

interface Operand {
  readonly array: GpuArray;
  readonly dims: readonly number[];
}

/** Its data are asked for only where they are: a tensor refuses to hand out what lies elsewhere. */
function onDevice(gpu: Gpu, tensor: GpuTensor): GpuArray {
  const length = tensor.dims.reduce((size, dim) => size * dim, 1);
  if (tensor.location === 'gpu-buffer') return { buffer: tensor.gpuBuffer, type: 'f32', length };
  return upload(gpu, tensor.data as Float32Array);
}

interface Operands {
  readonly q: Operand; // [B or 1,H,N,D]
  readonly k: Operand; // [B or 1,G,S,D]
  readonly v: Operand; // [B or 1,G,S,E]
  readonly keyBias?: Operand; // [B or 1,1,1,S]
  readonly gridDims?: readonly number[]; // 1, 1, rows, columns
  readonly constants: readonly (GpuArray | undefined)[];
}

function record(
  recording: Recording,
  { operator, attributes }: KernelCall,
  { constants, gridDims, ...operands }: Operands,
): { context: Context; unread: readonly GpuArray[] } {
  const [[, H, N, D], [, G, S], [, , , E]] = [operands.q.dims, operands.k.dims, operands.v.dims];
  const B = Math.max(operands.q.dims[0], operands.k.dims[0], operands.v.dims[0]);
  const batched = (operand: Operand) => repeat(recording, operand, B);
  const { scale, exactUpTo = 0 } = attributes;
  const keyBias = operands.keyBias && batched(operands.keyBias);
  const arrays = { q: batched(operands.q), k: batched(operands.k), v: batched(operands.v) };
  const sizes = { B, H, G, N, S, D, E };
  const context = (array: GpuArray) => ({ array, dims: [B, H, N, E] });
  if (operator === 'Attend' || N <= exactUpTo) {
    const { causal = 0, before, after } = attributes;
    const band = causal || before !== undefined ? { causal: causal === 1, before, after } : undefined;
    const { out, lse } = attend(recording, { ...sizes, ...arrays, scale, bias: keyBias, band });
    return { context: context(out), unread: [lse] };
  }
  if (operator === 'FeatureAttention') {
    const [omega, featureBias] = constants;
    if (!omega) throw new TypeError('FeatureAttention has an omega');
    const { queryScale, keyScale } = attributes;
    const M = omega.length / (H * D);
    const given = { ...sizes, ...arrays, M, omega, featureBias, keyBias, scale: queryScale, keyScale };
    const { out, lse } = featureAttention(recording, given);
    return { context: context(out), unread: [lse] };
  }
  const [query, weights, offsets, listed] = constants;
  const { block, window, tile, halo, front, globals, sinks, codes } = attributes;
  const codebook = weights && offsets ? { codes, weights, offsets } : undefined;
  const near = gridDims ? { grid: { rows: gridDims[2], columns: gridDims[3], tile, halo, front } } : { block, window };
  const given = { ...{ B, H, N, D, E }, ...arrays, scale, keyBias, ...near, globals, sinks, query, listed, codebook };
  return { context: context(hybridAttention(recording, given)), unread: [] };
}

/** What is the same for all of the batch, once for each. */
function repeat(recording: Recording, { array, dims: [batch] }: Operand, B: number): GpuArray {
  if (batch === B) return array;
  const all = recording.scratch('f32', B * array.length);
  for (let row = 0; row < B; row++) recording.copy(array, all, row * array.length);
  return all;
}
