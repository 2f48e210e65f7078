/** Where a linear method overtakes: against what gave the answer, and only where time means something. */
import { expect, test } from 'vitest';
import type { MethodName } from '../../src/bench/methods.js';
import type { Cell } from '../../src/bench/result.js';
import { summarise } from '../../src/bench/summary.js';

const lane = (method: MethodName, ms: (n: number) => number, error: number): Cell[] =>
  [128, 256, 512].map((n) => {
    const time = ms(n);
    return { backend: 'here', method, n, status: 'ok', ms: { median: time, p20: time, p80: time }, runs: 3, error };
  });
const starOf = (cells: readonly Cell[], software?: ReadonlySet<string>) =>
  summarise(cells, software).find(({ method }) => method === 'features')?.crossover;

const plain = lane('plain', (n) => n ** 2 / 256, 1e-7);
const features = lane('features', (n) => n, 1);

test('against the fastest exact model', () => {
  expect(starOf([...plain, ...features])).toBeCloseTo(256, 8);
});

test('an exact model that gives another answer is no rival, however fast', () => {
  const fast = (error: number) => lane('fused', (n) => n / 2, error);
  expect(starOf([...plain, ...fast(0.8), ...features])).toBeCloseTo(256, 8);
  expect(starOf([...plain, ...fast(1e-6), ...features])).toBe('never');
});

test('nowhere on a software adapter, of which its growth is all that is said', () => {
  const cells = [...plain, ...features];
  expect(starOf(cells, new Set(['here']))).toBeUndefined();
  expect(summarise(cells, new Set(['here']))[1].slope).toBeCloseTo(1, 8);
  expect(starOf(cells, new Set(['there']))).toBeCloseTo(256, 8);
});
