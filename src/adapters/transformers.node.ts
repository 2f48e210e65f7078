/* Entry `performers.js/transformers` in Node; see transformers.ts for how it is chosen. */
import { createRequire } from 'node:module';
import { PerformersError } from '../errors.js';
import { type BackendRuntime, createPerformers, type Engine } from './backend.js';

export type { Device, Performers, PerformersOptions, PipelineOptions, ReportCarrier } from './backend.js';

/** Linearizes the models of transformers.js as they are loaded. */
export const performers = createPerformers({
  defaultDevice: 'cpu',
  // transformers.js refuses 'wasm' in Node. It decides nothing there but the default dtype.
  deviceFor: (device) => (device === 'wasm' ? 'cpu' : device),
  findRuntime,
  async openRuntime(outer, device, numThreads) {
    if (device === 'wasm') return openWasm(numThreads ?? 1);
    return { ort: outer, sessionOptions: numThreads === undefined ? {} : { intraOpNumThreads: numThreads } };
  },
});

/**
 * onnxruntime-node as transformers.js finds it: from where transformers.js lies, because a release it pins may be
 * nested below it. Loaded only when it is needed: a process can hold one native onnxruntime.
 */
function findRuntime(): BackendRuntime {
  const from = [createRequire(import.meta.url), createRequire(`${process.cwd()}/package.json`)];
  let cause: unknown;
  for (const require of from) {
    try {
      return createRequire(require.resolve('@huggingface/transformers'))('onnxruntime-node');
    } catch (error) {
      cause ??= error;
    }
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new PerformersError('PF301', `the onnxruntime-node of @huggingface/transformers did not load: ${reason}`, {
    at: 'performers()',
    mend: 'install @huggingface/transformers, or pass the onnxruntime that it uses: performers({ ort })',
    cause,
  });
}

/** What onnxruntime-web was started with: it reads the number of threads once, when its first session is made. */
let wasmThreads: number | undefined;

async function openWasm(numThreads: number): Promise<Engine> {
  const ort = await import('onnxruntime-web').catch((cause: unknown) => {
    throw new PerformersError('PF301', "device: 'wasm' needs onnxruntime-web, which was not found", {
      at: 'device',
      mend: 'npm install onnxruntime-web',
      cause,
    });
  });
  if (wasmThreads !== undefined && wasmThreads !== numThreads) {
    throw new PerformersError('PF202', `onnxruntime-web runs with ${wasmThreads} threads already, not ${numThreads}`, {
      at: 'numThreads',
      mend: 'use one number in a process',
    });
  }
  wasmThreads = numThreads;
  ort.env.wasm.numThreads = numThreads;
  return { ort, sessionOptions: {} };
}
