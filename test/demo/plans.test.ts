import { join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultPlans, readPlans } from '../../demo/plans.js';

test('a plan at some layers leaves the others exact', async () => {
  const [mix] = await readPlans(['window:window=256@0-2+10']);
  expect(mix).toMatchObject({
    label: 'mix: window 256',
    options: { plan: 'exact-blocked', rules: [{ layers: [0, 1, 2, 10], plan: 'window:window=256' }] },
  });
});

test('labels are short, and a plan given twice is one', async () => {
  const plans = await readPlans(['features:m=64', 'exact-blocked', 'features:m=64']);
  expect(plans.map(({ label }) => label)).toEqual(['FAVOR+ m=64', 'exact-blocked']);
});

test('the model that ships is shown with what calibration chose for it; others with what every model can take', async () => {
  const shipped = defaultPlans('models/vit-s14-saliency');
  expect(shipped).toEqual([
    'exact-blocked',
    join('models', 'vit-s14-saliency', 'hybrid.plan.json'),
    'window:window=128',
    'features:m=128',
  ]);
  const [, calibrated] = await readPlans(shipped);
  expect(calibrated?.label).toBe('calibrated');
  expect(calibrated?.what).toMatch(/: 72 of 72 heads linear, each .* at the price of \d+ keys on average$/);
  expect(calibrated?.options).toMatchObject({ saved: { schema: 'performers.plan/1' } });
  expect(defaultPlans('elsewhere')).toEqual(['exact-blocked', 'window:window=128', 'features:m=128']);
});

test.each(['window@', 'window@one', 'window@3-1'])('%s is refused', async (text) => {
  await expect(readPlans([text])).rejects.toThrow(RangeError);
});

test('a file that is no plan is refused', async () => {
  await expect(readPlans(['package.json'])).rejects.toThrow(/PF202/);
  await expect(readPlans(['nowhere.plan.json'])).rejects.toThrow(/PF107/);
});
