import { describe, expect, it } from 'vitest';
import { doubleSoftmax } from '../../src/attention/double-softmax.js';
import { type AsymmetricOptions, aderf } from '../../src/features/aderf.js';
import { iidGaussian } from '../../src/features/gaussian.js';
import { gaussians } from '../../src/features/rng.js';
import { sderf } from '../../src/features/sderf.js';
import { close, expectMutantFails } from '../close.js';

/** Rows [n,d] times a symmetric matrix [d,d]. */
function times(rows: ArrayLike<number>, matrix: ArrayLike<number>, d: number): Float64Array {
  return Float64Array.from({ length: rows.length }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < d; k++) sum += rows[at - (at % d) + k] * matrix[k * d + (at % d)];
    return sum;
  });
}

const diagonal = (values: readonly number[]) =>
  values.flatMap((value, i) => values.map((_, j) => (i === j ? value : 0)));
const squareOf = (x: ArrayLike<number>) => Array.from(x).reduce((sum, value) => sum + value * value, 0);

describe.each([
  ['of pairs taken independently', [0, 0, 0, 0]],
  ['of queries and keys that go together', [0.1, -0.02, -0.1, 0.05]],
])('ADERF %s', (_, together) => {
  // The vectors of METHODS A in a head whose queries and keys differ by axis, where everything is plain arithmetic.
  const [x, y, kernel, heads, m] = [[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], 1.1972173631218102, 4000, 256];
  const [queries, keys] = [
    [0.4, 0.01, 0.3, 0.1],
    [0.05, 0.16, 0.1, 0.1],
  ];
  const [queryMean, keyMean] = [
    [0.2, 0, 0.1, 0],
    [0.1, 0.1, 0, 0],
  ];
  const repeated = (values: readonly number[], count: number) => Array.from({ length: count }, () => values).flat();
  const optionsFor = (count: number): AsymmetricOptions => ({
    heads: count,
    headDim: 4,
    m,
    sampler: iidGaussian,
    moments: {
      query: repeated(diagonal(queries), count),
      key: repeated(diagonal(keys), count),
      cross: repeated(diagonal(together), count),
      queryMean: repeated(queryMean, count),
      keyMean: repeated(keyMean, count),
    },
  });
  const g = queries.map((variance, l) => (keys[l] / variance) ** 0.25);
  // R of A.6 at z = G(x − c) + G⁻¹(y − e), tₗ = 2 √(M₁M₂)ₗ + 2 cov(x, y)ₗ; the ridge of 1e-4 moves it by less.
  const R = g.reduce((product, stretch, l) => {
    const t = 2 * Math.sqrt(queries[l] * keys[l]) + 2 * together[l];
    const phi = (1 + 2 * t + Math.sqrt((1 + 2 * t) ** 2 + 8 * t)) / 2;
    const u = stretch * (x[l] - queryMean[l]) + (y[l] - keyMean[l]) / stretch;
    return (product * ((1 + phi) / 2) * Math.exp((u * u) / phi)) / Math.sqrt(phi);
  }, 1);
  const constants = aderf(optionsFor(heads));

  /** φ_q(x)·φ_k(y) / K by each head, with exponents but b multiplied by `slip`. |Gx| is that of x in keyBasis⁻¹. */
  const ratios = (slip: number) => {
    const { queryOmega, keyOmega, keyBasis, bias } = constants;
    const squares =
      squareOf(x.map((value, i) => value / keyBasis[5 * i])) + squareOf(times(y, keyBasis.subarray(0, 16), 4));
    return Float64Array.from({ length: heads }, (_, h) => {
      let sum = 0;
      for (let row = h * m; row < (h + 1) * m; row++) {
        let exponent = -squares / 2;
        for (let i = 0; i < 4; i++) exponent += x[i] * queryOmega[row * 4 + i] + y[i] * keyOmega[row * 4 + i];
        sum += Math.exp(slip * exponent + 2 * bias[row]);
      }
      return sum / kernel;
    });
  };
  const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

  it('is unbiased: |z| < 4 by the analytic variance over 1,024,000 draws, which exponents off by 1 % fail', () => {
    const check = (slip: number) =>
      expect(Math.abs((meanOf(ratios(slip)) - 1) / Math.sqrt((R - 1) / (heads * m)))).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(0.99));
    expectMutantFails(() => check(1.01));
  });

  it('errs by √((R − 1) / m) within 5 %', () => {
    const got = Math.sqrt(meanOf(ratios(1).map((value) => (value - 1) ** 2)));
    const check = (want: number) => expect(Math.abs(got / want - 1)).toBeLessThan(0.05);
    check(Math.sqrt((R - 1) / m));
    expectMutantFails(() => check(1.15 * Math.sqrt((R - 1) / m)));
  });

  it('is SDERF of Gx and G⁻¹y, with what goes together of them', () => {
    const mean = g.map((stretch, l) => stretch * queryMean[l] + keyMean[l] / stretch);
    const check = (share: number) => {
      const second = diagonal(queries.map((variance, l) => 2 * Math.sqrt(variance * keys[l]) + share * together[l]));
      const { omega, bias } = sderf({ ...optionsFor(1), moments: { mean, second } });
      const own = aderf(optionsFor(1));
      // The ridge of 1e-4 tr/D is most for the smallest of these variances, .01.
      close(
        own.queryOmega,
        omega.map((value, i) => g[i % 4] * value),
        5e-3,
      );
      close(own.bias, bias, 5e-3);
    };
    check(2);
    if (together.some((value) => value !== 0)) expectMutantFails(() => check(0));
  });

  it('is the double softmax of its own two sides, and of Gx and G⁻¹y with Ω unfolded', () => {
    const [d, n] = [4, 6];
    const asymmetric = aderf({ ...optionsFor(1), m: 24 });
    const { queryOmega, keyOmega, keyBasis, bias } = asymmetric;
    const normal = gaussians(7);
    const [q, k, v] = [0, 1, 2].map(() => Float64Array.from({ length: n * d }, normal));
    const row = (a: ArrayLike<number>, i: number) => Array.from({ length: d }, (_, e) => a[i * d + e]);
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, e) => sum + value * b[e], 0);
    const want = Float64Array.from({ length: n * d }, (_, at) => {
      let [numerator, denominator] = [0, 0];
      for (let j = 0; j < n; j++) {
        const norm = squareOf(times(row(k, j), keyBasis, d));
        for (let r = 0; r < 24; r++) {
          const logit = dot(row(queryOmega, r), row(q, Math.floor(at / d))) + dot(row(keyOmega, r), row(k, j));
          const weight = Math.exp(logit - norm / 2 + 2 * bias[r]);
          numerator += weight * v[j * d + (at % d)];
          denominator += weight;
        }
      }
      return numerator / denominator;
    });
    const inverse = diagonal([0, 1, 2, 3].map((i) => 1 / keyBasis[5 * i]));
    const check = (basis: ArrayLike<number>) => {
      const input = { B: 1, H: 1, N: n, S: n, D: d, E: d, q: times(q, inverse, d), k: times(k, basis, d), v, scale: 1 };
      close(doubleSoftmax(input, { omega: times(queryOmega, keyBasis, d), bias }), want, 5e-6);
    };
    check(keyBasis);
    expectMutantFails(() => check(keyBasis.map((value) => 1.01 * value)));
    const plain = { B: 1, H: 1, N: n, S: n, D: d, E: d, q, k, v, scale: 1 };
    const checkSides = (part: Partial<typeof asymmetric>) =>
      close(doubleSoftmax(plain, { ...asymmetric, ...part }), want, 1e-12);
    checkSides({});
    expectMutantFails(() => checkSides({ keyBasis: keyBasis.map((value) => 1.01 * value) }));
    expectMutantFails(() => checkSides({ keyOmega: queryOmega, queryOmega: keyOmega }));
  });

  it('repeats with the seed and changes with it', () => {
    const options = { ...optionsFor(2), m: 8, seed: 5 };
    expect(aderf(options)).toEqual(aderf(options));
    expect(aderf({ ...options, seed: 6 }).queryOmega).not.toEqual(aderf(options).queryOmega);
  });

  it('refuses no energy, NaN, a wrong width and m = 0', () => {
    const [query, key] = [diagonal([1, 1]), diagonal([1, 1])];
    const run = (part: Partial<AsymmetricOptions>) => () =>
      aderf({ heads: 1, headDim: 2, m: 8, moments: { query, key }, ...part });
    expect(run({ moments: { query, key: [0, 0, 0, 0] } })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.key must be positive definite, got the eigenvalue 0
        at   features.moments.key
        mend pass a covariance of more tokens than the head is wide, not zeros]
    `);
    expect(run({ moments: { query: [Number.NaN, 0, 0, 1], key } })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.query[0] must be finite, got NaN
        at   features.moments.query
        mend drop samples that are NaN or infinite before averaging]
    `);
    expect(run({ headDim: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.query must have 1 x 9 numbers, got 4
        at   features.moments.query
        mend pass moments of 1 heads of width 3, as in this layer]
    `);
    expect(run({ m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
  });
});
