/** What tests of kernels run on, in Node and in a browser alike. */
import { download, type ElementType, type GpuArray, upload } from '../../src/kernels/array.js';
import { type Gpu, type GpuOptions, openGpu } from '../../src/kernels/gpu.js';
import { type Recording, run } from '../../src/kernels/record.js';

const inNode = typeof navigator === 'undefined' || navigator.gpu === undefined;
// Named by a variable: a browser's server would follow a literal into Node's modules.
const nodeOnly = '../../scripts/dawn.js';
export const webgpu: GPU | undefined =
  inNode && typeof process !== 'undefined' ? (await import(/* @vite-ignore */ nodeOnly)).dawn() : navigator.gpu;
const adapter = await webgpu?.requestAdapter();
const required = inNode ? process.env.REQUIRE_WEBGPU === '1' : true;

if (!adapter && required) throw new Error('REQUIRE_WEBGPU is 1, and there is no WebGPU adapter');
if (!adapter)
  console.warn('kernel tests are skipped: there is no WebGPU adapter (REQUIRE_WEBGPU=1 makes this a failure)');

/** Whether the adapter has shader-f16; software adapters often have not. */
export const hasF16 = adapter?.features.has('shader-f16') ?? false;

/** Chromium's own adapter, on the processor. */
export const software = /swiftshader/i.test(`${adapter?.info.architecture} ${adapter?.info.description}`);

/** For `describe.skipIf`. */
export const noDevice = !adapter;

/** A device whose buffers hold NaN before they are written: what a kernel leaves out shows. */
export async function open(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = await openGpu({ gpu: webgpu, f16: hasF16, ...options });
  const take = (bytes: number) => {
    const buffer = gpu.pool.take(bytes);
    gpu.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(0xff));
    return buffer;
  };
  return { ...gpu, pool: { ...gpu.pool, take } };
}

/** Runs and reads back all results, which are freed. */
export async function outputs<T extends Record<string, GpuArray>>(
  gpu: Gpu,
  build: (recording: Recording) => T,
): Promise<{ [name in keyof T]: Float32Array | Uint32Array }> {
  const results = await run(gpu, build);
  const read: [string, Float32Array | Uint32Array][] = [];
  for (const [name, array] of Object.entries(results)) {
    read.push([name, await download(gpu, array)]);
    gpu.pool.give(array.buffer);
  }
  return Object.fromEntries(read) as { [name in keyof T]: Float32Array | Uint32Array };
}

/** Uploads named arrays. */
export function uploadAll<T extends Record<string, ArrayLike<number>>>(
  gpu: Gpu,
  arrays: T,
  type: ElementType = 'f32',
): { [name in keyof T]: GpuArray } {
  return Object.fromEntries(Object.entries(arrays).map(([name, data]) => [name, upload(gpu, data, type)])) as {
    [name in keyof T]: GpuArray;
  };
}
