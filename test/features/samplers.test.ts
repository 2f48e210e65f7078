import { describe, expect, it } from 'vitest';
import type { Draw } from '../../src/features/gaussian.js';
import { samplers } from '../../src/features/registry.js';
import { sorfApply } from '../../src/features/sorf.js';
import { expectMutantFails } from '../close.js';

/** x − y for the RBF kernel, |x − y|² = 2, and x + y for exp(x·y), |x + y|² = 1.5: neither along an axis. */
const apart = [0.6, -0.8, 1];
const sum = [0.5, 1, -0.5];
const square = (v: readonly number[]) => v.reduce((total, a) => total + a * a, 0);
const dot = (omega: Float64Array, row: number, v: readonly number[]) =>
  v.reduce((total, a, i) => total + a * omega[row * v.length + i], 0);

/** |z| < 4 for the mean of `values` over draws of one row each, by the analytic mean and variance of one row. */
function checkMean(values: Float64Array, mean: number, variance: number) {
  const total = values.reduce((a, b) => a + b, 0);
  expect(Math.abs((total / values.length - mean) / Math.sqrt(variance / values.length))).toBeLessThan(4);
}

/** E cos ω·δ = exp(−t/2), t = |δ|², with variance ½(1 − exp(−t))²: the RBF kernel. */
function checkRbf(projections: Float64Array, t: number, scale: number) {
  const values = projections.map((p) => Math.cos(scale * p));
  checkMean(values, Math.exp(-t / 2), (1 - Math.exp(-t)) ** 2 / 2);
}

/**
 * E exp(−t/2) cosh(ω·z) = 1, t = |z|², with variance cosh(t) − 1: exp(x·y) over itself, as hyperbolic features have it,
 * and E ω·z = 0 with variance t, which the even function leaves out.
 */
function checkExp(projections: Float64Array, t: number, scale: number) {
  checkMean(projections, 0, t);
  const values = projections.map((p) => Math.exp(-t / 2) * Math.cosh(scale * p));
  checkMean(values, 1, Math.cosh(t) - 1);
}

/** SORF rows are Gaussian only as d grows: it has a test of its own. */
const { sorf: _sorf, ...exact } = samplers;

describe.each(Object.entries(exact))('sampler %s', (_name, sampler) => {
  it('is unbiased on the RBF kernel and exp(x·y), which scales off by 1 % fail', () => {
    // One row a draw, since rows of one draw depend on one another; each of the four rows in turn. d = 3 is padded.
    const draws = 250_000;
    const rbf = new Float64Array(draws);
    const exp = new Float64Array(draws);
    for (let seed = 0; seed < draws; seed++) {
      const omega = sampler({ m: 4, d: 3, seed });
      rbf[seed] = dot(omega, seed % 4, apart);
      exp[seed] = dot(omega, seed % 4, sum);
    }
    checkRbf(rbf, square(apart), 1);
    expectMutantFails(() => checkRbf(rbf, square(apart), 1.01));
    expectMutantFails(() => checkRbf(rbf, square(apart), 0.99));
    checkExp(exp, square(sum), 1);
    expectMutantFails(() => checkExp(exp, square(sum), 1.01));
    expectMutantFails(() => checkExp(exp, square(sum), 0.99));
  });
});

describe('sampler sorf', () => {
  it('d = 64: no bias on the RBF kernel and exp(x·y) where scales off by 1 % show, over 256,000 rows', () => {
    // Rows of a block err less than independent ones, whose variance is then an upper bound.
    const project = (v: readonly number[]) =>
      sorfApply({ m: 256_000, d: 64, seed: 3 })(Float64Array.from({ length: 64 }, (_, i) => v[i] ?? 0));
    const [rbf, exp] = [project(apart), project(sum)];
    checkRbf(rbf, square(apart), 1);
    expectMutantFails(() => checkRbf(rbf, square(apart), 1.01));
    expectMutantFails(() => checkRbf(rbf, square(apart), 0.99));
    checkExp(exp, square(sum), 1);
    expectMutantFails(() => checkExp(exp, square(sum), 1.01));
    expectMutantFails(() => checkExp(exp, square(sum), 0.99));
  });

  it('d = 4: is biased along an axis, as its header says', () => {
    const rbf = sorfApply({ m: 256_000, d: 4, seed: 3 })(Float64Array.of(Math.SQRT2, 0, 0, 0));
    const bias = rbf.reduce((total, p) => total + Math.cos(p), 0) / rbf.length - Math.exp(-1);
    expect(bias).toBeCloseTo(-0.051, 2);
  });
});

