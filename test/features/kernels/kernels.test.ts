import { describe, expect, it } from 'vitest';
import { arcCosine0, arcCosine1 } from '../../../src/features/kernels/arc-cosine.js';
import { deltaGaussian } from '../../../src/features/kernels/delta-gaussian.js';
import { epanechnikov } from '../../../src/features/kernels/epanechnikov.js';
import { gram, type Kernel } from '../../../src/features/kernels/kernel.js';
import { expIntegral, log } from '../../../src/features/kernels/log.js';
import { normalCdf } from '../../../src/features/kernels/normal-cdf.js';
import { polynomial } from '../../../src/features/kernels/polynomial.js';
import { radial } from '../../../src/features/kernels/radial.js';
import { rbf } from '../../../src/features/kernels/rbf.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { tl1 } from '../../../src/features/kernels/tl1.js';
import { inverseNormal } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';
import { kernelOracles } from '../../oracle/signed-kernels.js';
import { rowsFor } from './rows.js';

const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
  Array.from(x).reduce((sum, value, i) => sum + value * y[i], 0);
const square = (x: ArrayLike<number>) => dot(x, x);
const split = (rows: Float64Array, d: number) =>
  Array.from({ length: rows.length / d }, (_, i) => rows.subarray(i * d, (i + 1) * d));

describe.each(Object.entries(kernels))('kernel %s', (name, make) => {
  const d = 6;
  const kernel: Kernel = make({ d });
  const x = rowsFor(kernel, 12, 1);
  const y = rowsFor(kernel, 9, 2);
  const want = split(x, d).flatMap((row) => split(y, d).map((other) => kernelOracles[name](d, row, other)));

  it('is its definition, and not that of coordinates 1 % too large', () => {
    close(gram(kernel, x, y), want, 1e-12);
    const scaled = (rows: Float64Array) =>
      split(rows, d).map((row) => row.map((value, l) => (l === 0 ? 1.01 : 1) * value));
    const mutant = scaled(x).flatMap((row) => scaled(y).map((other) => kernel.value(row, other)));
    expectMutantFails(() => close(mutant, want, 1e-12));
  });

  it('is symmetric, named as in the registry, and a function of its profile', () => {
    close(gram(kernel, x, y), transposed(gram(kernel, y, x), 9, 12), 1e-14);
    expect(kernel.name).toBe(name);
    const { profile } = kernel;
    if (!profile) throw new Error('every kernel of the registry has a profile');
    const size = (row: ArrayLike<number>, other: ArrayLike<number>) =>
      profile.norm === 1
        ? Array.from(row).reduce((sum, value, l) => sum + Math.abs(value - other[l]), 0)
        : Math.sqrt(square(Array.from(row, (value, l) => value - other[l])));
    const got = split(x, d).flatMap((row) => split(y, d).map((other) => profile.of(size(row, other))));
    close(got, want, 1e-9);
  });

  it('has the series it claims', () => {
    const { series } = kernel;
    if (!series) return;
    // Degrees to 400: the arc-cosine series fall as n^-1.5 and are compared away from u = 1.
    const got = split(x, d).flatMap((row) =>
      split(y, d).map((other) =>
        series.reduce((sum, { coefficient, degree, factor = () => 1 }) => {
          let total = 0;
          for (let n = 0; n <= Math.min(degree, 160); n++) total += coefficient(n) * dot(row, other) ** n;
          return sum + factor(square(row)) * factor(square(other)) * total;
        }, 0),
      ),
    );
    close(got, want, 1e-6);
    for (const { power, coefficient } of series) {
      if (power)
        close([coefficient(0), coefficient(2)], [power.offset ** 3, 3 * power.offset * power.slope ** 2], 1e-12);
    }
  });

  it('has the measure it claims', () => {
    const { measure, profile } = kernel;
    if (!measure || !profile) return;
    for (let i = 0; i <= 20; i++) {
      const t = (i / 20) * profile.range;
      const got = measure.parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), measure.constant);
      expect(Math.abs(got - profile.of(t))).toBeLessThanOrEqual(measure.error + 1e-12);
    }
  });

  it('refuses d = 0, rows of another width, and NaN', () => {
    expect(() => make({ d: 0 })).toThrow('PF202  d must be an integer >= 1, got 0');
    expect(() => gram(kernel, x.subarray(1))).toThrow(
      `PF202  x must be rows of d = 6 numbers, got ${x.length - 1} numbers`,
    );
    const bad = x.slice();
    bad[7] = Number.NaN;
    expect(() => gram(kernel, bad)).toThrow('PF202  x[7] must be finite, got NaN');
  });
});

