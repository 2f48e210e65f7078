import { describe, expect, it } from 'vitest';
import { gram, type Kernel } from '../../../src/features/kernels/kernel.js';
import { polynomial } from '../../../src/features/kernels/polynomial.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { maclaurin } from '../../../src/features/maclaurin.js';
import { signedGram } from '../../../src/features/signed/signed-map.js';
import { maclaurin as maclaurinOf, tensorSketch as tensorSketchOf } from '../../../src/features/signed/sketches.js';
import { tensorSketch } from '../../../src/features/tensor-sketch.js';
import { close, expectMutantFails } from '../../close.js';
import { orthantRows, rowsFor } from '../kernels/rows.js';

const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
  Array.from(x).reduce((sum, value, l) => sum + value * y[l], 0);
const meanOf = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
// Unit vectors with x·y = .84.
const [x, y] = [
  [0.6, 0.8, 0, 0],
  [0.28, 0.84, 0.3, Math.sqrt(1 - 0.28 ** 2 - 0.84 ** 2 - 0.09)],
];
const u = dot(x, y);

describe('random Maclaurin features', () => {
  // V₁ = |x|²|y|² + 2(u² − Σ x²y²), and M·Var = Σ aₙ² V₁ⁿ/P(n) − f².
  const first = 1 + 2 * (u * u - x.reduce((sum, value, l) => sum + (value * y[l]) ** 2, 0));
  const cases = {
    'exp, degrees 2^-n': { coefficient: undefined, degrees: 'geometric', f: Math.exp(u) },
    'exp, degrees by weight': { coefficient: undefined, degrees: 'by-weight', f: Math.exp(u) },
    '2 + u − u³/4, of both signs': {
      coefficient: (n: number) => [2, 1, 0, -0.25][n] ?? 0,
      degrees: 'geometric',
      f: 2 + u - u ** 3 / 4,
    },
  } as const;

  it.each(Object.entries(cases))(
    '%s: |z| < 4 by the analytic variance, which a factor of 1.01 fails',
    (_name, { coefficient, degrees, f }) => {
      const a =
        coefficient ?? ((n: number) => 1 / Array.from({ length: n }, (_, k) => k + 1).reduce((all, k) => all * k, 1));
      const weights = Array.from({ length: 30 }, (_, n) =>
        a(n) === 0 ? 0 : degrees === 'geometric' ? 2 ** -(n + 1) : Math.abs(a(n)),
      );
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const second = weights.reduce(
        (sum, weight, n) => (weight === 0 ? sum : sum + (a(n) ** 2 * first ** n * total) / weight),
        0,
      );
      const m = 1_000_000;
      const deviation = Math.sqrt((second - f * f) / m);
      const { phi, signs } = maclaurin({ d: 4, m, seed: 5, coefficient, degrees });
      const [left, right] = [phi(x), phi(y)];
      const got = signs.reduce((sum, sign, r) => sum + sign * left[r] * right[r], 0);
      const check = (slip: number) => expect(Math.abs(slip * got - f) / deviation).toBeLessThan(4);
      check(1);
      expectMutantFails(() => check(1.01));
      expectMutantFails(() => check(0.99));
    },
  );

  it('puts positive channels first, repeats with the seed, and counts its bytes', () => {
    const options = { d: 4, m: 50, seed: 3, coefficient: (n: number) => (-0.5) ** n };
    const map = maclaurin(options);
    expect([...map.signs]).toEqual([...map.signs].sort((a, b) => b - a));
    expect(map.signs.some((sign) => sign < 0)).toBe(true);
    expect(maclaurin(options).phi(x)).toEqual(map.phi(x));
    expect((map.bytes - 8 * 50) % 4).toBe(0);
  });

  it('refuses m = 0, rows of another width, NaN, and a series of zeros', () => {
    expect(() => maclaurin({ d: 4, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => maclaurin({ d: 4, m: 2 }).phi([1, 2])).toThrow(
      'PF202  x must be rows of d = 4 numbers, got 2 numbers',
    );
    expect(() => maclaurin({ d: 1, m: 2 }).phi([Number.NaN])).toThrow('PF202  x[0] must be finite, got NaN');
    expect(() => maclaurin({ d: 1, m: 2, coefficient: () => 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF411  the power series must have finite coefficients, not all 0; they sum to 0
        at   features.coefficient
        mend pass the Taylor coefficients of the kernel as a function of x·y]
    `);
  });
});

describe('tensor sketch', () => {
  it.each([2, 3, 4])('of degree %i sends unit vectors to ±1 in one place, and grows as the p-th power', (degree) => {
    const options = { d: 4, m: 16, degree, seed: 9 };
    const { phi } = tensorSketch(options);
    const basis = Array.from({ length: 4 }, (_, l) => Array.from({ length: 4 }, (_, k) => Number(k === l)));
    for (const unit of basis) {
      const sizes = phi(unit).map(Math.abs).sort();
      close([sizes[15], 1 + sizes[14]], [1, 1], 1e-12);
    }
    const scaled = phi(x.map((value) => 3 * value));
    close(
      scaled,
      phi(x).map((value) => 3 ** degree * value),
      1e-12,
    );
  });

  /**
   * Derived here. k̂ − u^p = Σ over multi-indices a ≠ b that collide of s(a)s(b) x_a y_b. Signs leave products of two such terms in which
   * the second repeats or swaps the first wherever a and b differ; differences of hashes are uniform mod m. With k places of
   * difference, all repeated or all swapped collide with probability 1/m, mixed ones with 2/m² (m even):
   *   Var = Σₖ C(p,k) u^2(p−k) [(Pᵏ + Qᵏ)/m + 2/m² Σ_{0<i<k} C(k,i) Pⁱ Qᵏ⁻ⁱ],  P = |x|²|y|² − Σx²y²,  Q = u² − Σx²y²
   */
  function variance(degree: number, m: number): number {
    const shared = x.reduce((sum, value, l) => sum + (value * y[l]) ** 2, 0);
    const [repeated, swapped] = [1 - shared, u * u - shared];
    let sum = 0;
    for (let k = 1; k <= degree; k++) {
      let mixed = 0;
      for (let i = 1; i < k; i++) mixed += binomial(k, i) * repeated ** i * swapped ** (k - i);
      sum +=
        binomial(degree, k) * u ** (2 * (degree - k)) * ((repeated ** k + swapped ** k) / m + (2 * mixed) / m ** 2);
    }
    return sum;
  }

  it.each([1, 2, 3])(
    'of degree %i is unbiased: |z| < 4 by the analytic variance, which a factor of 1.01 fails',
    (degree) => {
      const [m, draws] = [256, 16_000];
      const estimates = Float64Array.from({ length: draws }, (_, seed) => {
        const { phi } = tensorSketch({ d: 4, m, degree, seed });
        return dot(phi(x), phi(y));
      });
      const want = u ** degree;
      const mean = meanOf(estimates);
      // 16,000 draws know their variance to some 2 %, their tails being light.
      const spread = meanOf(estimates.map((value) => (value - want) ** 2));
      expect(Math.abs(spread / variance(degree, m) - 1)).toBeLessThan(0.08);
      expect(variance(degree, m) * m).toBeLessThan(2 + 3 ** degree);
      const check = (slip: number) =>
        expect(Math.abs(slip * mean - want) / Math.sqrt(variance(degree, m) / draws)).toBeLessThan(4);
      check(1);
      expectMutantFails(() => check(1.01));
      expectMutantFails(() => check(0.99));
    },
  );

  it('refuses a width that is no power of two, a degree of 0 and m = 0', () => {
    expect(() => tensorSketch({ d: 4, m: 12, degree: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  m must be a power of two for a tensor sketch, got 12
        at   features.m
        mend use m = 16, or 8]
    `);
    expect(() => tensorSketch({ d: 4, m: 16, degree: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  degree must be an integer >= 1, got 0
        at   features.degree
        mend use degree = 2 for squared dot products]
    `);
    expect(() => tensorSketch({ d: 4, m: 0, degree: 2 })).toThrow('PF202  m must be an integer >= 1, got 0');
  });
});

describe.each([
  ['maclaurin', maclaurinOf],
  ['tensor-sketch', tensorSketchOf],
])('%s of a kernel', (name, method) => {
  const d = 5;

  it.each(['rbf', 'polynomial', 'delta-gaussian', 'arc-cosine-1', 'ntk'] as const)(
    'comes to the Gram matrix of %s in the mean',
    (kernelName) => {
      const kernel: Kernel = kernels[kernelName]({ d });
      const rows = kernel.domain === 'sphere' ? orthantRows(d, 4, 2) : rowsFor(kernel, 4, 2);
      const want = gram(kernel, rows);
      const draws = 200;
      const sum = new Float64Array(want.length);
      const square = new Float64Array(want.length);
      for (let seed = 0; seed < draws; seed++) {
        const { signs, phi, features } = method(kernel, { m: 256, seed });
        expect(features).toBeLessThanOrEqual(256);
        signedGram(signs, phi(rows)).forEach((value, i) => {
          sum[i] += value / draws;
          square[i] += value ** 2 / draws;
        });
      }
      // Degrees that found no room are a bias: small for these kernels, and allowed for.
      sum.forEach((mean, i) => {
        const deviation = Math.sqrt(Math.max(0, square[i] - mean * mean) / draws);
        expect(Math.abs(mean - want[i])).toBeLessThan(5 * deviation + (name === 'maclaurin' ? 0.01 : 0.03));
      });
    },
  );

  it('refuses a kernel that is no power series, an m too small, and rows off the sphere', () => {
    expect(() => method(kernels.tl1({ d }), { m: 64 })).toThrow(
      `PF411  ${name} cannot make features of the tl1 kernel`,
    );
    expect(() => method(kernels['delta-gaussian']({ d }), { m: 1 })).toThrow('PF412  m must be at least');
    expect(() => method(polynomial({ d }), { m: 64 }).phi([1, 1, 0, 0, 0])).toThrow('PF413  row 0 must have length 1');
  });
});

function binomial(n: number, k: number): number {
  return k === 0 ? 1 : (binomial(n - 1, k - 1) * n) / k;
}
