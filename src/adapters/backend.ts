import { nearest, PerformersError } from '../errors.js';
import { readPlan } from '../rewrite/plan.js';
import { checkFeeds, checkLogits, type DecoderFacts } from './decoder-calls.js';
import { type ModelSource, readModel, withWeights } from './model-file.js';
import type { Opened, OpenOptions, SessionReport } from './open-model.js';
import type { OnnxRuntime, OrtSession, OrtTensor, SessionOptions } from './ort.js';
import { checkRuntime, createOrtSession, runFailure, toOrtTensor } from './ort-session.js';

/*
 * What this rests on, verified with @huggingface/transformers 4.3.1 and 3.8.1 (test/adapters, test/browser):
 *  - A backend registered under a name is chosen by `executionProviders: [name]`, and only then: its priority is
 *    negative, so sessions that do not name it (other models of the page) never meet it.
 *  - transformers.js keeps `session_options.executionProviders` where given. `device` then only decides the dtype, and
 *    with 'webgpu' that the KV cache stays on the GPU (`preferredOutputLocation`, which reaches us and is passed on).
 *  - The handler is given the model after transformers.js has cached it: a path in Node, bytes where there is no file.
 *    What is patched here is therefore in no cache.
 *  - onnxruntime-common keeps its backends in the module: the copy that transformers.js uses must be the one we
 *    register with. In Node that is onnxruntime-node's own copy, in browsers the one inside 'onnxruntime-web/webgpu'
 *    (4.x) or 'onnxruntime-web' (3.x). A build of transformers.js with onnxruntime inside (CDN) takes the one it finds at
 *    globalThis[Symbol.for('onnxruntime')] when it is loaded (transformers.global.ts).
 *  - `session.inputNames` is the very array of the handler, which is how report() finds what belongs to a session.
 */

/** An onnxruntime module that takes backends. */
export interface BackendRuntime extends OnnxRuntime {
  readonly env: { readonly versions: { readonly node?: string }; readonly wasm: { numThreads?: number } };
  registerBackend(name: string, backend: object, priority: number): void;
}

/** `Backend` and `InferenceSessionHandler` of onnxruntime-common, as far as they are called. */
interface Backend {
  init(): Promise<void>;
  createInferenceSessionHandler(model: string | Uint8Array, options?: SessionOptions): Promise<SessionHandler>;
}

interface SessionHandler {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata?: readonly unknown[];
  readonly outputMetadata?: readonly unknown[];
  run(feeds: Tensors, fetches: Fetches, options: object): Promise<Tensors>;
  dispose(): Promise<void>;
  startProfiling(): void;
  endProfiling(): void;
}

type Tensors = Readonly<Record<string, OrtTensor>>;
type Fetches = Readonly<Record<string, OrtTensor | null>>;

/** What an onnxruntime session has beyond `OrtSession`. Metadata exist from 1.22 on. */
interface FullSession extends OrtSession {
  readonly inputMetadata?: readonly unknown[];
  readonly outputMetadata?: readonly unknown[];
  run(feeds: Tensors, fetches?: Fetches, options?: object): Promise<Tensors>;
  startProfiling?(): void;
  endProfiling?(): void;
}

const devices = {
  cpu: 'cpu',
  wasm: 'wasm',
  webgpu: 'webgpu',
  cuda: 'cuda',
  dml: 'dml',
  coreml: 'coreml',
  webnn: { name: 'webnn', deviceType: 'cpu' },
  'webnn-cpu': { name: 'webnn', deviceType: 'cpu' },
  'webnn-gpu': { name: 'webnn', deviceType: 'gpu' },
  'webnn-npu': { name: 'webnn', deviceType: 'npu' },
} as const;

/** The devices of transformers.js, without 'auto' and 'gpu': which one runs must be known. */
export type Device = keyof typeof devices;

