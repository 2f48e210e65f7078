/**
 * A quantised matrix as bytes: a header of 20, then the codes as they lie in memory. Little endian.
 *   'PFQ1' · scheme id u8 · bits u8 · 0 u16 · rows u32 · cols u32 · scale f32 · codes ⌈rows·cols·bits / 8⌉
 */
import { PerformersError } from '../errors.js';
import { packedBytes } from './pack.js';
import { schemes } from './registry.js';
import type { Quantized, Scheme } from './scheme.js';

export const headerBytes = 20;
const magic = 'PFQ1';

export function encodeQuantized({ scheme, bits, rows, cols, scale, data }: Quantized): Uint8Array {
  const bytes = new Uint8Array(headerBytes + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint8(4, scheme.id);
  view.setUint8(5, bits);
  view.setUint32(8, rows, true);
  view.setUint32(12, cols, true);
  view.setFloat32(16, scale, true);
  bytes.set(data, headerBytes);
  return bytes;
}

/** The matrix in `bytes`; its codes are a view of them. @throws PerformersError PF421 unless they are what encodeQuantized wrote */
export function decodeQuantized(bytes: Uint8Array): Quantized {
  const damaged = (what: string): never => {
    throw new PerformersError('PF421', what, {
      at: 'quant.file',
      mend: 'read the whole file that encodeQuantized wrote',
    });
  };
  if (bytes.length < headerBytes) damaged(`a header has ${headerBytes} bytes, got ${bytes.length}`);
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 4));
  if (start !== magic) damaged(`the bytes must begin with ${magic}, got ${JSON.stringify(start)}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [id, bits] = [view.getUint8(4), view.getUint8(5)];
  const scheme: Scheme | undefined = Object.values<Scheme>(schemes).find((entry) => entry.id === id);
  if (!scheme) return damaged(`scheme ${id} is unknown to this version`);
  if (!scheme.widths.includes(bits)) damaged(`scheme ${id} has no width of ${bits} bits`);
  const [rows, cols, scale] = [view.getUint32(8, true), view.getUint32(12, true), view.getFloat32(16, true)];
  if (!Number.isFinite(scale) || scale < 0) damaged(`the scale must be finite and not negative, got ${scale}`);
  const length = packedBytes(rows * cols, bits);
  if (bytes.length !== headerBytes + length) {
    damaged(`${rows} x ${cols} codes of ${bits} bits are ${headerBytes + length} bytes, got ${bytes.length}`);
  }
  return { scheme, bits, rows, cols, scale, data: bytes.subarray(headerBytes) };
}
