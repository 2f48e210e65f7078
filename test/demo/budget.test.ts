import { expect, test } from 'vitest';
import { makeBudget } from '../../demo/budget.js';
import { original, readPlans } from '../../demo/plans.js';

const [window = original] = await readPlans(['window:window=128']);

test('what fits is run, what does not is left out with its reason', () => {
  let now = 0;
  const budget = makeBudget(1, () => now);
  expect(budget.refuse({ px: 448, plan: window })).toBeUndefined();
  budget.record({ px: 448, plan: window.text, ms: 4000, overheadMs: 2000 });
  budget.record({ px: 896, plan: window.text, ms: 16_000, overheadMs: 2000 });
  // 16 s × 2² + 2 s
  expect(budget.refuse({ px: 1792, plan: window })).toBe('about 66 s, beyond the 1 min of this run (--minutes)');
  expect(budget.refuse({ px: 910, plan: window })).toBeUndefined();
  now = 35_000;
  expect(budget.refuse({ px: 910, plan: window })).toContain('beyond');
});

test('without the original, nothing at its size is run', () => {
  const budget = makeBudget(1, () => 50_000);
  budget.record({ px: 224, plan: original.text, ms: 1000, overheadMs: 2000 });
  expect(budget.refuse({ px: 448, plan: original })).toContain('beyond');
  expect(budget.refuse({ px: 448, plan: window })).toBe('the original was left out');
});

test('no limit leaves nothing out', () => {
  const budget = makeBudget(Number.POSITIVE_INFINITY, () => 1e12);
  budget.record({ px: 224, plan: window.text, ms: 1e9, overheadMs: 0 });
  expect(budget.refuse({ px: 448, plan: window })).toBeUndefined();
});