export interface PerformersOptions extends OpenOptions {
  /**
   * Where the model runs; say it here, not to the pipeline. In Node, 'wasm' runs it in onnxruntime-web as a browser
   * would. Default 'cpu' in Node, 'wasm' in browsers.
   */
  readonly device?: Device;
  /** Threads of one operator. Default: 1 for 'wasm' in Node, otherwise as onnxruntime is set. */
  readonly numThreads?: number;
  /** Passed on to `InferenceSession.create`; `executionProviders` given here win over `device`. */
  readonly sessionOptions?: SessionOptions;
  /** The onnxruntime module that transformers.js uses, where it is another copy than the one found here. */
  readonly ort?: BackendRuntime;
  /** Runs the model as it is, on the same terms: what a comparison starts from. Default false. */
  readonly original?: boolean;
}

/** Spread into the options of `pipeline()` or `from_pretrained()`, after any of its own. */
export interface PipelineOptions {
  device: Device | 'auto';
  session_options: SessionOptions;
}

/** A pipeline or a model of transformers.js. */
export interface ReportCarrier {
  readonly model?: ReportCarrier;
  readonly sessions?: Readonly<Record<string, { readonly inputNames: readonly string[] }>>;
}

/** What the adapter does differently in Node and in a browser. */
export interface Host {
  readonly defaultDevice: Device;
  /** What transformers.js is told of a device: it knows some of them only elsewhere. */
  deviceFor(device: Device): Device | 'auto';
  /** The onnxruntime module of transformers.js. @throws PerformersError PF301 */
  findRuntime(): BackendRuntime;
  /** The module that runs the models, and what its sessions need. @throws PerformersError PF202, PF301 */
  openRuntime(outer: BackendRuntime, device: Device, numThreads?: number): Promise<Engine>;
}

export interface Engine {
  readonly ort: OnnxRuntime;
  readonly sessionOptions: SessionOptions;
}

export interface Performers {
  /**
   * Options for `pipeline(task, model, { ...performers(options) })` that make it linearize the model as it is loaded.
   *
   * @throws PerformersError PF201 (unknown plan), PF202 (unknown device, bad option), PF301 (no onnxruntime found). Loading the pipeline throws the
   * errors of linearize, and PF301 when the model cannot be opened; running it PF302, decoders PF304–PF307
   */
  (options?: PerformersOptions): PipelineOptions;
  /**
   * What was done to each model of a pipeline, by session name ('model', 'encoder_model', ...).
   *
   * @throws PerformersError PF303 when none of its sessions was made by performers()
   */
  report(carrier: ReportCarrier): Record<string, SessionReport>;
  /**
   * Names the cause where transformers.js fails with "no available backend found"; any other error is handed back.
   *
   *     const pipe = await pipeline(task, model, { ...performers() }).catch((error) => { throw performers.explain(error); });
   */
  explain(error: unknown): unknown;
}

// Two copies of this file on one page must not meet under one name: onnxruntime refuses a name taken.
const copy = Math.random().toString(36).slice(2, 8);
let count = 0;

/** Report by the handler's own `inputNames`; the original has none. */
const reports = new WeakMap<readonly string[], SessionReport | undefined>();

/** The adapter for transformers.js of one environment. */
export function createPerformers(host: Host): Performers {
  return Object.assign(
    (options: PerformersOptions = {}): PipelineOptions => {
      const device = readDevice(options.device ?? host.defaultDevice);
      checkPlans(options);
      const outer = options.ort ?? host.findRuntime();
      checkRuntime(outer);
      const name = `performers-${copy}-${++count}`;
      outer.registerBackend(name, createBackend(host, outer, { ...options, device }), -1);
      return {
        device: host.deviceFor(device),
        session_options: { ...options.sessionOptions, executionProviders: [name] },
      };
    },
    { report: readReports, explain },
  );
}

function createBackend(host: Host, outer: BackendRuntime, options: PerformersOptions & { device: Device }): Backend {
  const { device, numThreads, sessionOptions, ort, original, ...openOptions } = options;
  let engine: Promise<Engine> | undefined;
  return {
    init: async () => {},
    async createInferenceSessionHandler(model, given = {}) {
      engine ??= host.openRuntime(outer, device, numThreads);
      const inner = await engine;
      const source = await readModel(model);
      const executionProviders = sessionOptions?.executionProviders ?? [devices[device]];
      const innerOptions = { ...given, ...inner.sessionOptions, executionProviders };
      const open = original ? openOriginal : (await import('./open-model.js')).openLinearized;
      const { session, report, decoder }: OpenedHere = await open(inner.ort, source, innerOptions, openOptions);
      const handler = createHandler(session as FullSession, outer, inner.ort, decoder);
      reports.set(handler.inputNames, report);
      return handler;
    },
  };
}

