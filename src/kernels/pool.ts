/**
 * Buffers of a device, counted. What is given back is kept for the next request of the same size, up to `keep` bytes: a model's layers ask
 * for the same few sizes in every run, and creating a buffer costs more than a small kernel.
 */
import { PerformersError } from '../errors.js';

export interface PoolCounts {
  readonly created: number;
  readonly destroyed: number;
  /** Taken and not given back. */
  readonly used: number;
  /** Kept for the next request. */
  readonly free: number;
}

export interface BufferPool {
  /** A buffer of at least so many bytes, its content undefined. @throws PerformersError PF703 beyond maxBufferSize */
  take(bytes: number): GPUBuffer;
  /** Back to the pool; submitted work may still read it, as later work is queued behind. */
  give(buffer: GPUBuffer): void;
  /** Destroys a taken buffer instead of keeping it. */
  drop(buffer: GPUBuffer): void;
  counts(): PoolCounts;
  /** Destroys what is free. */
  trim(): void;
  /** Destroys everything, taken or free. */
  destroy(): void;
}

const GRAIN = 256;

export function createPool(device: GPUDevice, { keep = 256 * 2 ** 20 }: { keep?: number } = {}): BufferPool {
  const free = new Map<number, GPUBuffer[]>();
  const used = new Set<GPUBuffer>();
  let created = 0;
  let destroyed = 0;
  let freeBytes = 0;
  const destroy = (buffer: GPUBuffer) => {
    buffer.destroy();
    destroyed++;
  };
  const trim = () => {
    for (const buffers of free.values()) buffers.forEach(destroy);
    free.clear();
    freeBytes = 0;
  };
  const release = (buffer: GPUBuffer) => {
    if (used.delete(buffer)) return;
    throw new PerformersError('PF706', 'a buffer was given back that is not taken from this pool', {
      at: buffer.label,
      mend: 'give every buffer back once',
    });
  };
  return {
    take(bytes) {
      const size = Math.max(1, Math.ceil(bytes / GRAIN)) * GRAIN;
      if (size > device.limits.maxBufferSize) {
        throw new PerformersError(
          'PF703',
          `a buffer of ${size} bytes is wanted; this device holds ${device.limits.maxBufferSize} in one`,
          { at: 'maxBufferSize', mend: 'use a shorter input, a smaller batch or float16' },
        );
      }
      const waiting = free.get(size)?.pop();
      if (waiting) freeBytes -= size;
      else created++;
      const { STORAGE, COPY_SRC, COPY_DST, INDIRECT } = bufferUsage;
      const usage = STORAGE | COPY_SRC | COPY_DST | INDIRECT;
      const buffer = waiting ?? device.createBuffer({ label: `performers pool ${size}`, size, usage });
      used.add(buffer);
      return buffer;
    },
    give(buffer) {
      release(buffer);
      if (freeBytes + buffer.size > keep) return destroy(buffer);
      freeBytes += buffer.size;
      const same = free.get(buffer.size);
      if (same) same.push(buffer);
      else free.set(buffer.size, [buffer]);
    },
    drop(buffer) {
      release(buffer);
      destroy(buffer);
    },
    counts: () => ({
      created,
      destroyed,
      used: used.size,
      free: [...free.values()].reduce((sum, buffers) => sum + buffers.length, 0),
    }),
    trim,
    destroy() {
      trim();
      used.forEach(destroy);
      used.clear();
    },
  };
}

/** GPUBufferUsage of the specification: a global in browsers, and none in Node. */
export const bufferUsage = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
} as const;
