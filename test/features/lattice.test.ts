import { describe, expect, it } from 'vitest';
import { latticeGaussian, latticePoints } from '../../src/features/lattice.js';
import { uniforms } from '../../src/features/rng.js';
import { expectMutantFails } from '../close.js';

const WORD = 2 ** 32;
const D = 128;

/** Every coordinate has one of the first m points in each of m cells. */
function checkStratified(points: Float64Array, d: number, m: number) {
  for (let j = 0; j < d; j++) {
    const cells = Array.from({ length: m }, (_, i) => Math.floor((points[i * d + j] / WORD) * m));
    expect(new Set(cells).size).toBe(m);
  }
}

describe('rank-1 lattice', () => {
  it('2ᵏ points stay 1/2ᵏ apart in each of the 128 dimensions, to 2¹³', () => {
    const points = latticePoints(8192, D);
    for (const m of [2, 64, 1024, 8192]) checkStratified(points, D, m);
    const uniform = uniforms(1);
    const independent = Float64Array.from({ length: 1024 * D }, () => uniform() * WORD);
    expectMutantFails(() => checkStratified(independent, D, 1024));
  });

  it('its squared error, averaged over shifts, is below 1/4 of that of independent points, d ≤ 16', () => {
    // ∑ₖ (Πⱼ (1 + B₂(xₖⱼ) / j) − 1) / m, against Πⱼ (1 + B₂(0) / j) − 1 over m for points drawn independently.
    const check = (m: number, d: number, points: Float64Array) => {
      let error = 0;
      for (let i = 0; i < m; i++) {
        let product = 1;
        for (let j = 0; j < d; j++) {
          const x = points[i * d + j] / WORD;
          product *= 1 + (x * x - x + 1 / 6) / (j + 1);
        }
        error += (product - 1) / m;
      }
      const independent = (Array.from({ length: d }, (_, j) => 1 + 1 / 6 / (j + 1)).reduce((a, b) => a * b) - 1) / m;
      expect(error / independent).toBeLessThan(0.25);
    };
    for (const m of [64, 512, 4096]) for (const d of [2, 8, 16]) check(m, d, latticePoints(m, d));
    // The vector (1, 1, …): every point on the diagonal.
    const diagonal = latticePoints(512, 8).map((_, i, all) => all[i - (i % 8)]);
    expectMutantFails(() => check(512, 8, diagonal));
  });

  it('refuses d above 128', () => {
    expect(() => latticeGaussian({ m: 4, d: 129, seed: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  d must be at most 128 for the lattice sampler, got 129
        at   features.d
        mend use the sampler 'orf', which takes any d]
    `);
    expect(latticeGaussian({ m: 4, d: 128, seed: 0 }).every(Number.isFinite)).toBe(true);
  });
});