/** Of an original there is nothing to say. */
type OpenedHere = Partial<Opened> & Pick<Opened, 'session'>;

async function openOriginal(ort: OnnxRuntime, source: ModelSource, options: SessionOptions): Promise<OpenedHere> {
  const complete = await withWeights(ort, source, options);
  return { session: await createOrtSession(ort, source.bytes, complete, source.path) };
}

/** A handler of the runtime `outer` around the public face of a session of the runtime `inner`. */
function createHandler(
  session: FullSession,
  outer: OnnxRuntime,
  inner: OnnxRuntime,
  decoder?: DecoderFacts,
): SessionHandler {
  // One Tensor class: tensors pass as they are, on the GPU too. Two: wrapped anew around the same data.
  const into = inner === outer ? (tensor: OrtTensor) => tensor : (tensor: OrtTensor) => toOrtTensor(inner, tensor);
  const back = inner === outer ? (tensor: OrtTensor) => tensor : (tensor: OrtTensor) => toOrtTensor(outer, tensor);
  return {
    inputNames: [...session.inputNames],
    outputNames: [...session.outputNames],
    inputMetadata: session.inputMetadata,
    outputMetadata: session.outputMetadata,
    async run(feeds, fetches, options) {
      try {
        if (decoder) checkFeeds(feeds, decoder);
        const outputs = await session.run(
          mapValues(feeds, into),
          mapValues(fetches, (tensor) => tensor && into(tensor)),
          options,
        );
        if (decoder) checkLogits(feeds, outputs);
        return mapValues(outputs, back);
      } catch (cause) {
        throw runFailure(cause);
      }
    },
    dispose: () => session.release(),
    startProfiling: () => session.startProfiling?.(),
    endProfiling: () => session.endProfiling?.(),
  };
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function readReports(carrier: ReportCarrier): Record<string, SessionReport> {
  const sessions = carrier.sessions ?? carrier.model?.sessions ?? {};
  const found: Record<string, SessionReport> = {};
  for (const [name, session] of Object.entries(sessions)) {
    const report = reports.get(session.inputNames);
    if (report) found[name] = report;
  }
  if (Object.keys(found).length === 0) throw noReport(Object.values(sessions));
  return found;
}

function noReport(sessions: readonly { readonly inputNames: readonly string[] }[]): PerformersError {
  if (sessions.some((session) => reports.has(session.inputNames))) {
    return new PerformersError('PF303', 'the pipeline carries no report: it was loaded with `original: true`', {
      mend: 'leave `original` out to linearize the model',
    });
  }
  return new PerformersError('PF303', 'the pipeline carries no report: performers() did not load its model', {
    mend: 'spread { ...performers() } last into its options: a `session_options` after it replaces it',
  });
}

function explain(error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  const name = /\[(performers-\w+-\d+)\] backend not found/.exec(text)?.[1];
  if (!name) return error;
  return new PerformersError(
    'PF301',
    'transformers.js uses another copy of onnxruntime than the one performers() found',
    {
      at: 'performers()',
      mend: "pass its copy, performers({ ort }); for a transformers.js with one inside, from a CDN, there is 'performers.js/transformers/global'",
      cause: error,
    },
  );
}

/** What linearize would say after the model is downloaded. */
function checkPlans({ plan, rules = [] }: OpenOptions): void {
  if (plan !== undefined && plan !== 'auto') readPlan(plan);
  for (const rule of rules) readPlan(rule.plan);
}

function readDevice(device: string): Device {
  if (isDevice(device)) return device;
  const near = nearest(device, Object.keys(devices));
  throw new PerformersError('PF202', `unknown device '${device}'${near ? `; did you mean '${near}'?` : ''}`, {
    at: 'device',
    mend: `use one of ${Object.keys(devices).join(', ')}`,
  });
}

function isDevice(device: string): device is Device {
  return Object.hasOwn(devices, device);
}
