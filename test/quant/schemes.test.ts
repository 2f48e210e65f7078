import { describe, expect, it } from 'vitest';
import { iidGaussian } from '../../src/features/gaussian.js';
import { gaussians } from '../../src/features/rng.js';
import { phasedCosines } from '../../src/quant/phased-cosines.js';
import { schemes } from '../../src/quant/registry.js';
import { dequantize, type Quantized, quantize, quantizedBytes, type Scheme, scores } from '../../src/quant/scheme.js';
import { close, expectMutantFails } from '../close.js';
import { latticeKernel, normalBelow, staircaseKernel, stochasticMoments } from '../oracle/low-bit.js';

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
/** |mean − want| in standard errors. */
const z = (values: readonly number[], want: number, variance: number) =>
  Math.abs(mean(values) - want) / Math.sqrt(variance / values.length);

const delta = [0.5, -0.4, 0.2, 0.3];
const distance = Math.hypot(...delta);
const kernel = Math.exp(-(distance ** 2) / 2);
const origin = [0.3, 0.1, -0.2, 0.4];
const pair = [...origin, ...origin.map((value, i) => value - delta[i])];

/** Single features of both rows of the pair: 1,200,000 independent frequencies and phases. */
const draws = phasedCosines({ d: 4, m: 1_200_000, seed: 9, sampler: iidGaussian });
const both = draws.map(pair).map((value) => value * Math.sqrt(draws.m / 2)); // [2,m], in [−1, 1]

