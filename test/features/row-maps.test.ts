import { describe, expect, it } from 'vitest';
import { cosformer } from '../../src/features/cosformer.js';
import { iidGaussian, type Sampler } from '../../src/features/gaussian.js';
import { rowMaps } from '../../src/features/registry.js';
import { gaussians } from '../../src/features/rng.js';
import type { RowMap } from '../../src/features/row-map.js';
import { taylor2 } from '../../src/features/taylor2.js';
import { trig } from '../../src/features/trig.js';
import { close, expectMutantFails } from '../close.js';

// The test vectors of METHODS A; the numbers below are those of its oracles.json. |x − y|² = .25.
const [x, y, kernel] = [[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], 1.1972173631218102];
const [repetitions, m] = [4000, 256];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);
const estimate = ({ phi }: RowMap) => dot(phi(x), phi(y));
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const each = (value: (seed: number) => number) => Array.from({ length: repetitions }, (_, seed) => value(seed));
/** Independent rows, all too long by `slip`. */
const stretched =
  (slip: number): Sampler =>
  (draw) =>
    iidGaussian(draw).map((value) => slip * value);

describe.each(Object.entries(rowMaps))('row map %s', (_name, factory) => {
  const options = { d: 3, m: 8, seed: 5 };
  const rows = Float64Array.from({ length: 12 }, gaussians(1));

  it('maps whole rows, each by itself and its position, and repeats with the seed', () => {
    const { phi, features } = factory(options);
    const all = phi(rows);
    expect(all.length).toBe(4 * features);
    expect(phi(rows.subarray(6, 9), 2)).toEqual(all.subarray(2 * features, 3 * features));
    expect(factory(options).phi(rows)).toEqual(all);
    expect(all.every(Number.isFinite)).toBe(true);
    expect(phi([]).length).toBe(0);
  });

  it('refuses NaN, rows of another width and d = 0', () => {
    const { phi } = factory(options);
    expect(() => phi([1, Number.NaN, 0])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  x[1] must be finite, got NaN
        at   features.x
        mend mask or drop rows that are NaN or infinite]
    `);
    expect(() => phi([1, 2, 3, 4])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  x must be rows of d = 3 numbers, got 4 numbers
        at   features.x
        mend pass whole rows of width 3, or make the map for the width of x]
    `);
    expect(() => factory({ ...options, d: 0 })).toThrow('PF202  d must be an integer >= 1, got 0');
  });
});

describe('trig', () => {
  const values = (slip: number) => each((seed) => estimate(trig({ d: 4, m, seed, sampler: stretched(slip) })) / kernel);
  const right = values(1);

  it('is unbiased: |z| < 4 by R = cosh(|x − y|²) over 512,000 frequencies, which frequencies off by 1 % fail', () => {
    const deviation = Math.sqrt((1.0314130998795732 - 1) / ((repetitions * m) / 2));
    const check = (ratios: readonly number[]) => expect(Math.abs((meanOf(ratios) - 1) / deviation)).toBeLessThan(4);
    check(right);
    expectMutantFails(() => check(values(0.99)));
    expectMutantFails(() => check(values(1.01)));
  });

  it('errs by 0.015666 within 5 %', () => {
    const error = Math.sqrt(meanOf(right.map((ratio) => (ratio - 1) ** 2)));
    const check = (want: number) => expect(Math.abs(error / want - 1)).toBeLessThan(0.05);
    check(0.015665721905139436);
    expectMutantFails(() => check(1.15 * 0.015665721905139436));
  });

  it('is exact at x = y', () => {
    const { phi } = trig({ d: 4, m: 2 });
    close([dot(phi(y), phi(y))], [Math.exp(0.25)], 1e-14);
    expectMutantFails(() => close([dot(phi(y), phi(x))], [kernel], 1e-14));
  });

  it('refuses an odd m, m = 0 and rows whose exponent overflows', () => {
    expect(() => trig({ d: 4, m: 7 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  m must be even, a cosine and a sine for each frequency, got 7
        at   features.m
        mend use m = 8]
    `);
    expect(() => trig({ d: 4, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => trig({ d: 2, m: 8 }).phi([0, 50])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  exp(|x|²/2) must be finite, got |x|²/2 = 1250
        at   features.x
        mend normalise the rows of x, or use a map of the double-softmax form]
    `);
  });
});

it('taylor2 is 1 + s + s²/2', () => {
  const normal = gaussians(2);
  close([estimate(taylor2({ d: 4 }))], [1.1962], 1e-12);
  for (const d of [1, 2, 7, 64]) {
    const [a, b] = [0, 1].map(() => Float64Array.from({ length: d }, normal));
    const { phi, features } = taylor2({ d });
    expect(features).toBe(1 + d + (d * (d + 1)) / 2);
    const check = (s: number) => close([dot(phi(a), phi(b))], [1 + s + (s * s) / 2], 1e-12);
    check(dot(a, b));
    expectMutantFails(() => check(1.01 * dot(a, b)));
  }
});

describe('cosformer', () => {
  const { phi } = cosformer({ d: 4, length: 9 });
  const rows = Float64Array.from({ length: 9 * 4 }, gaussians(3));
  const row = (i: number) => rows.subarray(4 * i, 4 * i + 4).map((value) => Math.max(0, value));

  it('weighs by relu(q)·relu(k) cos(π(i − j) / 2L) ≥ 0', () => {
    const all = phi(rows);
    const check = (offset: number) => {
      for (let i = 0; i < 9; i++) {
        for (let j = 0; j < 9; j++) {
          const got = dot(all.subarray(8 * i, 8 * i + 8), all.subarray(8 * j, 8 * j + 8));
          expect(got).toBeGreaterThanOrEqual(0);
          close([got], [dot(row(i), row(j)) * Math.cos((Math.PI * (i - j + offset)) / 18)], 1e-12);
        }
      }
    };
    check(0);
    expectMutantFails(() => check(1));
  });

  it('refuses positions past its length, and a length below 1', () => {
    expect(() => phi(rows, 1)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  positions must be in 0…8, got 9
        at   features.length
        mend make the map with length = 10 or more, or pass \`first\` >= 0]
    `);
    expect(() => cosformer({ d: 4, length: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  length must be an integer >= 1, got 0
        at   features.length
        mend pass the longest sequence the model takes, such as 512]
    `);
  });
});
