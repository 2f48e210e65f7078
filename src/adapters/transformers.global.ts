/*
 * Entry `performers.js/transformers/global`: for a transformers.js that takes its onnxruntime from globalThis[Symbol.for('onnxruntime')],
 * as every build of it does where it finds one there when it is loaded. Nothing here is imported by name, and so it runs where
 * nothing resolves names: in module workers of pages without a bundler, which have no import map, and beside builds that carry an
 * onnxruntime of their own inside (transformers.min.js). Verified with 4.3.1 and 3.8.1 (test/packed/plain.test.ts).
 */
import { PerformersError } from '../errors.js';
import { type BackendRuntime, createPerformers } from './backend.js';
import { openWebRuntime } from './web-runtime.js';

export type { Device, Performers, PerformersOptions, PipelineOptions, ReportCarrier } from './backend.js';

const key = Symbol.for('onnxruntime');

/** Linearizes the models of transformers.js as they are loaded. */
export const performers = createPerformers({
  defaultDevice: 'wasm',
  // With an onnxruntime from outside transformers.js knows no device by name.
  deviceFor: () => 'auto',
  findRuntime() {
    const ort = (globalThis as { [key]?: BackendRuntime })[key];
    if (ort) return ort;
    throw new PerformersError('PF301', "there is no onnxruntime at globalThis[Symbol.for('onnxruntime')]", {
      at: 'performers()',
      mend: "put its module there before transformers.js is imported, which reads it then; where names are resolved, import 'performers.js/transformers'",
    });
  },
  openRuntime: openWebRuntime,
});
