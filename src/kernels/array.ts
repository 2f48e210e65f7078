/** Arrays on a device. */
import { PerformersError } from '../errors.js';
import { deviceLost, type Gpu } from './gpu.js';
import { bufferUsage } from './pool.js';

export type ElementType = 'f32' | 'f16' | 'u32';

/** Row-major numbers in a buffer, from its beginning or `offset` bytes (a multiple of 256) behind it. */
export interface GpuArray {
  readonly buffer: GPUBuffer;
  readonly type: ElementType;
  /** Number of elements. */
  readonly length: number;
  readonly offset?: number;
}

export const bytesOf: Record<ElementType, number> = { f32: 4, f16: 2, u32: 4 };

/** A copy of `data` on the device, from the pool; numbers are rounded to `type`. Free with `free`. */
export function upload(gpu: Gpu, data: ArrayLike<number>, type: ElementType = 'f32'): GpuArray {
  const array = { buffer: gpu.pool.take(data.length * bytesOf[type]), type, length: data.length };
  const source = type === 'f16' ? halves(data) : type === 'u32' ? Uint32Array.from(data) : Float32Array.from(data);
  // writeBuffer takes multiples of 4 bytes; buffers are never smaller than the next one.
  const padded = new Uint8Array(Math.ceil(source.byteLength / 4) * 4);
  padded.set(new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
  gpu.device.queue.writeBuffer(array.buffer, 0, padded);
  return array;
}

/** Back to the pool. */
export function free(gpu: Gpu, ...arrays: readonly GpuArray[]): void {
  for (const { buffer } of arrays) gpu.pool.give(buffer);
}

/** Reads back. @throws PerformersError PF704 when the device is lost on the way */
export async function download(gpu: Gpu, array: GpuArray): Promise<Float32Array | Uint32Array> {
  const { device } = gpu;
  const bytes = array.length * bytesOf[array.type];
  const size = Math.ceil(bytes / 4) * 4;
  const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
  const staging = device.createBuffer({ label: 'performers download', size, usage });
  try {
    const encoder = device.createCommandEncoder({ label: 'performers download' });
    encoder.copyBufferToBuffer(array.buffer, array.offset ?? 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const copy = staging.getMappedRange().slice(0, bytes);
    if (array.type === 'u32') return new Uint32Array(copy);
    return array.type === 'f32' ? new Float32Array(copy) : widened(new Uint16Array(copy));
  } catch (cause) {
    // A lost device rejects the mapping before it says that it is lost.
    const lost = gpu.lost() ?? (await Promise.race([device.lost, settled()]));
    if (lost) throw deviceLost(lost, cause);
    throw new PerformersError('PF707', 'an array could not be read back', { at: 'download', cause });
  } finally {
    staging.destroy();
  }
}

/** Resolves once promises that were settled before have been heard. */
function settled(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), 100));
}

/** IEEE 754 binary16, to nearest, ties to even. */
function halves(data: ArrayLike<number>): Uint16Array {
  const single = new Float32Array(1);
  const bits = new Uint32Array(single.buffer);
  return Uint16Array.from({ length: data.length }, (_, i) => {
    single[0] = data[i];
    const sign = (bits[0] >>> 16) & 0x8000;
    const size = bits[0] & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x477ff000) return sign | 0x7c00;
    // Below 2⁻¹⁴ all numbers share a step, that of float32 beside one half: the sum is rounded to it.
    single[0] = Math.abs(single[0]) + 0.5;
    if (size < 0x38800000) return sign | (bits[0] - 0x3f000000);
    // Exponents count from 112 less; half a step and the carry of an odd number round to even.
    return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  });
}

function widened(data: Uint16Array): Float32Array {
  const single = new Float32Array(1);
  const bits = new Uint32Array(single.buffer);
  return Float32Array.from(data, (half) => {
    // The same bits in the places of float32, whose exponents count from 112 more; those of infinity and NaN are none.
    const size = (half & 0x7fff) << 13;
    bits[0] = ((half & 0x8000) << 16) | (size < 0xf800000 ? size : size + 0x70000000);
    return size < 0xf800000 ? single[0] * 2 ** 112 : single[0];
  });
}
