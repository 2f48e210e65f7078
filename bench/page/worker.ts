/** The worker of one lane of the bench page. */

import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import * as ort from 'onnxruntime-web/webgpu';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { type Backend, sessionBackend } from '../../src/bench/backend.js';
import { failure, type LaneJob, type LaneMessage, runLane } from '../../src/bench/lane.js';
import type { NotMeasured } from '../../src/bench/result.js';
import { gpuBackend } from './gpu-backend.js';
import { watchGpuMemory, watchWasmMemory } from './memory.js';

export type LaneReply = { readonly message: LaneMessage } | { readonly end: NotMeasured | undefined };

// Threads of wasm start from the file of the runtime, not from this bundle.
ort.env.wasm.wasmPaths = { mjs: new URL(mjs, import.meta.url).href, wasm: new URL(wasm, import.meta.url).href };
ort.env.logLevel = 'error';

self.addEventListener('message', async ({ data: job }: MessageEvent<LaneJob>) => {
  const reply = (value: LaneReply) => postMessage(value);
  const end = await runLane(job, open(job.backend), (message) => reply({ message })).then(
    () => undefined,
    (error: unknown) => failure(error),
  );
  reply({ end });
});

function open(name: string): Backend {
  const createSession = sessionFactory(ort, { executionProviders: ['wasm'] });
  ort.env.wasm.numThreads = name === 'wasm' ? navigator.hardwareConcurrency : 1;
  return name === 'webgpu'
    ? gpuBackend(createSession, watchGpuMemory())
    : sessionBackend(createSession, watchWasmMemory());
}
