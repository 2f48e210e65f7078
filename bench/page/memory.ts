/** Memory that a page can count by itself. Both count from when they are called, before a runtime is started. */

/** Sum of all WebAssembly memories of this worker; they never shrink, so that it is the most so far. */
export function watchWasmMemory(): () => number {
  const memories: WebAssembly.Memory[] = [];
  const Memory = WebAssembly.Memory;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      memories.push(this);
    }
  };
  return () => memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
}

/** The most bytes of GPU buffers that were alive together, of all devices of this worker. */
export function watchGpuMemory(): () => number {
  const alive = new Map<GPUBuffer, number>();
  let held = 0;
  let most = 0;
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    alive.set(buffer, buffer.size);
    held += buffer.size;
    most = Math.max(most, held);
    return buffer;
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    held -= alive.get(this) ?? 0;
    alive.delete(this);
    return destroy.call(this);
  };
  return () => most;
}
