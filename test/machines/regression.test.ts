import { describe, expect, it } from 'vitest';
import { gramForm } from '../../src/machines/quadratic.js';
import { featureRidge, kernelRidge, ridgePredict } from '../../src/machines/ridge.js';
import { solve } from '../../src/machines/solve.js';
import { regress, trainRegressor } from '../../src/machines/svr.js';
import { close, expectMutantFails } from '../close.js';
import { gramOf, multiply, svrViolation } from '../oracle/machines.js';
import { difference, gauss, heights, phi, phiGram, rows, signs } from './problem.js';

describe('support vector regression', () => {
  const options = { c: 1.5, epsilon: 0.05, tolerance: 1e-10, maxEpochs: 100_000 };

  it.each([
    ['positive definite', gauss],
    ['indefinite', difference],
  ])('meets the conditions of a stationary point on a %s kernel', (_, kernel) => {
    const gram = gramOf(kernel, rows);
    const { solutions, converged } = trainRegressor(gramForm(gram), heights, options);
    expect(converged).toBe(true);
    const check = (beta: Float64Array) =>
      expect(svrViolation(gram, heights, beta, options.epsilon, options.c)).toBeLessThan(1e-8);
    check(solutions[0]);
    expectMutantFails(() => check(solutions[0].map((value) => 0.99 * value)));
    expectMutantFails(() => check(solutions[0].map((value, i) => (value === 0 && i > 0 ? 0.01 : value + 0.001))));
  });

  it('keeps within ε of every target that C lets it', () => {
    const gram = gramOf(gauss, rows);
    const got = regress(trainRegressor(gramForm(gram), heights, { ...options, c: 1e6 }), gram, 'gram');
    expect(Math.max(...got.map((value, i) => Math.abs(value - heights[i])))).toBeLessThan(options.epsilon + 1e-6);
  });

  it('refuses what is no problem', () => {
    const form = gramForm([1, 0, 0, 1]);
    expect(() => trainRegressor(form, [1, Number.NaN])).toThrow('PF423  targets[1] must be finite, got NaN');
    expect(() => trainRegressor(form, [1, 2], { epsilon: -0.1 })).toThrow(
      'PF423  epsilon must be a number from 0 up, got -0.1',
    );
    expect(() => trainRegressor(form, [1, 2], { c: Number.NaN })).toThrow(
      'PF423  c must be a positive number, got NaN',
    );
  });
});

describe('ridge regression', () => {
  const lambda = 0.3;
  const targets = Float64Array.from({ length: 120 }, (_, at) => heights[at >> 1] * (at % 2 ? 1 : -0.5)); // [60,2]

  it.each([
    ['positive definite', gauss],
    ['indefinite', difference],
  ])('solves (K + λI) α = y on a %s kernel', (_, kernel) => {
    const gram = gramOf(kernel, rows);
    const alpha = kernelRidge(gram, targets, { lambda });
    const check = (a: Float64Array) =>
      close(
        multiply(gram, a, 60).map((value, i) => value + lambda * a[i]),
        targets,
        1e-10,
      );
    check(alpha);
    expectMutantFails(() => check(alpha.map((value) => 1.01 * value)));
  });

  it('is the same by signed features as by their Gram matrix; forgotten signs are seen', () => {
    const predict = (s?: Int8Array) => ridgePredict(phi, featureRidge(phi, targets, { lambda, width: 9, signs: s }), 9);
    const want = multiply(phiGram, kernelRidge(phiGram, targets, { lambda }), 60);
    close(predict(signs), want, 1e-9);
    expectMutantFails(() => close(predict(), want, 1e-9));
  });

  it('meets the normal equations for positive features', () => {
    const weights = featureRidge(phi, targets, { lambda, width: 9 });
    const transposed = Float64Array.from({ length: 540 }, (_, at) => phi[(at % 60) * 9 + Math.floor(at / 60)]);
    const residual = ridgePredict(phi, weights, 9).map((value, i) => targets[i] - value);
    const check = (w: Float64Array) =>
      close(
        multiply(transposed, residual, 9),
        w.map((value) => lambda * value),
        1e-9,
      );
    check(weights);
    expectMutantFails(() => check(weights.map((value) => 1.01 * value)));
  });

  it('refuses singular systems and shapes that do not fit', () => {
    expect(() => kernelRidge([-1, 0, 0, 3], [1, 1], { lambda: 1 })).toThrow(
      'PF424  the system of 2 equations is singular at its equation 0',
    );
    expect(() => kernelRidge([1, 0], [1], { lambda: 1 })).toThrow('PF423  a Gram matrix must be n x n numbers, got 2');
    expect(() => kernelRidge([1], [1], { lambda: 0 })).toThrow('PF423  lambda must be a positive number, got 0');
    expect(() => featureRidge([1, 2], [1, 2, 3], { lambda: 1, width: 1 })).toThrow(
      'PF423  targets must be rows of 1.5 numbers',
    );
    expect(() => ridgePredict([1, 2], Float64Array.of(1, 2, 3), 2)).toThrow(
      'PF423  weights must be rows for 2 columns, got 3',
    );
  });
});

it('elimination pivots: a zero on the diagonal is no singular system', () => {
  close(solve(Float64Array.of(0, 2, 3, 1), Float64Array.of(4, 5), 2, ''), [1, 2], 1e-15);
});
