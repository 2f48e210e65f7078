import { expect, test } from 'vitest';
import { crossover, logSlope, quantile } from '../../src/bench/statistics.js';

const power = (exponent: number, factor = 1) => [128, 256, 512, 1024].map((n) => ({ n, ms: factor * n ** exponent }));

test('the slope of a power law is its exponent', () => {
  expect(logSlope(power(2))).toBeCloseTo(2, 12);
  expect(logSlope(power(1, 7))).toBeCloseTo(1, 12);
  expect(logSlope([{ n: 128, ms: 3 }])).toBeUndefined();
});

test('two power laws cross where they are equal, wherever between lengths that is', () => {
  // 300 n = n² at n = 300.
  expect(crossover(power(1, 300), power(2))).toBe(300);
  expect(crossover(power(1, 10), power(2))).toBe('always');
  expect(crossover(power(1, 5000), power(2))).toBe('never');
  expect(crossover(power(1), [{ n: 64, ms: 1 }])).toBeUndefined();
});

test('one that falls behind again has not overtaken', () => {
  const base = power(0, 10);
  const curve = [8, 12, 8, 12].map((ms, i) => ({ n: base[i].n, ms }));
  expect(crossover(curve, base)).toBe('never');
});

test('quantiles are values that were measured', () => {
  expect(quantile([5, 1, 9], 0.5)).toBe(5);
  expect(quantile([1, 2, 3, 4, 5], 0.2)).toBe(2);
  expect(quantile([], 0.5)).toBeNaN();
});
