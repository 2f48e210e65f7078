/** One run of the segments of a graph and the kernels between them. */
import type { Segment } from '../rewrite/segments.js';
import type { GpuRuntime } from './gpu-device.js';
import type { GpuTensor, Kernels } from './kernel-calls.js';
import type { OrtTensor } from './ort.js';

export type Tensors = Readonly<Record<string, OrtTensor>>;
export type Fetches = Readonly<Record<string, OrtTensor | null>>;

/** A session of the runtime, with what is used of it. */
export interface InnerSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata?: readonly { readonly name: string }[];
  readonly outputMetadata?: readonly { readonly name: string }[];
  run(feeds: Tensors, fetches?: Fetches, options?: object): Promise<Tensors>;
  release(): Promise<void>;
  startProfiling(): void;
  endProfiling(): void;
}

export interface Parts {
  readonly ort: GpuRuntime;
  readonly segments: readonly Segment[];
  /** Of each segment; none where all that its kernels read are inputs of the model. */
  readonly sessions: readonly (InnerSession | undefined)[];
  readonly kernels?: Kernels;
  /** See Segmented. */
  readonly lastUse: ReadonlyMap<string, number>;
}

/** A value on its way from one segment to others. */
interface Held {
  readonly tensor: OrtTensor;
  release(): void;
}

/** What `fetches` names. Whatever else is made on the way is given back, also where a segment fails. */
export async function runSegments(
  { ort, segments, sessions, kernels, lastUse }: Parts,
  { feeds, fetches, options }: { feeds: Tensors; fetches: Fetches; options?: object },
): Promise<Tensors> {
  const held = new Map<string, Held>();
  const accepted: Promise<void>[] = [];
  const done: Record<string, OrtTensor> = {};
  const tensorOf = (name: string): OrtTensor | undefined => held.get(name)?.tensor ?? done[name] ?? feeds[name];
  const drop = (name: string) => {
    held.get(name)?.release();
    held.delete(name);
  };
  try {
    for (const [index, segment] of segments.entries()) {
      const session = sessions[index];
      if (session) {
        const given = segment.inputs.flatMap((name) => {
          const tensor = tensorOf(name);
          return tensor ? [[name, tensor] as const] : [];
        });
        const wanted = segment.outputs.map(({ name }) => [name, fetches[name] ?? null] as const);
        const outputs = await session.run(Object.fromEntries(given), Object.fromEntries(wanted), options);
        for (const [name, tensor] of Object.entries(outputs)) {
          if (name in fetches) done[name] = tensor;
          else held.set(name, { tensor, release: () => dispose(tensor) });
        }
      }
      for (const call of segment.calls) {
        if (!kernels) throw new TypeError('a graph with kernel nodes is opened with kernels');
        const { context, accepted: own } = kernels.submit(call, (name) => {
          const tensor = tensorOf(name);
          if (!tensor) throw new TypeError(`a kernel reads '${name}', which nothing has made`);
          return tensor;
        });
        // Heard at the end of the run; until then a refusal is no unhandled rejection.
        own.catch(() => undefined);
        accepted.push(own);
        const tensor = ort.Tensor.fromGpuBuffer(context.array.buffer, { dataType: 'float32', dims: context.dims });
        held.set(call.output, { tensor, release: () => kernels.free(context) });
      }
      for (const [name, last] of lastUse) if (last === index) drop(name);
    }
    await Promise.all(accepted);
    return done;
  } catch (error) {
    for (const tensor of Object.values(done)) dispose(tensor);
    throw error;
  } finally {
    for (const name of [...held.keys()]) drop(name);
  }
}

function dispose(tensor: OrtTensor): void {
  if (tensor.location === 'gpu-buffer') (tensor as GpuTensor).dispose();
}
