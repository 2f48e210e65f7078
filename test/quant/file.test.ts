import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { decodeQuantized, encodeQuantized, headerBytes } from '../../src/quant/file.js';
import { schemes } from '../../src/quant/registry.js';
import { dequantize, quantize, type Scheme } from '../../src/quant/scheme.js';
import { scratchFolder } from '../cli/performers.js';

const folder = scratchFolder();
const normal = gaussians(8);
const values = Float64Array.from({ length: 13 * 11 }, () => normal());
const cases = Object.entries<Scheme>(schemes).flatMap(([name, scheme]) =>
  scheme.widths.map((bits) => ({ name, scheme, bits })),
);

describe.each(cases)('$name at $bits bits', ({ name, scheme, bits }) => {
  it('is read back from disk as it was, and takes 20 bytes more there than its codes', () => {
    const matrix = quantize(values, { scheme, bits, rows: 13, cols: 11 });
    const path = join(folder, `${name}-${bits}`);
    writeFileSync(path, encodeQuantized(matrix));
    expect(statSync(path).size).toBe(headerBytes + Math.ceil((13 * 11 * bits) / 8));
    // A Buffer is a view at some offset of a larger one.
    const back = decodeQuantized(readFileSync(path));
    expect(back).toMatchObject({ bits, rows: 13, cols: 11, scale: matrix.scale });
    expect(back.scheme).toBe(scheme);
    expect(dequantize(back)).toEqual(dequantize(matrix));
  });
});

describe('damaged bytes', () => {
  const bytes = encodeQuantized(quantize(values, { scheme: schemes.nearest, bits: 4, rows: 13, cols: 11 }));
  const changed = (at: number, value: number) => bytes.map((byte, i) => (i === at ? value : byte));

  it.each([
    ['short header', bytes.subarray(0, 10), 'a header has 20 bytes, got 10'],
    ['cut codes', bytes.subarray(0, -1), '13 x 11 codes of 4 bits are 92 bytes, got 91'],
    ['another format', changed(0, 65), 'the bytes must begin with PFQ1, got "AFQ1"'],
    ['unknown scheme', changed(4, 99), 'scheme 99 is unknown to this version'],
    ['unknown width', changed(5, 3), 'scheme 2 has no width of 3 bits'],
    ['more rows', changed(8, 14), '14 x 11 codes of 4 bits are 97 bytes, got 92'],
    ['no scale', changed(19, 255), 'the scale must be finite and not negative'],
  ])('%s', (_, damaged, message) => {
    expect(() => decodeQuantized(damaged)).toThrow(`PF421  ${message}`);
  });

  it('a code beyond the levels', () => {
    const matrix = quantize(values, { scheme: schemes.weights, bits: 2, rows: 13, cols: 11 });
    expect(() => dequantize({ ...matrix, data: matrix.data.fill(255) })).toThrow(
      'PF421  code 3 is beyond the 3 levels of 2 bits',
    );
  });
});
