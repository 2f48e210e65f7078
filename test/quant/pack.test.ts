import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uniforms } from '../../src/features/rng.js';
import { packCodes, packedBytes, unpackCodes } from '../../src/quant/pack.js';
import { expectMutantFails } from '../close.js';
import { readBits } from '../oracle/low-bit.js';

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('codes of %i bits', (bits) => {
  const uniform = uniforms(bits);
  const codes = Uint8Array.from({ length: 1001 }, () => Math.floor(uniform() * 2 ** bits));

  it('come back, and any run of them; the bits lie where the format says', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2 ** bits - 1)), fc.nat(50), (list, skip) => {
        const data = packCodes(list, bits);
        const from = Math.min(skip, list.length);
        expect(Array.from(unpackCodes(data, bits, 0, list.length))).toEqual(list);
        expect(Array.from(unpackCodes(data, bits, from, list.length))).toEqual(list.slice(from));
      }),
    );
    const check = (data: Uint8Array) => {
      for (let i = 0; i < codes.length; i++) expect(readBits(data, bits, i)).toBe(codes[i]);
    };
    const data = packCodes(codes, bits);
    check(data);
    expectMutantFails(() => check(data.map((byte, i) => (i === 77 ? byte ^ 1 : byte))));
  });

  it('take ⌈count·bits / 8⌉ bytes', () => {
    for (const count of [0, 1, 7, 8, 9, 1001]) {
      expect(packCodes(codes.subarray(0, count), bits).length).toBe(Math.ceil((count * bits) / 8));
      expect(packedBytes(count, bits)).toBe(Math.ceil((count * bits) / 8));
    }
  });

  it('refuse what does not fit', () => {
    expect(() => packCodes([0, 2 ** bits], bits)).toThrow(
      `PF420  codes[1] must be an integer in [0, ${2 ** bits - 1}], got`,
    );
    expect(() => packCodes([0.5], bits)).toThrow('got 0.5');
    expect(() => packCodes([Number.NaN], bits)).toThrow('got NaN');
    expect(() => unpackCodes(new Uint8Array(2), bits, 0, 17)).toThrow('PF421  17 codes of');
  });
});

it.each([0, 9, 1.5, Number.NaN])('refuses a width of %s bits', (bits) => {
  expect(() => packCodes([0], bits)).toThrow(`PF420  bits must be one of 1, 2, 3, 4, 5, 6, 7, 8, got ${bits}`);
});
