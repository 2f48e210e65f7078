import { expect, it } from 'vitest';
import { planSplices, type SpliceTable } from '../../src/adapters/splice-planner.js';
import { inspect } from '../../src/linearize.js';
import { assignPlans } from '../../src/rewrite/assign-plans.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { attentionModel } from '../attention-model.js';

const device = 'acme rdna9';
const row = { heads: 12, headDim: 64, tokens: 512, inGraph: 3, spliced: 2 };
const table: SpliceTable = {
  schema: 'performers.splice-table/1',
  device,
  measuredWith: 'Chromium 150; 2026-11-22',
  rows: [
    { plan: 'exact', ...row },
    { plan: 'exact', ...row, tokens: 128, inGraph: 1, spliced: 2 },
    { plan: 'features', ...row, tokens: 4096, inGraph: 5, spliced: 9 },
  ],
};
const { sites } = inspect(attentionModel({ heads: 12, headDim: 64, self: true }));
const choose = (plan: string, circumstances: Parameters<typeof planSplices>[0]) =>
  planSplices(circumstances)(assignPlans(sites, () => readPlan(plan))[0]);

it('splices what was measured to be faster so at the nearest size, and says by how much', () => {
  expect(choose('exact', { table, device, tokens: 700 })).toEqual({
    as: 'splice',
    why: 'measured on acme rdna9 at 512 tokens, 12 × 64: 2.00 ms spliced, 3.00 ms in the graph',
  });
  expect(choose('exact', { table, device, tokens: 100 }).as).toBe('in-graph');
  expect(choose('features:m=64', { table, device, tokens: 4096 }).as).toBe('in-graph');
});

it('leaves in the graph what nobody has measured', () => {
  const why = 'unmeasured on acme rdna9: measureSplice() makes a table';
  expect(choose('exact', { device, tokens: 512 })).toEqual({ as: 'in-graph', why });
  expect(choose('exact', { table: { ...table, device: 'google swiftshader' }, device, tokens: 512 }).why).toBe(why);
  expect(choose('window', { table, device, tokens: 512 }).why).toBe(
    'unmeasured on acme rdna9 for the plan window:window=64,globals=4',
  );
  expect(choose('exact', { table, device }).why).toBe('it is not known how long inputs will be: give `tokens`');
});

it('refuses what is no table', () => {
  const wrong = { ...table, rows: [{ ...table.rows[0], spliced: Number.NaN }] };
  expect(() => planSplices({ table: wrong, device })).toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF202  spliceTable is no table of measureSplice()
      at   spliceTable
      mend pass what measureSplice() returned on this device, as it is]
  `);
});
