import { describe, expect, it } from 'vitest';
import { gaussians, inverseNormal, streamSeed, uniforms } from '../../src/features/rng.js';
import { expectMutantFails } from '../close.js';

const take = (n: number, next: () => number) => Array.from({ length: n }, next);

describe('seeded random numbers', () => {
  it('equal an independent implementation to the last bit', () => {
    // sfc32 seeded by splitmix32 with seed 0, written in Python with unbounded integers.
    expect(take(3, uniforms(0))).toEqual([0.6750984963661942, 0.05130942157293805, 0.8656132769551016]);
  });

  it('repeat with the seed and change with it', () => {
    expect(take(100, gaussians(7))).toEqual(take(100, gaussians(7)));
    expect(take(4, gaussians(7))).not.toEqual(take(4, gaussians(8)));
  });

  it('are standard normal: mean, variance and fourth moment with analytic standard errors', () => {
    const n = 100_000;
    const check = (values: number[]) => {
      const z = (moment: (x: number) => number, variance: number) =>
        values.reduce((sum, x) => sum + moment(x), 0) / Math.sqrt(n * variance);
      expect(Math.abs(z((x) => x, 1))).toBeLessThan(4);
      expect(Math.abs(z((x) => x ** 2 - 1, 2))).toBeLessThan(4);
      expect(Math.abs(z((x) => x ** 4 - 3, 96))).toBeLessThan(4);
    };
    const values = take(n, gaussians(1));
    check(values);
    expectMutantFails(() => check(values.map((x) => x + 0.02)));
    expectMutantFails(() => check(values.map((x) => x * 1.02)));
    // √2 (sum of 6 uniforms − 3) has the right mean and variance, and a fourth moment of 2.8.
    const uniform = uniforms(1);
    expectMutantFails(() => check(take(n, () => Math.SQRT2 * (take(6, uniform).reduce((a, b) => a + b) - 3))));
  });

  it('refuse a seed that 32 bits do not hold', () => {
    expect(() => uniforms(-1)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  seed must be an integer in [0, 4294967295], got -1
        at   features.seed
        mend use a small whole number such as seed = 0]
    `);
    expect(() => gaussians(0.5)).toThrow(/PF202/);
    expect(() => streamSeed(2 ** 32, 0)).toThrow(/PF202/);
  });

  it('split into streams that differ', () => {
    expect(new Set(Array.from({ length: 10_000 }, (_, h) => streamSeed(3, h))).size).toBe(10_000);
    expect(streamSeed(3, 0)).not.toBe(streamSeed(4, 0));
  });
});

describe('inverseNormal', () => {
  // Python 3, statistics.NormalDist().inv_cdf: one p in each of the three ranges, both signs, and the least uniform.
  it.each([
    [0.5, 0],
    [0.1, -1.2815515655446008],
    [0.975, 1.9599639845400536],
    [1e-9, -5.9978070150076865],
    [2 ** -53, -8.209536151601386],
    [1 - 2 ** -53, 8.209536151601386],
  ])('of %d is %d', (p, x) => {
    const check = (got: number) => expect(Math.abs(got - x)).toBeLessThanOrEqual(4e-16 * Math.abs(x));
    check(inverseNormal(p));
    expectMutantFails(() => check(inverseNormal(p) + 1e-14));
  });
});
