import { describe, expect, it } from 'vitest';
import { haltonGaussian, haltonPoints } from '../../src/features/halton.js';
import { uniforms } from '../../src/features/rng.js';
import { expectMutantFails } from '../close.js';

describe('scrambled Halton points', () => {
  it('coordinate j has one of the first pᵏ points in each of pᵏ cells, at each seed', () => {
    const primes = [2, 3, 5, 7, 11, 13];
    const independent = Float64Array.from({ length: 2401 * 6 }, uniforms(1));
    for (const seed of [0, 1, 2]) {
      const points = haltonPoints({ m: 2401, d: 6, seed });
      const check = (got: Float64Array, j: number, cells: number) =>
        expect(new Set(Array.from({ length: cells }, (_, i) => Math.floor(got[i * 6 + j] * cells))).size).toBe(cells);
      primes.forEach((p, j) => {
        for (let cells = p; cells <= 2401; cells *= p) check(points, j, cells);
        expectMutantFails(() => check(independent, j, p ** 2));
      });
      // The base of the coordinate matters: powers of two are no stratum of the second one.
      expectMutantFails(() => check(points, 1, 1024));
    }
  });

  it('repeats with the seed, and takes any d', () => {
    expect(haltonPoints({ m: 9, d: 4, seed: 5 })).toEqual(haltonPoints({ m: 9, d: 4, seed: 5 }));
    expect(haltonPoints({ m: 9, d: 4, seed: 5 })).not.toEqual(haltonPoints({ m: 9, d: 4, seed: 6 }));
    expect(haltonGaussian({ m: 4, d: 300, seed: 0 }).every(Number.isFinite)).toBe(true);
  });
});
