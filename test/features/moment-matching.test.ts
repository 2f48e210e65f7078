import { describe, expect, it } from 'vitest';
import { iidGaussian } from '../../src/features/gaussian.js';
import { momentMatched } from '../../src/features/moment-matching.js';
import { samplers, samplerTransforms } from '../../src/features/registry.js';
import { close, expectMutantFails } from '../close.js';

const identity = (d: number) => Float64Array.from({ length: d * d }, (_, i) => Number(i % (d + 1) === 0));

function moments(omega: Float64Array, d: number) {
  const m = omega.length / d;
  const [mean, second] = [new Float64Array(d), new Float64Array(d * d)];
  for (let r = 0; r < m; r++) {
    for (let i = 0; i < d; i++) {
      mean[i] += omega[r * d + i] / m;
      for (let j = 0; j < d; j++) second[i * d + j] += (omega[r * d + i] * omega[r * d + j]) / m;
    }
  }
  return { mean, second };
}

/** ₀F₁(a; −x) = Σₖ (−x)ᵏ / (k! (a)ₖ) */
function hypergeometric(a: number, x: number): number {
  let [term, sum] = [1, 1];
  for (let k = 0; k < 200; k++) {
    term *= -x / ((k + 1) * (a + k));
    sum += term;
  }
  return sum;
}

describe('moment matching', () => {
  it.each(Object.entries(samplers))('%s: mean 0 and second moment I, exactly', (_name, sampler) => {
    const check = (omega: Float64Array) => {
      const { mean, second } = moments(omega, 3);
      close([1, ...mean], [1, 0, 0, 0], 1e-12);
      close(second, identity(3), 1e-12);
    };
    const draw = { m: 24, d: 3, seed: 5 };
    check(momentMatched(sampler)(draw));
    expectMutantFails(() => check(sampler(draw)));
  });

  it('is biased as derived: |z| < 4 over 400,000 draws, which the RBF kernel and frequencies off by 1 % fail', () => {
    const [m, d, t, draws] = [8, 2, 2, 400_000];
    const delta = [1.2, -Math.sqrt(t - 1.44)];
    const law = (square: number) => hypergeometric((m - 1) / 2, ((m - 1) * square) / 4);
    const deviation = Math.sqrt(((1 + law(4 * t)) / 2 - law(t) ** 2) / draws);
    const sampler = momentMatched(iidGaussian);
    const projections = Float64Array.from({ length: draws }, (_, seed) => {
      const r = (seed % m) * d;
      const omega = sampler({ m, d, seed });
      return omega[r] * delta[0] + omega[r + 1] * delta[1];
    });
    const check = (slip: number, mean: number) => {
      const total = projections.reduce((sum, p) => sum + Math.cos(slip * p), 0);
      expect(Math.abs((total / draws - mean) / deviation)).toBeLessThan(4);
    };
    check(1, law(t));
    expectMutantFails(() => check(0.99, law(t)));
    expectMutantFails(() => check(1.01, law(t)));
    expectMutantFails(() => check(1, Math.exp(-t / 2)));
    // −|δ|⁴/4m of the kernel, to first order.
    const bias = hypergeometric(999.5 / 2, (999.5 * t) / 4) / Math.exp(-t / 2) - 1;
    expect(bias).toBeCloseTo(-(t * t) / 4 / 999.5, 5);
  });

  it('refuses as few rows as moments', () => {
    expect(() => momentMatched(iidGaussian)({ m: 5, d: 4, seed: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF402  moment matching takes m > d + 1 rows, got m = 5, d = 4
        at   features.m
        mend use m = 6 or more, or the sampler 'orf', whose blocks have second moment I up to norms]
    `);
    expect(momentMatched(iidGaussian)({ m: 6, d: 4, seed: 0 }).every(Number.isFinite)).toBe(true);
  });
});

it('antithetic follows every row by its negative', () => {
  const omega = samplerTransforms.antithetic(iidGaussian)({ m: 5, d: 2, seed: 1 });
  const check = (sign: number) =>
    close(
      omega.subarray(2, 4),
      omega.subarray(0, 2).map((value) => sign * value),
      1e-15,
    );
  check(-1);
  expectMutantFails(() => check(1));
  expectMutantFails(() => check(-1.01));
  expect(omega.length).toBe(10);
});
