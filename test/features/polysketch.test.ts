import { describe, expect, it } from 'vitest';
import { polysketch } from '../../src/features/polysketch.js';
import { gaussians } from '../../src/features/rng.js';
import { close, expectMutantFails } from '../close.js';

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);

describe('polysketch', () => {
  it('degree 2 is (x·y)² exactly, of d(d + 1)/2 features', () => {
    const normal = gaussians(1);
    for (const d of [1, 2, 7]) {
      const [x, y] = [0, 1].map(() => Float64Array.from({ length: d }, normal));
      const { phi, features } = polysketch({ d, m: 1, degree: 2 });
      expect(features).toBe((d * (d + 1)) / 2);
      const check = (u: number) => close([dot(phi(x), phi(y))], [u * u], 1e-12);
      check(dot(x, y));
      expectMutantFails(() => check(1.01 * dot(x, y)));
    }
  });

  it('degree 4 has its exact expectation: |z| < 4 by the analytic variance, which products off by 1 % fail', () => {
    const [x, y] = [
      [0.8, 0.3, -0.4],
      [0.7, 0.6, 0.2],
    ];
    const [a, u] = [dot(x, x) * dot(y, y), dot(x, y)];
    // Moments of b = (g·x)(g·y) for one Gaussian g (Isserlis); a pair of independent b makes one entry.
    const moments = [u, a + 2 * u * u, 9 * a * u + 6 * u ** 3, 9 * a * a + 72 * a * u * u + 24 * u ** 4];
    const [m1, m2, m3, m4] = moments.map((moment) => moment ** 2);
    const r = 28;
    const second = (r * m2 + r * (r - 1) * m1 ** 2) / r ** 2;
    const fourth =
      (r * m4 +
        4 * r * (r - 1) * m3 * m1 +
        3 * r * (r - 1) * m2 ** 2 +
        6 * r * (r - 1) * (r - 2) * m2 * m1 ** 2 +
        r * (r - 1) * (r - 2) * (r - 3) * m1 ** 4) /
      r ** 4;
    close([second], [u ** 4 + ((a + 2 * u * u) ** 2 - u ** 4) / r], 1e-12);
    const repetitions = 60_000;
    const values = Float64Array.from({ length: repetitions }, (_, seed) => {
      const { phi } = polysketch({ d: 3, m: 406, seed });
      return dot(phi(x), phi(y));
    });
    const mean = values.reduce((sum, value) => sum + value, 0) / repetitions;
    const deviation = Math.sqrt((fourth - second ** 2) / repetitions);
    // Every G off by 1 % is φ·φ off by 4 %.
    const check = (slip: number) => expect(Math.abs((mean * slip - second) / deviation)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01 ** 4));
    expectMutantFails(() => check(0.99 ** 4));
    // Unbiased for u⁴ it is not.
    expectMutantFails(() => expect(Math.abs((mean - u ** 4) / deviation)).toBeLessThan(4));
  });

  it('is never negative, whatever the degree, and has the features asked for at most', () => {
    const rows = Float64Array.from({ length: 30 }, gaussians(2));
    for (const degree of [2, 4, 8, 16]) {
      const { phi, features } = polysketch({ d: 3, m: 30, degree, seed: 4 });
      expect(features).toBe(degree === 2 ? 6 : 28);
      const all = phi(rows);
      for (let i = 0; i < 10; i++) {
        for (let j = 0; j < 10; j++) {
          const row = (k: number) => all.subarray(k * features, (k + 1) * features);
          // ≥ 0 to rounding: it is the square of a number that may be 0.
          expect(dot(row(i), row(j))).toBeGreaterThan(-1e-12 * Math.sqrt(dot(row(i), row(i)) * dot(row(j), row(j))));
        }
      }
    }
  });

  it('draws nodes of its tree apart', () => {
    // One seed for both halves of a step would make P a vector of squares.
    const { phi } = polysketch({ d: 2, m: 55, degree: 4 });
    expect(phi([1, 0]).some((value) => value < 0)).toBe(true);
  });

  it('refuses degrees that are no powers of two', () => {
    expect(() => polysketch({ d: 2, m: 8, degree: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  degree must be a power of two >= 2, got 3
        at   features.degree
        mend use degree = 4]
    `);
    expect(() => polysketch({ d: 2, m: 8, degree: Number.NaN })).toThrow('PF202  degree must be a power of two >= 2');
    expect(() => polysketch({ d: 2, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
  });
});
