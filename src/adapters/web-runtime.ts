import type { BackendRuntime, Device, Engine } from './backend.js';

/** In browsers models run in the onnxruntime that transformers.js has, whose threads are set before its first session. */
export async function openWebRuntime(outer: BackendRuntime, _device: Device, numThreads?: number): Promise<Engine> {
  if (numThreads !== undefined) outer.env.wasm.numThreads = numThreads;
  return { ort: outer, sessionOptions: {} };
}
