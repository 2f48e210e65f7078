import { describe, expect, it } from 'vitest';
import { iidGaussian, type Sampler } from '../../src/features/gaussian.js';
import { hedgehog } from '../../src/features/hedgehog.js';
import { hrf } from '../../src/features/hrf.js';
import { landmarkMaps, pairMaps } from '../../src/features/registry.js';
import { gaussians } from '../../src/features/rng.js';
import type { PairMap } from '../../src/features/row-map.js';
import { close, expectMutantFails } from '../close.js';

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);
const weight = ({ query, key }: PairMap, x: readonly number[], y: readonly number[]) => dot(query(x), key(y));

const data = Float64Array.from({ length: 3 * 20 }, gaussians(9));
const made: [string, () => PairMap][] = [
  ...Object.entries(pairMaps).map(([name, factory]): [string, () => PairMap] => [
    name,
    () => factory({ d: 3, m: 8, seed: 5 }),
  ]),
  ...Object.entries(landmarkMaps).map(([name, factory]): [string, () => PairMap] => [
    name,
    () => factory({ d: 3, m: 8, seed: 5, rows: data }),
  ]),
];

describe.each(made)('map of two sides %s', (_name, make) => {
  const rows = Float64Array.from({ length: 12 }, gaussians(1));

  it('maps whole rows on both sides, each by itself, and repeats with the seed', () => {
    const map = make();
    for (const side of ['query', 'key'] as const) {
      const all = map[side](rows);
      expect(all.length).toBe(4 * map.features);
      expect(map[side](rows.subarray(6, 9))).toEqual(all.subarray(2 * map.features, 3 * map.features));
      expect(make()[side](rows)).toEqual(all);
      expect(all.every(Number.isFinite)).toBe(true);
      expect(() => map[side]([1, Number.NaN, 0])).toThrow('PF202  x[1] must be finite, got NaN');
      expect(() => map[side]([1, 2, 3, 4])).toThrow('PF202  x must be rows of d = 3 numbers, got 4 numbers');
    }
  });
});

