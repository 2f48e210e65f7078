import { describe, expect, it } from 'vitest';
import { type FeatureConstants, favorPlus } from '../../src/features/favor-plus.js';
import { iidGaussian } from '../../src/features/gaussian.js';
import { orthogonalGaussian } from '../../src/features/orf.js';
import { expectMutantFails } from '../close.js';

const square = (x: readonly number[]) => x.reduce((sum, a) => sum + a * a, 0);

/** The estimate φ(x)·φ(y) of exp(x·y) by each of the H sets of constants, with all exponents multiplied by `slip`. */
function estimates({ omega, bias }: FeatureConstants, x: readonly number[], y: readonly number[], H: number, slip = 1) {
  const M = bias.length / H;
  const feature = (vector: readonly number[], row: number) => {
    const projection = vector.reduce((sum, a, i) => sum + a * omega[row * vector.length + i], 0);
    return Math.exp(slip * (projection - square(vector) / 2) + bias[row]);
  };
  return Float64Array.from({ length: H }, (_, h) => {
    let sum = 0;
    for (let row = h * M; row < (h + 1) * M; row++) sum += feature(x, row) * feature(y, row);
    return sum;
  });
}

/** √ mean (estimate / kernel − 1)² */
const relativeRMSE = (values: Float64Array, kernel: number) =>
  Math.sqrt(values.reduce((sum, value) => sum + (value / kernel - 1) ** 2, 0) / values.length);

describe('FAVOR+', () => {
  it.each([
    // x·y and R − 1 = exp(|x + y|²) − 1 for |x| = |y| = 1
    ['orthogonal', [1, 0, 0, 0], [0, 1, 0, 0], 0, Math.E ** 2 - 1],
    ['at x·y = .6', [1, 0, 0, 0], [0.6, 0.8, 0, 0], 0.6, Math.exp(3.2) - 1],
  ])(
    'is unbiased, %s: |z| < 4 over 172,800 draws, which exponents off by a twentieth fail',
    (_name, x, y, product, variance) => {
      const heads = 675;
      const constants = favorPlus({ heads, headDim: 4, m: 256, sampler: iidGaussian });
      const check = (slip: number) => {
        const values = estimates(constants, x, y, heads, slip);
        const mean = values.reduce((sum, value) => sum + value, 0) / heads;
        expect(Math.abs((mean / Math.exp(product) - 1) / Math.sqrt(variance / (heads * 256)))).toBeLessThan(4);
      };
      check(1);
      expectMutantFails(() => check(0.95));
      expectMutantFails(() => check(1.05));
    },
  );

  it('errs by √((R − 1) / m), R = exp(|x + y|²)', () => {
    // x·y = .18, |x + y|² = .97: K = exp(.18), R = exp(.97) = 2.637944459, √((R − 1) / 256) = .0799888776.
    const [x, y, kernel, error] = [[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], 1.1972173631218102, 0.07998887762903138];
    const heads = 2000;
    const constants = favorPlus({ heads, headDim: 4, m: 256, sampler: iidGaussian });
    const check = (slip: number) => {
      const ratio = relativeRMSE(estimates(constants, x, y, heads, slip), kernel) / error;
      expect(Math.abs(ratio - 1)).toBeLessThan(0.05);
    };
    check(1);
    // At .95 the bias makes up for the lost variance (.0783 against .0800): only the test of the mean sees that one.
    expectMutantFails(() => check(0.9));
    expectMutantFails(() => check(1.05));
  });

  it('errs less with orthogonal features, by the closed form, and iid features do not', () => {
    const [d, heads, z2] = [16, 20_000, 0.97];
    const x = Array.from({ length: d }, (_, i) => (i === 0 ? Math.sqrt(z2) / 2 : 0));
    const kernel = Math.exp(z2 / 4);
    const R = Math.exp(z2);
    const want = Math.sqrt((R - 1 + (d - 1) * orthogonalCovariance(d, z2)) / d);
    expect(want / Math.sqrt((R - 1) / d)).toBeCloseTo(0.885, 3);
    const check = (sampler: typeof iidGaussian) => {
      const constants = favorPlus({ heads, headDim: d, m: d, sampler });
      expect(Math.abs(relativeRMSE(estimates(constants, x, x, heads), kernel) / want - 1)).toBeLessThan(0.05);
    };
    check(orthogonalGaussian);
    expectMutantFails(() => check(iidGaussian));
  });

  it('carries b = −½ ln m, so that features need no other factor', () => {
    const { omega, bias } = favorPlus({ heads: 2, headDim: 4, m: 8 });
    expect([omega.length, bias.length]).toEqual([2 * 8 * 4, 2 * 8]);
    expect(new Set(bias)).toEqual(new Set([Math.fround(-0.5 * Math.log(8))]));
  });

  it('repeats with the seed, defaults to seed 0 and ORF, and draws anew for every head', () => {
    const options = { heads: 3, headDim: 4, m: 8 };
    const { omega } = favorPlus(options);
    expect(favorPlus({ ...options, seed: 0, sampler: orthogonalGaussian }).omega).toEqual(omega);
    expect(favorPlus({ ...options, seed: 1 }).omega).not.toEqual(omega);
    expect(omega.subarray(0, 32)).not.toEqual(omega.subarray(32, 64));
    expect(omega.subarray(32, 64)).not.toEqual(omega.subarray(64, 96));
  });

  it('refuses counts below 1', () => {
    expect(() => favorPlus({ heads: 1, headDim: 4, m: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  m must be an integer >= 1, got 0
        at   features.m
        mend use m = 64 or more]
    `);
    expect(() => favorPlus({ heads: 0, headDim: 4, m: 8 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  heads must be an integer >= 1, got 0
        at   features.heads
        mend pass the number of query heads of the layer]
    `);
    expect(() => favorPlus({ heads: 1, headDim: 2.5, m: 8 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  d must be an integer >= 1, got 2.5
        at   features.d
        mend pass the width of one head, such as 64]
    `);
  });
});

/**
 * The covariance of two features of one orthogonal block over K², with t = |x + y|². For rows ρ₁u₁ ⊥ ρ₂u₂,
 * E(u₁·e)²ⁱ(u₂·e)²ʲ is that of two coordinates of a point on the sphere and Eρ²ⁱ = 2ⁱ(d/2)ᵢ, rising factorials, whence
 *   cov = exp(−t) Σᵢⱼ (t/2)ⁱ⁺ʲ / (i! j!) · (d/2)ᵢ (d/2)ⱼ / (d/2)ᵢ₊ⱼ − 1 < 0.
 * Independent rows have no last factor, and cov = 0.
 */
function orthogonalCovariance(d: number, t: number): number {
  const rising = (n: number, from: number) => Array.from({ length: n }, (_, k) => from + k).reduce((a, b) => a * b, 1);
  let sum = 0;
  for (let i = 0; i < 20; i++) {
    for (let j = 0; j < 20; j++) {
      const ratio = (rising(i, d / 2) * rising(j, d / 2)) / rising(i + j, d / 2);
      sum += ((t / 2) ** (i + j) / (rising(i, 1) * rising(j, 1))) * ratio;
    }
  }
  return Math.exp(-t) * sum - 1;
}