describe('phased cosines', () => {
  it('estimate the Gaussian kernel with m·Var = 1 + k(2δ)/2 − k²', () => {
    const products = Array.from({ length: draws.m }, (_, r) => 2 * both[r] * both[draws.m + r]);
    const variance = 1 + Math.exp(-2 * distance ** 2) / 2 - kernel ** 2;
    const check = (slip: number) => expect(z(products, slip * kernel, variance)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    expectMutantFails(() => check(0.99));
  });

  it('refuse bad rows', () => {
    const { map } = phasedCosines({ d: 2, m: 4 });
    expect(() => map([1, 2, 3])).toThrow('PF420  x must be rows of d = 2 numbers, got 3 numbers');
    expect(() => map([1, Number.NaN])).toThrow('PF420  row 0 of x must be finite, got an angle of NaN');
    expect(() => phasedCosines({ d: 2, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => phasedCosines({ d: 2, m: 4, omega: new Float64Array(7) })).toThrow(
      'PF420  omega must be m x d = 4 x 2 numbers, got 7',
    );
  });
});

describe.each([1, 2, 4, 8])('stochastic rounding to %i bits', (bits) => {
  it('is unbiased given the features, with the analytic variance; a range 1 % off is seen', () => {
    const [m, repeats] = [64, 8000];
    // Features well away from zero, so that 1 % of the scale is many standard errors.
    const x = Array.from({ length: m }, (_, i) => 0.85 + 0.1 * Math.sin(i));
    const y = Array.from({ length: m }, (_, i) => 0.85 + 0.1 * Math.cos(3 * i));
    const levels = Array.from(schemes.stochastic.levels(bits));
    const estimates = Array.from({ length: repeats }, (_, seed) => {
      const options = { scheme: schemes.stochastic, bits, rows: 2, cols: m, range: 1, seed };
      const low = dequantize(quantize([...x, ...y], options));
      let sum = 0;
      for (let i = 0; i < m; i++) sum += low[i] * low[m + i];
      return sum;
    });
    const moments = stochasticMoments(x, y, levels);
    const check = (slip: number) => expect(z(estimates, slip * moments.mean, moments.variance)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    const deviations = mean(estimates.map((value) => (value - moments.mean) ** 2));
    // The variance of a sample variance of near-Gaussian sums is 2σ⁴/n: 4 standard errors are 6 %.
    const checkVariance = (slip: number) =>
      expect(Math.abs(deviations / (slip * moments.variance) - 1)).toBeLessThan(0.09);
    checkVariance(1);
    expectMutantFails(() => checkVariance(1.25));
  });
});

describe('universal', () => {
  const keys = dequantize(
    quantize(both.subarray(draws.m), { scheme: schemes.universal, bits: 1, rows: 1, cols: draws.m, range: 1 }),
  );
  const products = Array.from(keys, (key, r) => 2 * key * both[r]);

  it('is unbiased with m·Var = π²/8 − k²; levels 1 % off are seen', () => {
    const check = (slip: number) => expect(z(products, slip * kernel, Math.PI ** 2 / 8 - kernel ** 2)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    expectMutantFails(() => check(0.99));
  });

  it('has that variance', () => {
    const want = Math.PI ** 2 / 8 - kernel ** 2;
    const got = mean(products.map((value) => (value - kernel) ** 2));
    const check = (slip: number) => expect(Math.abs(got / (slip * want) - 1)).toBeLessThan(0.02);
    check(1);
    expectMutantFails(() => check(1.05));
  });
});

describe.each([
  ['nearest', 2],
  ['nearest', 4],
  ['lloyd-max', 1],
  ['lloyd-max', 2],
  ['lloyd-max', 4],
] as const)('%s at %i bits', (name, bits) => {
  const scheme: Scheme = schemes[name];
  const levels = Array.from(scheme.levels(bits));
  const cuts = levels.slice(1).map((level, i) => (level + levels[i]) / 2);

  it('has the expectation of its series, which is not the kernel at low widths', () => {
    const low = dequantize(quantize(both, { scheme, bits, rows: 2, cols: draws.m, range: 1 }));
    const products = Array.from({ length: draws.m }, (_, r) => 2 * low[r] * low[draws.m + r]);
    const spread = mean(products.map((value) => value ** 2)) - mean(products) ** 2;
    // E[2 Q(cos θ) Q(cos θ')] = 2 · ½ Σ aₙ² k(nδ)
    const check = (slip: number) =>
      expect(z(products, slip * staircaseKernel(levels, cuts, distance), spread)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    expectMutantFails(() => check(0.99));
  });
});

describe.each([1, 2, 4])('the Lloyd–Max codebook of %i bits', (bits) => {
  const levels = Array.from(schemes['lloyd-max'].levels(bits));

  it('satisfies the centroid condition for the arcsine law, by quadrature', () => {
    const cuts = [-1, ...levels.slice(1).map((level, i) => (level + levels[i]) / 2), 1];
    const centroids = levels.map((_, i) => {
      let [sum, count] = [0, 0];
      for (let step = 0; step < 400_000; step++) {
        const value = Math.cos((Math.PI * (step + 0.5)) / 400_000);
        if (value < cuts[i] || value >= cuts[i + 1]) continue;
        sum += value;
        count++;
      }
      return sum / count;
    });
    close(levels, centroids, 1e-4);
    expectMutantFails(() =>
      close(
        levels.map((level) => 1.01 * level),
        centroids,
        1e-4,
      ),
    );
  });
});

describe.each([1, 2, 4, 8])('frequencies at %i bits', (bits) => {
  const { frequencies } = schemes;
  const levels = Array.from(frequencies.levels(bits));
  const cuts = frequencies.cuts === 'stochastic' ? [] : Array.from(frequencies.cuts(bits));

  it('have unit variance under the Gaussian that is cut', () => {
    const edges = [-Infinity, ...cuts, Infinity];
    const below = (x: number) => (x === -Infinity ? 0 : x === Infinity ? 1 : normalBelow(x));
    const variance = levels.reduce((sum, level, i) => sum + level ** 2 * (below(edges[i + 1]) - below(edges[i])), 0);
    const check = (slip: number) => expect(Math.abs(slip * variance - 1)).toBeLessThan(1e-9);
    check(1);
    expectMutantFails(() => check(1.01));
  });

  it('give the kernel of their own law: the product of its characteristic functions', () => {
    const omega = dequantize(quantize(draws.omega, { scheme: frequencies, bits, rows: draws.m, cols: 4 }));
    const cosines = Array.from({ length: draws.m }, (_, r) =>
      Math.cos(delta.reduce((sum, t, i) => sum + t * omega[r * 4 + i], 0)),
    );
    const want = latticeKernel(levels, cuts, delta);
    const spread = mean(cosines.map((value) => value ** 2)) - mean(cosines) ** 2;
    const check = (slip: number) => expect(z(cosines, slip * want, spread)).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    // Matching the variance leaves the fourth moment; the closer the more bits.
    expect(Math.abs(want / kernel - 1)).toBeLessThan({ 1: 0.03, 2: 0.02, 4: 1e-3, 8: 3e-5 }[bits] ?? 0);
  });
});

describe.each(Object.entries<Scheme>(schemes))('%s', (_name, scheme) => {
  const normal = gaussians(4);
  const values = Float64Array.from({ length: 5 * 7 }, () => normal());

  it.each(scheme.widths)('takes ⌈n·b / 8⌉ + 4 bytes at %i bits, and rows decode alone', (bits) => {
    const matrix = quantize(values, { scheme, bits, rows: 5, cols: 7 });
    expect(matrix.data.length + 4).toBe(quantizedBytes(matrix));
    expect(matrix.data.length).toBe(Math.ceil((35 * bits) / 8));
    expect(dequantize(matrix, 2, 4)).toEqual(dequantize(matrix).subarray(14, 28));
    const queries = values.map((value) => value / 2);
    const want = Array.from({ length: 25 }, (_, at) => {
      const key = dequantize(matrix).subarray((at % 5) * 7, (at % 5) * 7 + 7);
      return key.reduce((sum, value, i) => sum + value * queries[Math.floor(at / 5) * 7 + i], 0);
    });
    close(scores(queries, matrix), want, 1e-12);
  });

  it('keeps its levels: a matrix of levels comes back to float32', () => {
    for (const bits of scheme.widths) {
      const levels = scheme.levels(bits);
      const matrix: Quantized = quantize(levels, { scheme, bits, rows: 1, cols: levels.length, range: 1 });
      close(dequantize(matrix), levels, 1e-7);
    }
  });

  it('gives zeros for zeros, and nothing for no rows', () => {
    const [bits] = scheme.widths;
    if (scheme.of !== 'frequencies') {
      const zeros = dequantize(quantize([0, 0, 0], { scheme, bits, rows: 1, cols: 3 }));
      expect(zeros.every((value) => value === 0)).toBe(true);
    }
    expect(quantize([], { scheme, bits, rows: 0, cols: 3 }).data.length).toBe(0);
  });

  it('refuses wrong widths, shapes, ranges and values', () => {
    const options = { scheme, bits: scheme.widths[0], rows: 1, cols: 2 };
    expect(() => quantize([1, 2], { ...options, bits: 5 })).toThrow(
      `PF420  bits must be one of ${scheme.widths.join(', ')}, got 5`,
    );
    expect(() => quantize([1, 2, 3], options)).toThrow('PF420  values must be rows x cols = 1 x 2 numbers, got 3');
    expect(() => quantize([1, Number.NaN], options)).toThrow('PF420  values[1] must be finite, got NaN');
    expect(() => quantize([1, 2], { ...options, range: 0 })).toThrow('PF420  range must be a positive number, got 0');
    if (!scheme.clips) {
      expect(() => quantize([0.5, 2], { ...options, range: 1 })).toThrow('PF420  values[1] must lie in [-1, 1], got 2');
    }
    expect(() => scores([1, 2, 3], quantize([1, 2], options))).toThrow('PF420  values must be rows x cols');
  });
});

it('repeats with the seed of stochastic rounding, changes with it, and rounds a row alike wherever the matrix is cut', () => {
  const values = both.subarray(0, 60);
  const options = { scheme: schemes.stochastic, bits: 2, cols: 20, range: 1 };
  const whole = quantize(values, { ...options, rows: 3, seed: 5 });
  expect(quantize(values, { ...options, rows: 3, seed: 5 }).data).toEqual(whole.data);
  expect(quantize(values, { ...options, rows: 3, seed: 6 }).data).not.toEqual(whole.data);
  const rest = quantize(values.subarray(20), { ...options, rows: 2, seed: 5, firstRow: 1 });
  expect(dequantize(rest)).toEqual(dequantize(whole, 1));
});
