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
}

type About = Pick<Method, 'what' | 'kind' | 'keyEquivalents' | 'unrounded'> & Partial<Pick<Method, 'takes'>>;

/** A method for layers of one shape. */
interface KernelLayer<Names extends string> {
  /** What does not depend on the input; put on the device before the clock. Default: nothing. */
  readonly constants?: Readonly<Record<Names, Float32Array>>;
  /** Records the work and returns all of its results, the output [1,H,N,D] first. */
  record(recording: Recording, call: KernelCall, constants: Readonly<Record<Names, GpuArray>>): readonly GpuArray[];
}

/** `takes`: all layers where it is left out. */
export function kernelMethod<Names extends string>(
  { takes = () => true, ...about }: About,
  layerFor: (shape: LayerShape, backend: Backend) => KernelLayer<Names> | Promise<KernelLayer<Names>>,
): Method {
  return {
    ...about,
    takes,
    form: 'kernels',
    async open(shape, backend) {
      const gpu = await deviceOf(backend);
      const layer = await layerFor(shape, backend);
      const constants = Object.fromEntries(
        Object.entries<Float32Array>(layer.constants ?? {}).map(([name, data]) => [name, upload(gpu, data)]),
      ) as Record<Names, GpuArray>;
      return {
        prepare: async (inputs) =>
          prepare(gpu, shape, inputs, (recording, call) => layer.record(recording, call, constants)),
        release: async () => {
          free(gpu, ...Object.values<GpuArray>(constants));
          gpu.pool.trim();
        },
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
  record: (recording: Recording, call: KernelCall) => readonly GpuArray[],
): Runnable {
  const { heads: H, width: D, causal } = shape;
  const arrays = {
    q: upload(gpu, swapped(q, n, shape.heads, shape.width)),
    k: upload(gpu, swapped(k, n, shape.heads, shape.width)),
    v: upload(gpu, swapped(v, n, shape.heads, shape.width)),
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

/** Ω of m orthogonal features a head, [H,M,D]. */
export function frequencies({ heads, width: d }: LayerShape, m: number): Float32Array {
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
