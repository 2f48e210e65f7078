import { readModel } from './model-file.js';
import { type OpenOptions, openLinearized, type SessionReport } from './open-model.js';
import type { OnnxRuntime, SessionOptions } from './ort.js';
import { checkRuntime } from './ort-session.js';

export { type MeasureSpliceOptions, measureSplice } from './measure-splice.js';
export type { SessionReport, SpliceOptions } from './open-model.js';
export type { OnnxRuntime, OrtSession, OrtTensor, SessionOptions } from './ort.js';
export { sessionFactory } from './ort-session.js';
export type { SpliceRow, SpliceTable } from './splice-planner.js';

export interface CreateSessionOptions extends OpenOptions {
  /** Passed on to `InferenceSession.create`. */
  readonly sessionOptions?: SessionOptions;
}

/** The session class of the runtime given, with all it has beyond `OrtSession`. */
export type SessionOf<O extends OnnxRuntime> = Awaited<ReturnType<O['InferenceSession']['create']>>;

/**
 * Linearizes a model and opens it with onnxruntime itself. A path (or, in browsers, a URL) is read here; external
 * weights beside a file are found as if onnxruntime had opened the file, elsewhere pass `sessionOptions.externalData`.
 *
 * @throws PerformersError PF301 (no session), PF104 (external weights missing), PF107 (unreadable), PF701–PF704 (WebGPU), those of linearize
 */
export async function createSession<O extends OnnxRuntime>(
  ort: O,
  model: Uint8Array | string,
  { sessionOptions = {}, ...options }: CreateSessionOptions = {},
): Promise<{ session: SessionOf<O>; report: SessionReport }> {
  checkRuntime(ort);
  const { session, report } = await openLinearized(ort, await readModel(model), sessionOptions, options);
  // The overloads of `create` hide the class from TypeScript; it is the class of the module given.
  return { session: session as SessionOf<O>, report };
}
