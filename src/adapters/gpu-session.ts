/**
 * Sessions of onnxruntime on WebGPU whose trouble has a name, and which run kernels where a graph leaves its attention to them: the segments of
 * the graph (rewrite/segments.ts) are sessions of their own, the kernels between them work on their device and their buffers, and
 * nothing is read back on the way.
 */
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { concat, encode } from '../onnx/encode.js';
import { TensorProto_DataType as DataType } from '../onnx/gen/onnx.js';
import { allGraphs, type Model, openModel } from '../onnx/graph.js';
import { inferShapes } from '../onnx/shapes.js';
import { cutAtKernels, hasKernels, type Segment } from '../rewrite/segments.js';
import {
  type GpuRuntime,
  lossNow,
  lossOf,
  lostDuringRun,
  sessionDevice,
  whenLost,
  workingProviders,
} from './gpu-device.js';
import type { Kernels } from './kernel-calls.js';
import type { SessionOptions } from './ort.js';
import { type Fetches, type InnerSession, type Parts, runSegments, type Tensors } from './segment-run.js';

type Location = 'cpu' | 'gpu-buffer';

/** The handler of a session. @throws PerformersError PF701–PF704 */
export async function openGpuSession(ort: GpuRuntime, bytes: Uint8Array, options: SessionOptions) {
  const [provider] = options.executionProviders ?? [];
  const asked = (provider as unknown as { providers: NonNullable<SessionOptions['executionProviders']> }).providers;
  const model = openModel(decode(bytes));
  const providers = await workingProviders(ort, asked, { f16: computesInF16(model) });
  const cut = hasKernels(model) ? cutAtKernels(model) : { segments: [wholeModel(model)], lastUse: new Map() };
  if ('uncut' in cut) throw new TypeError(`linearize() leaves to kernels what can be cut: ${cut.uncut}`);
  const { segments, lastUse } = cut;
  const inner: SessionOptions = { ...options, executionProviders: providers };
  const sessions: (InnerSession | undefined)[] = [];
  let kernels: Kernels | undefined;
  const release = async () => {
    kernels?.destroy();
    for (const session of sessions) await session?.release();
  };
  try {
    for (const segment of segments) {
      const whole = segments.length === 1 && segment.calls.length === 0;
      const own = segment.outputs.length === 0 ? undefined : whole ? inner : withCrossings(model, segment, inner);
      sessions.push(own && (await createInner(ort, whole ? bytes : concat(encode(segment.model)), own)));
    }
    const device = await sessionDevice(ort, providers);
    const calls = segments.flatMap((segment) => segment.calls);
    // Whoever splices nothing loads no kernels.
    if (calls.length > 0) kernels = await (await import('./kernel-calls.js')).openKernels(device, calls);
    return handlerOf({ ort, segments, sessions, kernels, lastUse }, { model, device, release });
  } catch (error) {
    await release().catch(() => undefined);
    throw error;
  }
}

function wholeModel({ proto, graph }: Model): Segment {
  const own = graph.proto.output.map(({ name = '' }) => ({ name, onCpu: true }));
  return { model: proto, inputs: graph.proto.input.map(({ name = '' }) => name), outputs: own, calls: [] };
}

async function createInner(ort: GpuRuntime, bytes: Uint8Array, options: SessionOptions): Promise<InnerSession> {
  return (await ort.InferenceSession.create(bytes, options)) as InnerSession;
}

/** Outputs of the model go where they were asked for, what later segments read stays on the GPU. */
function withCrossings({ graph }: Model, { outputs }: Segment, options: SessionOptions): SessionOptions {
  const { preferredOutputLocation: asked } = options;
  const placeOf = (name: string, onCpu: boolean): Location => {
    if (!graph.isOutput(name)) return onCpu ? 'cpu' : 'gpu-buffer';
    return ((typeof asked === 'string' ? asked : asked?.[name]) ?? 'cpu') as Location;
  };
  const places = outputs.map(({ name, onCpu }) => [name, placeOf(name, onCpu)] as const);
  return { ...options, preferredOutputLocation: Object.fromEntries(places) };
}

interface Opened {
  readonly model: Model;
  readonly device: GPUDevice;
  release(): Promise<void>;
}

function handlerOf(parts: Parts, { model, device, release }: Opened) {
  const { sessions } = parts;
  const inputNames = namesOf(model.graph.proto.input.filter(({ name = '' }) => !model.graph.initializer(name)));
  const outputNames = namesOf(model.graph.proto.output);
  const metadataOf = (names: readonly string[], side: 'inputMetadata' | 'outputMetadata') =>
    names.flatMap((name) => {
      const known = sessions.flatMap((session) => session?.[side] ?? []).find((entry) => entry.name === name);
      return known ? [known] : [];
    });
  let last: Promise<unknown> = Promise.resolve();
  return {
    inputNames,
    outputNames,
    inputMetadata: metadataOf(inputNames, 'inputMetadata'),
    outputMetadata: metadataOf(outputNames, 'outputMetadata'),
    run(feeds: Tensors, fetches: Fetches, options: object): Promise<Tensors> {
      // onnxruntime runs one session at a time, and a run here is several.
      const own = last.then(() => watched(device, () => runSegments(parts, { feeds, fetches, options })));
      last = own.catch(() => undefined);
      return own;
    },
    dispose: release,
    startProfiling() {
      for (const session of sessions) session?.startProfiling();
    },
    endProfiling() {
      for (const session of sessions) session?.endProfiling();
    },
  };
}

const namesOf = (infos: readonly { readonly name?: string }[]) => infos.map(({ name = '' }) => name);

/** Milliseconds from the loss of a device until a run on it is given up. */
const grace = 3000;

/** What goes wrong on a device while `work` is done, by its name. @throws PerformersError PF703, PF704 */
async function watched<T>(device: GPUDevice, work: () => Promise<T>): Promise<T> {
  const before = lossNow(device);
  if (before) throw lostDuringRun(before);
  let off = () => {};
  const lost = new Promise<never>((_, reject) => {
    // onnxruntime is given time to come back: a session opened while it is still at work would be damaged.
    off = whenLost(device, (info) => setTimeout(() => reject(lostDuringRun(info)), grace));
  });
  lost.catch(() => undefined);
  device.pushErrorScope('out-of-memory');
  try {
    const [outcome] = await Promise.race([Promise.allSettled([work()]), lost]);
    const error = await Promise.race([device.popErrorScope(), lost]);
    if (error) throw outOfMemory(error);
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  } catch (cause) {
    // Whatever a run on a lost device fails with, that is the reason.
    const info = lossNow(device) ?? (cause instanceof PerformersError ? undefined : await lossOf(device));
    throw info ? lostDuringRun(info, cause) : cause;
  } finally {
    off();
  }
}

function outOfMemory(error: GPUError): PerformersError {
  return new PerformersError('PF703', `the device could not allocate: ${error.message}`, {
    at: 'session.run',
    mend: 'use a shorter input, a smaller batch or a cheaper plan, or release sessions that are no longer needed',
    cause: error,
  });
}

/** Whether anything is computed in float16. Weights that are stored so and cast are not: that is done once, on the CPU. */
function computesInF16(model: Model): boolean {
  const shapes = inferShapes(model);
  return allGraphs(model.graph).some((graph) =>
    graph.nodes.some(
      (node) =>
        node.opType !== 'Cast' && node.input.some((value) => shapes(graph, value).elemType === DataType.FLOAT16),
    ),
  );
}