describe('the test vectors of METHODS and its oracles.json', () => {
  const [x, y] = [
    [0.6, 0, 0, 0],
    [0.3, 0.4, 0, 0],
  ];

  it('delta-Gaussian (1, 2): value, and the variance of one frequency a part', () => {
    const terms = [
      { weight: 1, sigma: 1 },
      { weight: -1, sigma: 2 },
    ];
    const { value, measure } = deltaGaussian({ d: 4, terms });
    close([value(x, y)], [-0.08673633189174879], 1e-13);
    const t = Math.hypot(0.3, -0.4);
    const variance = (measure?.parts ?? []).reduce(
      (sum, { weight, kappa }) => sum + weight ** 2 * ((1 + kappa(2 * t)) / 2 - kappa(t) ** 2),
      0,
    );
    close([variance], [0.026299935263733754], 1e-13);
  });

  it('arc-cosine 0 and 1, which are twice E 1[ω·x > 0] 1[ω·y > 0] and twice E relu relu', () => {
    const [u, v] = [x.map((value) => value / 0.6), y.map((value) => value / 0.5)];
    close([arcCosine0({ d: 4 }).value(u, v)], [2 * 0.35241638234956674], 1e-13);
    close([arcCosine1({ d: 4 }).value(u, v)], [(2 * 0.10163213516497688) / 0.3], 1e-13);
  });
});

describe('special functions', () => {
  it('Φ inverts inverseNormal, and its tail is that of the tables', () => {
    for (const p of [1e-300, 1e-16, 1e-6, 0.00135, 0.2, 0.5, 0.9, 0.9999])
      close([normalCdf(inverseNormal(p))], [p], 2e-12);
    close([normalCdf(-3), normalCdf(-10)], [1.3498980316300946e-3, 7.619853024160527e-24], 1e-12);
  });

  it('E₁ has the values of Abramowitz and Stegun, table 5.1', () => {
    close(
      [1e-4, 0.5, 1, 1.4999999, 1.5, 10].map(expIntegral),
      [
        8.633224704984, 0.5597735947761608, 0.21938393439552029, 0.1000195981, 0.10001958240663265,
        4.156968929685324e-6,
      ],
      1e-7,
    );
    close([expIntegral(1), expIntegral(10)], [0.21938393439552029, 4.156968929685324e-6], 1e-12);
  });
});

describe('bad parameters', () => {
  it.each([
    ['a negative bandwidth', () => rbf({ d: 4, sigma: -1 })],
    ['a bandwidth that is no number', () => log({ d: 4, sigma: Number.NaN })],
    ['ρ = 0', () => tl1({ d: 4, rho: 0 })],
    ['half a degree', () => polynomial({ d: 4, degree: 2.5 })],
    ['a term without weight', () => deltaGaussian({ d: 4, terms: [{ weight: 0, sigma: 1 }] })],
    ['no terms', () => deltaGaussian({ d: 4, terms: [] })],
    ['a function without a range', () => radial({ d: 4, of: Math.exp })],
    ['a singular function', () => radial({ d: 4, of: (t) => 1 / t, range: 1 })],
  ])('%s', (_name, make) => {
    expect(make).toThrowErrorMatchingSnapshot();
  });

  it('rows off the sphere, for kernels that live there', () => {
    expect(() => gram(epanechnikov({ d: 2 }), [1, 0, 3, 4])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF413  row 1 must have length 1 for the epanechnikov kernel, got 5
        at   features.x
        mend divide every row by its length, or append coordinates that make all lengths equal]
    `);
  });
});

function transposed(matrix: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]);
}
