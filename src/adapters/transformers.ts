/*
 * Entry `performers.js/transformers` everywhere but in Node. package.json chooses between this file and
 * transformers.node.ts by the condition by which transformers.js chooses its own runtime, so the two agree.
 */
import * as ort from 'onnxruntime-web/webgpu';
import { createPerformers } from './backend.js';
import { openWebRuntime } from './web-runtime.js';

export type { Device, Performers, PerformersOptions, PipelineOptions, ReportCarrier } from './backend.js';

/** Linearizes the models of transformers.js as they are loaded. */
export const performers = createPerformers({
  defaultDevice: 'wasm',
  deviceFor: (device) => device,
  findRuntime: () => ort,
  openRuntime: openWebRuntime,
});
