/**
 * The backend of an onnxruntime that WebGPU sessions are made by (gpu-session.ts, loaded with the first of them). It is chosen like any
 * other by its name, so that what comes out is a session of the runtime's own class.
 */
import { type GpuRuntime, isGpuRuntime, usesGpu } from './gpu-device.js';
import type { OnnxRuntime, SessionOptions } from './ort.js';

/** Session options that open a model so. The runtime is asked for WebGPU in vain where it is not one of the web: they are then as given. */
export function gpuSessionOptions(ort: OnnxRuntime, options: SessionOptions): SessionOptions {
  const { executionProviders } = options;
  if (!usesGpu(executionProviders) || !isGpuRuntime(ort)) return options;
  const provider = { name: backendOf(ort), providers: executionProviders };
  return { ...options, executionProviders: [provider as unknown as 'webgpu'] };
}

const backends = new WeakMap<object, string>();
// Two copies of this file on one page must not meet under one name: onnxruntime refuses a name taken.
const copy = Math.random().toString(36).slice(2, 8);
let count = 0;

function backendOf(ort: GpuRuntime): string {
  const known = backends.get(ort.env);
  if (known) return known;
  const name = `performers-gpu-${copy}-${++count}`;
  const backend = {
    init: async () => {},
    async createInferenceSessionHandler(bytes: Uint8Array, options: SessionOptions) {
      const { openGpuSession } = await import('./gpu-session.js');
      return openGpuSession(ort, bytes, options);
    },
  };
  ort.registerBackend(name, backend, -1);
  backends.set(ort.env, name);
  return name;
}
