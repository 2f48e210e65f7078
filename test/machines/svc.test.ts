import { describe, expect, it } from 'vitest';
import { trainOnFeatures } from '../../src/machines/feature-classifier.js';
import { decide, featureForm, gramForm } from '../../src/machines/quadratic.js';
import { accuracy, classify, solveBinary, trainClassifier } from '../../src/machines/svc.js';
import { close, expectMutantFails } from '../close.js';
import { gramOf, svcObjectives, svcViolation } from '../oracle/machines.js';
import { circle, difference, gauss, phi, phiGram, rows, sectors, signs } from './problem.js';

const options = { c: 2, tolerance: 1e-9, maxEpochs: 100_000 };

describe('support vector classification', () => {
  it('meets the optimality conditions and closes the duality gap on a positive definite kernel', () => {
    const gram = gramOf(gauss, rows);
    const { alpha, converged } = solveBinary(gramForm(gram), circle, options);
    expect(converged).toBe(true);
    const check = (point: Float64Array) => {
      expect(svcViolation(gram, circle, point, options.c)).toBeLessThan(1e-8);
      const { dual, primal } = svcObjectives(gram, circle, point, options.c);
      expect(primal - dual).toBeLessThan(1e-6 * primal);
    };
    check(alpha);
    expectMutantFails(() => check(alpha.map((value) => 1.01 * value)));
    expectMutantFails(() => check(alpha.map((value, i) => (i === 3 ? 0.5 : value))));
  });

  it('solves two points by hand: α = 1 / (1 − k) where C lets it', () => {
    // ½(α₁² + α₂²)(1 + 1) − α₁α₂(k + 1) − α₁ − α₂ with α₁ = α₂: α(2 − k − 1) = 1.
    const { alpha } = solveBinary(gramForm([1, 0.6, 0.6, 1]), Float64Array.of(1, -1), { ...options, c: 10 });
    close(alpha, [2.5, 2.5], 1e-6);
    expect(Array.from(solveBinary(gramForm([1, 0.6, 0.6, 1]), Float64Array.of(1, -1), options).alpha)).toEqual([2, 2]);
  });

  it('reaches a stationary point of an indefinite kernel', () => {
    const gram = gramOf(difference, rows);
    const { alpha, converged } = solveBinary(gramForm(gram), circle, options);
    expect(converged).toBe(true);
    const check = (point: Float64Array) => expect(svcViolation(gram, circle, point, options.c)).toBeLessThan(1e-8);
    check(alpha);
    expectMutantFails(() => check(alpha.map((value) => 0.99 * value)));
  });

  it('takes the better end where the diagonal is negative', () => {
    const gram = [-3, 0, 0, -3];
    const { alpha } = solveBinary(gramForm(gram), Float64Array.of(1, -1), options);
    expect(Array.from(alpha)).toEqual([2, 2]);
  });

  it('gives one solution by signed features and by their Gram matrix; forgotten signs are seen', () => {
    const byGram = solveBinary(gramForm(phiGram), circle, options);
    const form = featureForm(phi, 9, signs);
    const byFeatures = solveBinary(form, circle, options);
    close(byFeatures.alpha, byGram.alpha, 1e-6);
    expectMutantFails(() => close(solveBinary(featureForm(phi, 9), circle, options).alpha, byGram.alpha, 1e-6));
    const beta = byGram.alpha.map((value, i) => value * circle[i]);
    close(
      decide(phi, [form.solution()], 'features'),
      decide(phiGram, [byFeatures.alpha.map((value, i) => value * circle[i])], 'gram'),
      1e-9,
    );
    close(decide(phi, [form.solution()], 'features'), decide(phiGram, [beta], 'gram'), 1e-5);
  });

  it('takes the same steps whichever form is cheaper', () => {
    // 60 rows of 9 channels go by features, 6 rows by their Gram matrix.
    for (const n of [60, 6]) {
      const some = phi.subarray(0, n * 9);
      const labels = circle.subarray(0, n).map((y, i) => (i === 0 ? -y : y));
      const want = trainClassifier(featureForm(some, 9, signs), labels, options);
      const check = (s: Int8Array) =>
        close(trainOnFeatures(some, s, labels, options).solutions[0], want.solutions[0], 1e-6);
      check(signs);
      expectMutantFails(() => check(signs.map((sign) => -sign)));
    }
  });

  it('tells several classes apart by their labels, in any order of labels', () => {
    const gram = gramOf(gauss, rows);
    const model = trainClassifier(gramForm(gram), sectors, { c: 100 });
    expect(Array.from(model.classes)).toEqual([-4, 2, 7]);
    const check = (labels: Int32Array) => expect(accuracy(labels, sectors)).toBeGreaterThan(0.95);
    check(classify(model, gram, 'gram'));
    expectMutantFails(() => check(classify({ ...model, classes: model.classes.map((label) => -label) }, gram, 'gram')));
  });

  it('says when it was stopped before its tolerance', () => {
    expect(trainClassifier(gramForm(gramOf(gauss, rows)), circle, { ...options, maxEpochs: 2 })).toMatchObject({
      converged: false,
    });
  });

  it('repeats with the seed', () => {
    const train = (seed: number) => trainClassifier(featureForm(phi, 9), circle, { seed, tolerance: 0.1 }).solutions;
    expect(train(3)).toEqual(train(3));
    expect(train(4)).not.toEqual(train(3));
  });

  it('refuses what is no problem', () => {
    const form = gramForm([1, 0, 0, 1]);
    expect(() => gramForm([1, 2, 3])).toThrow('PF423  a Gram matrix must be n x n numbers, got 3');
    expect(() => gramForm([1, Number.NaN, 0, 1])).toThrow('PF423  gram[1] must be finite, got NaN');
    expect(() => trainClassifier(form, [1])).toThrow('PF423  labels must be 2 numbers, one a row, got 1');
    expect(() => trainClassifier(form, [1, 1])).toThrow('PF423  labels must hold two classes, got 1');
    expect(() => trainClassifier(form, [1, 1.5])).toThrow('PF423  labels[1] must be an integer, got 1.5');
    expect(() => trainClassifier(form, [1, 2], { c: 0 })).toThrow('PF423  c must be a positive number, got 0');
    expect(() => trainClassifier(form, [1, 2], { tolerance: -1 })).toThrow(
      'PF423  tolerance must be a positive number, got -1',
    );
    expect(() => featureForm([1, 2, 3], 2)).toThrow('PF423  features must be rows of 2 numbers, got 3 numbers');
    expect(() => featureForm([1, 2], 2, [1])).toThrow('PF423  signs must be 2 numbers, got 1');
    expect(() => featureForm([1, 2], 2, [1, 0])).toThrow('PF423  signs[1] must be 1 or -1, got 0');
    expect(() => decide([1], [Float64Array.of(1, 2)], 'gram')).toThrow('PF423  rows must be rows of 2 numbers, got 1');
  });
});
