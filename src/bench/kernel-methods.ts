/** Methods that are this library's own WebGPU kernels, by themselves: arrays [1,H,N,D] on the device, nothing read back on the clock. */
import { orthogonalGaussian } from '../features/orf.js';
import { streamSeed } from '../features/rng.js';
import { download, free, type GpuArray, upload } from '../kernels/array.js';
import type { Gpu } from '../kernels/gpu.js';
import { type Recording, run } from '../kernels/record.js';
import type { Backend, Runnable } from './backend.js';
import type { Method } from './method.js';
import type { LayerInputs } from './reference.js';
import type { LayerShape } from './shape.js';

export interface KernelCall {
  readonly B: 1;
  readonly H: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly scale: number;
  readonly causal: boolean;
  readonly q: GpuArray; // [1,H,N,D]
  readonly k: GpuArray;
  readonly v: GpuArray;
  /** Ω of `features` orthogonal features a head [H,M,D]; of length 0 where the method has none. */
  readonly omega: GpuArray;
}

interface About extends Pick<Method, 'what' | 'kind' | 'keyEquivalents'> {
  /** M, for methods that have random features. */
  readonly features?: number;
}

/** `record` records the work and returns all of its results, the output [1,H,N,D] first. */
export function kernelMethod(
  { features = 0, ...about }: About,
  record: (recording: Recording, call: KernelCall) => readonly GpuArray[],
): Method {
  return {
    ...about,
    form: 'kernels',
    async open(shape, backend) {
      const gpu = await deviceOf(backend);
      return {
        prepare: async (inputs) => prepare(gpu, shape, inputs, { features, record }),
        release: async () => gpu.pool.trim(),
      };
    },
  };
}

function deviceOf(backend: Backend): Promise<Gpu> {
  if (backend.gpu) return backend.gpu();
  throw new TypeError('kernels run on WebGPU, and this backend has none');
}

function prepare(
  gpu: Gpu,
  shape: LayerShape,
  { n, q, k, v }: LayerInputs,
  { features, record }: { features: number; record: Parameters<typeof kernelMethod>[1] },
): Runnable {
  const { heads: H, width: D, causal } = shape;
  const arrays = {
    q: upload(gpu, swapped(q, n, shape.heads, shape.width)),
    k: upload(gpu, swapped(k, n, shape.heads, shape.width)),
    v: upload(gpu, swapped(v, n, shape.heads, shape.width)),
    omega: upload(gpu, frequencies(H, features, D)),
  };
  const call: KernelCall = { ...arrays, B: 1, H, N: n, S: n, D, E: D, scale: D ** -0.5, causal };
  let results: readonly GpuArray[] = [];
  return {
    async run() {
      free(gpu, ...results);
      results = [];
      results = await run(gpu, (recording) => record(recording, call));
      await gpu.device.queue.onSubmittedWorkDone();
    },
    output: async () => swapped(Float32Array.from(await download(gpu, results[0])), shape.heads, n, shape.width),
    release: async () => free(gpu, ...results, ...Object.values(arrays)),
  };
}

/** [H,M,D]; one number where M is 0, as buffers are never empty. */
function frequencies(heads: number, m: number, d: number): Float32Array {
  if (m === 0) return new Float32Array(1);
  const out = new Float32Array(heads * m * d);
  for (let h = 0; h < heads; h++) out.set(orthogonalGaussian({ m, d, seed: streamSeed(0, h) }), h * m * d);
  return out;
}

/** [A,B,D] → [B,A,D] */
function swapped(x: Float32Array, a: number, b: number, width: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++) {
      const from = (i * b + j) * width;
      out.set(x.subarray(from, from + width), (j * a + i) * width);
    }
  return out;
}
