import { expect, test } from 'vitest';
import { readPlans } from '../../demo/plans.js';

test('a plan at some layers leaves the others exact', () => {
  const [mix] = readPlans(['window:window=256@0-2+10']);
  expect(mix).toMatchObject({
    label: 'mix: window 256',
    options: { plan: 'exact-blocked', rules: [{ layers: [0, 1, 2, 10], plan: 'window:window=256' }] },
  });
});

test('labels are short, and a plan given twice is one', () => {
  const labels = readPlans(['features:m=64', 'exact-blocked', 'features:m=64']).map(({ label }) => label);
  expect(labels).toEqual(['FAVOR+ m=64', 'exact-blocked']);
});

test.each(['window@', 'window@one', 'window@3-1'])('%s is refused', (text) => {
  expect(() => readPlans([text])).toThrow(RangeError);
});
