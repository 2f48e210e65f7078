import { describe, expect, it } from 'vitest';
import { iidGaussian } from '../../src/features/gaussian.js';
import { orthogonalGaussian } from '../../src/features/orf.js';
import { expectMutantFails } from '../close.js';

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const rowsOf = (omega: Float64Array, d: number) =>
  Array.from({ length: omega.length / d }, (_, r) => omega.subarray(r * d, (r + 1) * d));

describe('orthogonal random features', () => {
  it.each([
    [1, 3],
    [2, 7],
    [64, 64],
    [64, 150],
  ])('d %i, m %i: rows of a block are orthogonal to 1e-12', (d, m) => {
    const check = (omega: Float64Array) => {
      const rows = rowsOf(omega, d).map((row) => row.map((x) => x / Math.sqrt(dot(row, row))));
      for (let r = 0; r < m; r++) {
        for (let other = r - (r % d); other < r; other++) {
          expect(Math.abs(dot(rows[r], rows[other]))).toBeLessThan(1e-12);
        }
      }
    };
    check(orthogonalGaussian({ m, d, seed: 1 }));
    if (d > 1) expectMutantFails(() => check(iidGaussian({ m, d, seed: 1 })));
  });

  it('blocks are independent of one another, not copies', () => {
    const [first, , second] = rowsOf(orthogonalGaussian({ m: 4, d: 2, seed: 1 }), 2);
    expect(Math.abs(dot(first, second) / Math.sqrt(dot(first, first) * dot(second, second)))).toBeGreaterThan(1e-3);
  });

  it.each([1, 4, 64])('d %i: norms are χ(d), by mean and variance of |ω|²', (d) => {
    const m = 4000;
    const check = (omega: Float64Array) => {
      const squares = rowsOf(omega, d).map((row) => dot(row, row));
      // |ω|² ~ χ²(d): mean d, variance 2d, fourth central moment 12d(d + 4).
      const meanZ = squares.reduce((sum, s) => sum + s - d, 0) / Math.sqrt(m * 2 * d);
      const varianceZ = squares.reduce((sum, s) => sum + (s - d) ** 2 - 2 * d, 0) / Math.sqrt(m * (8 * d * d + 48 * d));
      expect(Math.abs(meanZ)).toBeLessThan(4);
      expect(Math.abs(varianceZ)).toBeLessThan(4);
    };
    const omega = orthogonalGaussian({ m, d, seed: 2 });
    check(omega);
    // Every norm √d, the "regularised" features: biased, and told from χ(d) by the variance alone.
    const norms = rowsOf(omega, d).map((row) => Math.sqrt(dot(row, row)));
    expectMutantFails(() => check(omega.map((x, i) => (x * Math.sqrt(d)) / norms[Math.floor(i / d)])));
    expectMutantFails(() => check(omega.map((x) => x * 1.1)));
  });
});
