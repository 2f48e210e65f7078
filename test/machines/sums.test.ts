import { describe, expect, it } from 'vitest';
import { uniforms } from '../../src/features/rng.js';
import { kernelSums, laplace } from '../../src/machines/sums.js';
import { close, expectMutantFails } from '../close.js';

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

/** φ(x) = [1, x, x²/2], signs + + −: k(x, y) = 1 + xy − x²y²/4. */
const map = {
  d: 1,
  features: 3,
  signs: Int8Array.of(1, 1, -1),
  phi: (x: ArrayLike<number>) => Float64Array.from(Array.from(x).flatMap((value) => [1, value, value ** 2 / 2])),
};
const kernel = (x: number, y: number) => 1 + x * y - (x * y) ** 2 / 4;
const points = [0.4, -1, 2, 0.1];
const weights = [1, -2, 0.5, 3];

describe('kernel sums', () => {
  it('are the sums of the kernel, signs and weights counted', () => {
    const want = [0.3, -2].map((y) => points.reduce((sum, x, i) => sum + weights[i] * kernel(x, y), 0));
    const check = (c: number[]) => close(kernelSums(map, points, { weights: c }).query([0.3, -2]), want, 1e-12);
    check(weights);
    expectMutantFails(() => check([1, -2, 0.5, 3.03]));
    expectMutantFails(() =>
      close(kernelSums({ ...map, signs: Int8Array.of(1, 1, 1) }, points, { weights }).query([0.3, -2]), want, 1e-12),
    );
  });

  it('of two data sets add', () => {
    const [a, b] = [points.slice(0, 2), points.slice(2)].map((part) => kernelSums(map, part).sums);
    close(
      a.map((value, r) => value + b[r]),
      kernelSums(map, points).sums,
      1e-12,
    );
  });

  it('refuse weights that do not fit', () => {
    expect(() => kernelSums(map, points, { weights: [1] })).toThrow(
      'PF423  weights must be 4 numbers, one a row, got 1',
    );
  });
});

describe('private sums', () => {
  const privacy = { epsilon: 0.5, bound: 2 };

  it('carry noise of Laplace law: its mean, variance and distribution at every channel', () => {
    const uniform = uniforms(31);
    const exact = kernelSums(map, points, { privacy: { ...privacy, uniform: () => 0.5 } });
    expect(exact.noise).toBe(4);
    const noise = Array.from(
      { length: 40_000 },
      () => kernelSums(map, points, { privacy: { ...privacy, uniform } }).sums,
    ).flatMap((sums) => Array.from(sums, (value, r) => value - exact.sums[r]));
    // Law of scale b: mean 0, variance 2b², P(|t| > bs) = e^−s, so 4-sigma bounds follow from b and n alone.
    const check = (b: number) => {
      const n = noise.length;
      expect(Math.abs(mean(noise)) / Math.sqrt((2 * b * b) / n)).toBeLessThan(4);
      // E|t| = b, Var|t| = b².
      expect(Math.abs(mean(noise.map(Math.abs)) - b) / (b / Math.sqrt(n))).toBeLessThan(4);
      for (const s of [0.5, 1, 3]) {
        const share = noise.filter((value) => Math.abs(value) > b * s).length / n;
        const p = Math.exp(-s);
        expect(Math.abs(share - p) / Math.sqrt((p * (1 - p)) / n)).toBeLessThan(4);
      }
    };
    check(4);
    expectMutantFails(() => check(4 * 1.02));
    expectMutantFails(() => check(4 * 0.98));
  });

  it('keep the ratio of densities of neighbouring data within e^ε', () => {
    // Sums without noise of data with and without a row: the noise is Laplace, so the log ratio is at most |Δs|₁ / scale.
    const sumsOf = (rows: number[], bound: number) =>
      kernelSums(map, rows, { privacy: { epsilon: 0.5, bound, uniform: () => 0.5 } });
    const check = (bound: number, scale: number) => {
      for (const extra of [0, 1, -3, 50]) {
        const [without, withIt] = [sumsOf(points, bound), sumsOf([...points, extra], bound)];
        const change = without.sums.reduce((sum, value, r) => sum + Math.abs(value - withIt.sums[r]), 0);
        expect(change / scale).toBeLessThanOrEqual(0.5 + 1e-12);
      }
    };
    check(2, 4);
    expectMutantFails(() => check(2.02, 4));
  });

  it('shorten rows beyond the bound, and say how many', () => {
    expect(kernelSums(map, points, { privacy }).shortened).toBe(2);
    expect(kernelSums(map, points, { privacy: { ...privacy, bound: 100 } }).shortened).toBe(0);
  });

  it('cannot be repeated without a generator of one’s own', () => {
    expect(kernelSums(map, points, { privacy }).sums).not.toEqual(kernelSums(map, points, { privacy }).sums);
  });

  it('refuse ε and bounds that protect nothing', () => {
    expect(() => kernelSums(map, points, { privacy: { ...privacy, epsilon: 0 } })).toThrow(
      'PF423  epsilon must be a positive number, got 0',
    );
    expect(() => kernelSums(map, points, { privacy: { ...privacy, bound: Infinity } })).toThrow(
      'PF423  bound must be a positive number, got Infinity',
    );
    expect(() => laplace(1, 0)).toThrow('PF423  uniform must lie in (0, 1), got 0');
  });
});
