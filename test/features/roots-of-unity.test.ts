import { expect, it } from 'vitest';
import { rootsOfUnity } from '../../src/features/roots-of-unity.js';
import { expectMutantFails } from '../close.js';

it('roots of unity lie within 4 units of 2⁻⁵³ of cos and sin, at every k of many n', () => {
  const check = (turn: number) => {
    for (const n of [1, 2, 3, 4, 5, 7, 8, 17, 97, 360, 514, 1021]) {
      const { re, im } = rootsOfUnity(n);
      expect([re.length, im.length]).toEqual([n, n]);
      for (let k = 0; k < n; k++) {
        // The angle itself is off by a rounding of 2π: 7 units more.
        const angle = (2 * Math.PI * k * turn) / n;
        expect(Math.abs(re[k] - Math.cos(angle))).toBeLessThan(11 * 2 ** -53);
        expect(Math.abs(im[k] - Math.sin(angle))).toBeLessThan(11 * 2 ** -53);
      }
    }
  };
  check(1);
  expectMutantFails(() => check(1 + 1e-14));
});