describe('error on the RBF kernel', () => {
  it.each([
    ['sobol', 4, 1, 256],
    ['sobol', 8, 1, 256],
    ['sobol', 16, 1, 1024],
    ['sobol', 4, 2, 256],
    ['sobol', 8, 2, 256],
    ['halton', 4, 1, 256],
    ['halton', 8, 1, 256],
    ['halton', 4, 2, 256],
    ['lattice', 4, 1, 256],
    ['lattice', 4, 2, 256],
    ['lattice', 8, 1, 1024],
    ['qmc-orf', 4, 1, 256],
    ['qmc-orf', 8, 1, 256],
    ['qmc-orf', 16, 1, 64],
    ['qmc-orf', 16, 1, 256],
    ['qmc-orf', 16, 1, 1024],
  ] as const)('%s is below orf at d = %i, |x − y| = %i, m = %i', (name, d, length, m) => {
    const orf = rbfError('orf', d, length, m);
    const check = (other: keyof typeof samplers) => expect(rbfError(other, d, length, m)).toBeLessThan(0.85 * orf);
    check(name);
    expectMutantFails(() => check('iid'));
  });

  it.each(['sobol', 'halton', 'lattice'] as const)('%s is not below orf at d = 16, |x − y| = 2', (name) => {
    expect(rbfError(name, 16, 2, 256)).toBeGreaterThan(0.95 * rbfError('orf', 16, 2, 256));
  });

  it.each([
    ['sobol', 1],
    ['sobol', 2],
    ['halton', 1],
    ['lattice', 1],
    ['lattice', 2],
  ] as const)('%s is below orf at d = 16, |x − y| = %i, from m = 4096 on', (name, length) => {
    const orf = rbfError('orf', 16, length, 4096);
    const check = (other: keyof typeof samplers) => expect(rbfError(other, 16, length, 4096)).toBeLessThan(0.95 * orf);
    check(name);
    expectMutantFails(() => check('iid'));
  });

  it.each([4, 8, 16])('qmc-orf is not above orf at d = %i, |x − y| = 2', (d) => {
    expect(rbfError('qmc-orf', d, 2, 256)).toBeLessThan(1.02 * rbfError('orf', d, 2, 256));
  });

  it.each([
    [4, 258],
    [8, 260],
    [16, 272],
  ])('ssf in whole blocks is within 10 %% of orf at d = %i, m = %i, and iid is not', (d, m) => {
    const orf = rbfError('orf', d, 1, m);
    const check = (name: keyof typeof samplers) =>
      expect(Math.abs(rbfError(name, d, 1, m) / orf - 1)).toBeLessThan(0.1);
    check('ssf');
    expectMutantFails(() => check('iid'));
  });

  it.each([4, 8, 16])('orf is below iid at d = %i by far', (d) => {
    expect(rbfError('orf', d, 1, 256)).toBeLessThan(0.65 * rbfError('iid', d, 1, 256));
  });

  it.each(['circulant', 'fastfood'] as const)('%s is above iid, at d = 8', (name) => {
    expect(rbfError(name, 8, 1, 256)).toBeGreaterThan(1.1 * rbfError('iid', 8, 1, 256));
  });
});

/** Root mean square error of the kernel estimate over 40 seeds and 12 directions of x − y. */
function rbfError(name: keyof typeof samplers, d: number, length: number, m: number): number {
  const directions = Array.from({ length: 12 }, (_, k) => {
    const v = [...samplers.iid({ m: 1, d, seed: 9000 + k })];
    return v.map((a) => (a * length) / Math.sqrt(square(v)));
  });
  const sampler: (draw: Draw) => Float64Array = samplers[name];
  let total = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const omega = sampler({ m, d, seed });
    for (const v of directions) {
      let mean = 0;
      for (let r = 0; r < m; r++) mean += Math.cos(dot(omega, r, v)) / m;
      total += (mean - Math.exp(-(length ** 2) / 2)) ** 2;
    }
  }
  return Math.sqrt(total / (40 * directions.length));
}