describe('HRF', () => {
  // The test vectors of METHODS A, θ = .9272952, and the pair x, −y, which swaps |x + y|² = .97 and |x − y|² = .25.
  const [x, y] = [
    [0.6, 0, 0, 0],
    [0.3, 0.4, 0, 0],
  ];
  const pairs = [
    { y, kernel: 1.1972173631218102, lambda: 0.2951672353008665, z2: 0.97, delta2: 0.25 },
    {
      y: y.map((value) => -value),
      kernel: 1 / 1.1972173631218102,
      lambda: 1 - 0.2951672353008665,
      z2: 0.25,
      delta2: 0.97,
    },
  ];
  const [m, angles, repetitions] = [16, 3, 100_000];

  /** The variance of K̂ over K², for weights λ̂ on hyperbolic and 1 − λ̂ on trigonometric features. */
  function relativeVariance({ lambda, z2, delta2 }: (typeof pairs)[number]): number {
    const n = m / 4;
    const second = lambda ** 2 + (lambda * (1 - lambda)) / angles; // E λ̂²
    const hyperbolic = 1 + (Math.cosh(z2) - 1) / n;
    const trigonometric = 1 + (Math.cosh(delta2) - 1) / n;
    return second * hyperbolic + 2 * (lambda - second) + (1 - 2 * lambda + second) * trigonometric - 1;
  }

  /** K̂ / K of both pairs by each seed, with one kind of frequency off by `slip`: 0 hyperbolic, 1 trigonometric. */
  function ratios(slip: number, kind = 0): Float64Array[] {
    let calls = 0;
    const stretched: Sampler = (draw) => {
      const size = calls++ % 2 === kind ? slip : 1;
      return iidGaussian(draw).map((value) => size * value);
    };
    const out = pairs.map(() => new Float64Array(repetitions));
    for (let seed = 0; seed < repetitions; seed++) {
      const map = hrf({ d: 4, m, angles, seed, sampler: stretched });
      const query = map.query(x);
      pairs.forEach((pair, p) => {
        out[p][seed] = dot(query, map.key(pair.y)) / pair.kernel;
      });
    }
    return out;
  }
  const right = ratios(1);

  it('is unbiased: |z| < 4 by the analytic variance, which frequencies off by 1 % fail', () => {
    const check = (values: readonly Float64Array[]) =>
      values.forEach((value, p) => {
        const mean = value.reduce((sum, ratio) => sum + ratio, 0) / repetitions;
        expect(Math.abs((mean - 1) / Math.sqrt(relativeVariance(pairs[p]) / repetitions))).toBeLessThan(4);
      });
    check(right);
    expectMutantFails(() => check(ratios(1.01, 0)));
    expectMutantFails(() => check(ratios(1.01, 1)));
  });

  it('errs by its analytic variance within 3 %, which weights swapped fail', () => {
    const check = (swap: boolean) =>
      pairs.forEach((pair, p) => {
        const want = relativeVariance(swap ? { ...pair, lambda: 1 - pair.lambda } : pair);
        const got = right[p].reduce((sum, ratio) => sum + (ratio - 1) ** 2, 0) / repetitions;
        expect(Math.abs(got / want - 1)).toBeLessThan(0.03);
      });
    check(false);
    expectMutantFails(() => check(true));
  });

  it('is exact at x = y, where only trigonometric features count, and at x = −y', () => {
    const map = hrf({ d: 4, m: 8, angles: 5, seed: 3 });
    const check = (other: readonly number[]) => close([weight(map, y, other)], [Math.exp(dot(y, other))], 1e-13);
    check(y);
    check(y.map((value) => -value));
    expectMutantFails(() => check(x));
  });

  it('refuses an m that 4 does not divide, and no angles', () => {
    expect(() => hrf({ d: 4, m: 6 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  m must be a multiple of 4, two channels for each of m/4 + m/4 draws, got 6
        at   features.m
        mend use m = 8]
    `);
    expect(() => hrf({ d: 4, m: 8, angles: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  angles must be an integer >= 1, got 0
        at   features.angles
        mend use angles = 8]
    `);
    expect(() => hrf({ d: 4, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => hrf({ d: 2, m: 8 }).query([0, 50])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  exp(|x|²/2) must be finite, got |x|²/2 = 1250
        at   features.x
        mend normalise the rows of x, or use a map of the double-softmax form]
    `);
  });
});

describe('Hedgehog', () => {
  const [d, f] = [3, 4];
  const normal = gaussians(4);
  const weights = {
    query: Float64Array.from({ length: f * d }, normal),
    key: Float64Array.from({ length: f * d }, normal),
  };
  const rows = Float64Array.from({ length: 5 * d }, normal);

  /** [softmax(Wx), softmax(−Wx)] by its definition. */
  function naive(w: ArrayLike<number>, x: ArrayLike<number>): number[] {
    const h = Array.from({ length: f }, (_, r) =>
      dot(
        x,
        Array.from({ length: d }, (_, l) => w[r * d + l]),
      ),
    );
    return [1, -1].flatMap((sign) => {
      const powers = h.map((value) => Math.exp(sign * value));
      const sum = powers.reduce((total, value) => total + value, 0);
      return powers.map((value) => value / sum);
    });
  }

  it('is two softmaxes of its own weights on each side', () => {
    const map = hedgehog({ d, weights });
    for (const side of ['query', 'key'] as const) {
      const want = (slip: number) =>
        [0, 1, 2, 3, 4].flatMap((i) =>
          naive(
            weights[side],
            rows.subarray(i * d, (i + 1) * d).map((v) => slip * v),
          ),
        );
      close(map[side](rows), want(1), 1e-12);
      expectMutantFails(() => close(map[side](rows), want(1.01), 1e-12));
    }
    expect(map.query(rows)).not.toEqual(map.key(rows));
  });

  it('starts from the identity, and does not overflow', () => {
    const { query, features } = hedgehog({ d: 2 });
    expect(features).toBe(4);
    close(query([2000, -2000]), [1, 0, 0, 1], 1e-15);
  });

  it('refuses weights of a wrong shape', () => {
    expect(() =>
      hedgehog({ d, weights: { ...weights, key: weights.key.subarray(d) } }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  weights must have as many rows for queries as for keys, got 4 and 3
        at   features.weights
        mend pass the two matrices [f,d] of one head]
    `);
    expect(() => hedgehog({ d, weights: { ...weights, key: [1, 2] } })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  weights must be rows of d = 3 numbers, got 2 numbers
        at   features.weights
        mend pass at least one whole row of width 3, row by row]
    `);
    expect(() => hedgehog({ d: 1, weights: { query: [Number.NaN], key: [1] } })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  weights[0] must be finite, got NaN
        at   features.weights
        mend drop rows that are NaN or infinite, with their labels]
    `);
    expect(() => hedgehog({ d: 0 })).toThrow('PF202  d must be an integer >= 1, got 0');
  });
});
