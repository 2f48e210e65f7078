import { describe, expect, it } from 'vitest';
import { featureMaps, samplers } from '../../src/features/registry.js';
import { expectMutantFails } from '../close.js';

describe.each(Object.entries(samplers))('sampler %s', (_name, sampler) => {
  it('repeats with the seed and changes with it', () => {
    expect(sampler({ m: 9, d: 4, seed: 5 })).toEqual(sampler({ m: 9, d: 4, seed: 5 }));
    expect(sampler({ m: 9, d: 4, seed: 5 })).not.toEqual(sampler({ m: 9, d: 4, seed: 6 }));
  });

  it('gives the head of a larger draw for a smaller m', () => {
    expect(sampler({ m: 6, d: 4, seed: 5 })).toEqual(sampler({ m: 9, d: 4, seed: 5 }).subarray(0, 6 * 4));
  });

  it('draws rows of covariance I, with analytic standard errors', () => {
    const d = 3;
    const count = 20_000;
    // One row a seed: rows of one draw may depend on one another.
    const rows = Array.from({ length: count }, (_, seed) => sampler({ m: 1, d, seed }));
    const check = (size: number) => {
      for (let a = 0; a < d; a++) {
        for (let b = 0; b <= a; b++) {
          const excess = rows.reduce((sum, row) => sum + size * size * row[a] * row[b] - Number(a === b), 0);
          expect(Math.abs(excess / Math.sqrt(count * (a === b ? 2 : 1)))).toBeLessThan(4);
        }
      }
    };
    check(1);
    expectMutantFails(() => check(1.03));
  });

  it('refuses m and d below 1', () => {
    expect(() => sampler({ m: 0, d: 4, seed: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  m must be an integer >= 1, got 0
        at   features.m
        mend use m = 64 or more]
    `);
    expect(() => sampler({ m: 4, d: 0, seed: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  d must be an integer >= 1, got 0
        at   features.d
        mend pass the width of one head, such as 64]
    `);
  });
});

describe.each(Object.entries(featureMaps))('feature map %s', (_name, map) => {
  it('gives omega [H,M,D] and bias [H,M], finite, and repeats with the seed', () => {
    const options = { heads: 2, headDim: 5, m: 7, seed: 3 };
    const { omega, bias } = map(options);
    expect([omega.length, bias.length]).toEqual([2 * 7 * 5, 2 * 7]);
    expect([...omega, ...bias].every(Number.isFinite)).toBe(true);
    expect(map(options)).toEqual({ omega, bias });
  });
});
