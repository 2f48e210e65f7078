/** A model on its way into a session: what createSession() and the backend of transformers.js share. */
import { PerformersError } from '../errors.js';
import { type LinearizeOptions, linearize, type Report } from '../linearize.js';
import { type ChoosePlacement, placeKernels } from '../rewrite/place-kernels.js';
import type { DecoderFacts } from './decoder-calls.js';
import { adapterClass, isGpuRuntime, usesGpu } from './gpu-device.js';
import { type ModelSource, withWeights } from './model-file.js';
import type { OnnxRuntime, OrtSession, SessionOptions } from './ort.js';
import { createOrtSession, sessionFactory } from './ort-session.js';
import { decoderOptions, readDecoder } from './read-decoder.js';
import { planSplices, type SpliceTable } from './splice-planner.js';

export interface SpliceOptions {
  /**
   * Runs attention by kernels of its own between segments of the graph, on onnxruntime's device and buffers. Needs the execution provider
   * 'webgpu' of onnxruntime-web. Sites that no kernel serves stay in the graph; the report says which, and why. 'auto' splices those that
   * `spliceTable` says to be faster so, on this device and at about `tokens` tokens, and none where nothing was measured. Default: false.
   */
  readonly splice?: boolean | 'auto';
  /** What measureSplice() returned. */
  readonly spliceTable?: SpliceTable;
  /** How long inputs will be, for 'auto'. */
  readonly tokens?: number;
  /**
   * 'wasm': where there is no adapter, or the device lacks what the model needs or is lost while the session is opened, it is opened
   * on wasm instead, all in the graph, and the report says so. Default: none, an error.
   */
  readonly fallback?: 'wasm';
}

export interface OpenOptions extends Omit<LinearizeOptions, 'place'>, SpliceOptions {}

export interface SessionReport extends Report {
  /** That the session does not run where it was asked to, and the error that made it so. */
  readonly fallback?: { readonly to: 'wasm'; readonly why: PerformersError };
}

export interface Opened {
  readonly session: OrtSession;
  readonly report: SessionReport;
  /** Of a decoder with a cache: what its calls can be checked against. */
  readonly decoder?: DecoderFacts;
}

/** @throws PerformersError PF202 (splice without WebGPU), PF104, PF105, PF301, PF701–PF704, those of linearize */
export async function openLinearized(
  ort: OnnxRuntime,
  source: ModelSource,
  sessionOptions: SessionOptions,
  { splice, spliceTable, tokens, fallback, ...options }: OpenOptions,
): Promise<Opened> {
  checkOptions(ort, sessionOptions, { splice, fallback });
  const open = async (given: SessionOptions, choose?: ChoosePlacement) => {
    const complete = await withWeights(ort, source, given);
    const { bytes, report } = await linearize(source.bytes, {
      file: source.file,
      createSession: sessionFactory(ort, complete),
      ...options,
      place: choose && placeKernels(choose),
    });
    const decoder = await readDecoder(source, bytes);
    const session = await createOrtSession(ort, bytes, decoderOptions(complete, decoder), source.path);
    return { session, report, decoder };
  };
  const placing = async (): Promise<ChoosePlacement | undefined> => {
    if (splice === 'auto') return planSplices({ table: spliceTable, device: await adapterClass(), tokens });
    return splice ? () => ({ as: 'splice', why: 'as asked' }) : undefined;
  };
  try {
    return await open(sessionOptions, await placing());
  } catch (why) {
    if (fallback === undefined || !ofTheGpu(why)) throw why;
    const { preferredOutputLocation: _, ...elsewhere } = sessionOptions;
    const { report, ...opened } = await open({ ...elsewhere, executionProviders: [fallback] });
    return { ...opened, report: { ...report, fallback: { to: fallback, why } } };
  }
}

/** No adapter, no float16, no memory, a lost device. */
function ofTheGpu(error: unknown): error is PerformersError {
  return error instanceof PerformersError && ['PF701', 'PF702', 'PF703', 'PF704'].includes(error.code);
}

/** @throws PerformersError PF202 */
function checkOptions(
  ort: OnnxRuntime,
  { executionProviders }: SessionOptions,
  { splice, fallback }: SpliceOptions,
): void {
  if (fallback !== undefined && fallback !== 'wasm') {
    throw new PerformersError('PF202', `fallback must be 'wasm', got ${JSON.stringify(fallback)}`, {
      at: 'fallback',
      mend: 'leave it out for an error where the GPU is no use',
    });
  }
  if (!splice || (usesGpu(executionProviders) && isGpuRuntime(ort))) return;
  throw new PerformersError(
    'PF202',
    'splice runs kernels on WebGPU, and the session is not on that of onnxruntime-web',
    {
      at: `executionProviders ${JSON.stringify(executionProviders ?? 'default')}`,
      mend: "use onnxruntime-web/webgpu with executionProviders: ['webgpu'], or leave splice out",
    },
  );
}
