/** Sessions of an onnxruntime module, and what goes wrong with them. */
import type { Tensor } from 'onnxruntime-common';
import { PerformersError } from '../errors.js';
import { foreignState } from '../rewrite/foreign-state.js';
import type { Session, SessionFactory, TensorLike } from '../session.js';
import { gpuSessionOptions } from './gpu-backend.js';
import type { OnnxRuntime, OrtSession, OrtTensor, SessionOptions } from './ort.js';

/**
 * Makes sessions for `linearize` (plan 'auto') from any onnxruntime module: onnxruntime-node, onnxruntime-web or one
 * of its entry points. Outputs come back on the CPU.
 *
 * @throws PerformersError PF301 when `ort` is no onnxruntime module; the sessions throw PF301 and PF302
 */
export function sessionFactory(ort: OnnxRuntime, sessionOptions: SessionOptions = {}): SessionFactory {
  checkRuntime(ort);
  return async (bytes) => openSession(ort, await createOrtSession(ort, bytes, sessionOptions));
}

/**
 * `InferenceSession.create`, its failure explained.
 *
 * @throws PerformersError PF301 with onnxruntime's own error as cause; PF104 when a file of external weights is missing;
 *   PF701–PF704 where the GPU is the trouble
 */
export async function createOrtSession<O extends OnnxRuntime>(
  ort: O,
  bytes: Uint8Array,
  options: SessionOptions,
  path?: string,
): Promise<OrtSession> {
  try {
    return await ort.InferenceSession.create(bytes, gpuSessionOptions(ort, options));
  } catch (cause) {
    if (cause instanceof PerformersError) throw cause;
    const missing = path === undefined ? [] : await (await import('./weight-files.js')).missingWeights(bytes, path);
    if (missing.length > 0) {
      throw new PerformersError('PF104', `external weights are missing: ${missing.join(', ')}`, {
        at: path,
        mend: 'put them into the folder of the model, under the names that the model gives them',
        cause,
      });
    }
    throw new PerformersError('PF301', `onnxruntime could not open the model: ${messageOf(cause)}`, {
      at: `executionProviders ${JSON.stringify(options.executionProviders ?? 'default')}`,
      mend: 'open the original model with the same runtime and options: when that works, please report this model',
      cause,
    });
  }
}

/** Wraps what onnxruntime throws while running; what has a name already keeps it, and a state's own check is known by its index. */
export function runFailure(cause: unknown): PerformersError {
  if (cause instanceof PerformersError) return cause;
  if (messageOf(cause).includes(`idx=${foreignState}`)) {
    return new PerformersError('PF305', 'the cache holds a state that another model or plan made', {
      at: 'past_key_values',
      mend: 'pass on the past_key_values that this very model gave out, or begin anew without',
      cause,
    });
  }
  return new PerformersError('PF302', `the model failed to run: ${messageOf(cause)}`, {
    mend: 'run the original model on the same inputs; out of memory? try a shorter input or a cheaper plan',
    cause,
  });
}

function openSession(ort: OnnxRuntime, session: OrtSession): Session {
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds) {
      try {
        const entries = Object.entries(feeds).map(([name, tensor]) => [name, toOrtTensor(ort, tensor)] as const);
        const outputs = await session.run(Object.fromEntries(entries));
        const read = Object.entries(outputs).map(async ([name, tensor]) => [name, await toTensorLike(tensor)] as const);
        return Object.fromEntries(await Promise.all(read));
      } catch (cause) {
        throw runFailure(cause);
      }
    },
    release: () => session.release(),
  };
}

/** Same data, no copy, when `data` is the typed array that onnxruntime has for the type. */
export function toOrtTensor(ort: OnnxRuntime, { type, data, dims }: TensorLike): OrtTensor {
  // onnxruntime checks type, data and size against each other itself, and says what is wrong.
  return new ort.Tensor(type as Tensor.Type, data as Tensor.DataType, dims);
}

async function toTensorLike(tensor: OrtTensor): Promise<TensorLike> {
  return { type: tensor.type, dims: tensor.dims, data: await tensor.getData() };
}

/** @throws PerformersError PF301 */
export function checkRuntime(ort: OnnxRuntime): void {
  if (typeof ort?.InferenceSession?.create === 'function' && typeof ort.Tensor === 'function') return;
  throw new PerformersError('PF301', 'this is no onnxruntime module: it has no InferenceSession and Tensor', {
    at: 'ort',
    mend: "pass the module itself: import * as ort from 'onnxruntime-web'",
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
