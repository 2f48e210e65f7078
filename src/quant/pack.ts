/**
 * Codes of 1 to 8 bits, one after another without gaps: code i fills bits [i·b, (i + 1)·b) of the stream, low bits first,
 * as ONNX packs int4 and MatMulNBits its weights. ⌈count·b / 8⌉ bytes, the rest of the last byte zero.
 * A code begins wherever its bits do, so that any run of a long stream is read without the codes before it.
 */
import { PerformersError } from '../errors.js';

/** ⌈count·bits / 8⌉: what `packCodes` takes, in memory and on disk. */
export function packedBytes(count: number, bits: number): number {
  return Math.ceil((count * checkBits(bits)) / 8);
}

/**
 * Packs `codes`, integers in [0, 2^bits).
 * @throws PerformersError PF420 for a width outside 1…8, or a code that does not fit
 */
export function packCodes(codes: ArrayLike<number>, bits: number): Uint8Array {
  const out = new Uint8Array(packedBytes(codes.length, bits));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (!Number.isInteger(code) || code < 0 || code >= 2 ** bits) {
      throw new PerformersError('PF420', `codes[${i}] must be an integer in [0, ${2 ** bits - 1}], got ${code}`, {
        at: 'quant.codes',
        mend: `pack with more than ${bits} bits, or round before packing`,
      });
    }
    const at = i * bits;
    const shifted = code << (at % 8);
    out[at >> 3] |= shifted;
    if (shifted > 255) out[(at >> 3) + 1] |= shifted >> 8;
  }
  return out;
}

/**
 * Codes [from, to) of a packed stream; all that `data` holds by default.
 * @throws PerformersError PF420 for a width outside 1…8, PF421 when `data` is too short for `to`
 */
export function unpackCodes(
  data: Uint8Array,
  bits: number,
  from = 0,
  to = Math.floor((data.length * 8) / checkBits(bits)),
): Uint8Array {
  if (data.length < packedBytes(to, bits)) {
    throw new PerformersError(
      'PF421',
      `${to} codes of ${bits} bits need ${packedBytes(to, bits)} bytes, got ${data.length}`,
      {
        at: 'quant.data',
        mend: 'read the whole file, or give the count and width it was packed with',
      },
    );
  }
  const mask = 2 ** bits - 1;
  return Uint8Array.from({ length: to - from }, (_, i) => {
    const at = (from + i) * bits;
    return ((data[at >> 3] | ((data[(at >> 3) + 1] ?? 0) << 8)) >> (at % 8)) & mask;
  });
}

/** @throws PerformersError PF420 unless `bits` is one of `allowed`, by default 1…8 */
export function checkBits(bits: number, allowed: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8]): number {
  if (allowed.includes(bits)) return bits;
  throw new PerformersError('PF420', `bits must be one of ${allowed.join(', ')}, got ${bits}`, {
    at: 'quant.bits',
    mend: `use bits = ${allowed[allowed.length - 1]}`,
  });
}
