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

/** Arrays that do not depend on the input, by name. */
type Arrays<Names extends string> = Readonly<Record<Names, Float32Array>>;

interface About<Names extends string> extends Pick<Method, 'what' | 'kind' | 'keyEquivalents' | 'unrounded'> {
  /** Default: all layers. */
  readonly takes?: Method['takes'];
  /** Put on the device before the clock. Default: none. */
  readonly constants?: (shape: LayerShape, backend: Backend) => Promise<Arrays<Names>> | Arrays<Names>;
}

type RecordCall<Names extends string> = (
  recording: Recording,
  call: KernelCall,
  constants: Readonly<Record<Names, GpuArray>>,
) => readonly GpuArray[];

/** `record` records the work and returns all of its results, the output [1,H,N,D] first. */
export function kernelMethod<Names extends string = never>(
  { constants, takes = () => true, ...about }: About<Names>,
  record: RecordCall<Names>,
): Method {
  return {
    ...about,
    takes,
    form: 'kernels',
    async open(shape, backend) {
      const gpu = await deviceOf(backend);
      const given = (await constants?.(shape, backend)) ?? {};
      const held = Object.fromEntries(Object.entries<Float32Array>(given).map(([name, x]) => [name, upload(gpu, x)]));
      return {
        prepare: async (inputs) =>
          prepare(gpu, shape, inputs, (recording, call) =>
            record(recording, call, held as Readonly<Record<Names, GpuArray>>),
          ),
        release: async () => {
          free(gpu, ...Object.values(held));
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
