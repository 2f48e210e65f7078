/** What onnxruntime-web/webgpu expects of a browser, in Node: Dawn as `navigator.gpu`. */
import { setFlagsFromString } from 'node:v8';
import { dawn } from '../../scripts/dawn.js';

/** The runtime's wasm is compiled once and well enough: the optimising compiler takes a minute over it. */
setFlagsFromString('--liftoff-only');

export function installWebGpu(): void {
  const gpu = dawn();
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  const own: GPU = Object.create(gpu, {
    requestAdapter: {
      value: async (options?: GPURequestAdapterOptions) => {
        const adapter = await requestAdapter(options);
        return adapter && withSharedMemory(adapter);
      },
    },
    wgslLanguageFeatures: { value: gpu.wgslLanguageFeatures },
  });
  const navigator = { gpu: own, hardwareConcurrency: 1, userAgent: 'Node' };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
}

const patched = new WeakSet<object>();

/** Dawn for Node takes no shared memory, which wasm with threads has; browsers do. */
function withSharedMemory(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    Object.assign(globalThis, { GPUDevice: device.constructor });
    const queue = Object.getPrototypeOf(device.queue);
    if (patched.has(queue)) return device;
    patched.add(queue);
    const writeBuffer = queue.writeBuffer;
    queue.writeBuffer = function (buffer: GPUBuffer, at: number, data: Uint8Array, from?: number, size?: number) {
      if (!(data.buffer instanceof SharedArrayBuffer)) return writeBuffer.call(this, buffer, at, data, from, size);
      const start = from ?? 0;
      const bytes = Uint8Array.from(data.subarray(start, size === undefined ? undefined : start + size));
      return writeBuffer.call(this, buffer, at, bytes);
    };
    return device;
  };
  return adapter;
}
