/** The refit of a small model's MLPs, and the same on further inputs: that of all inputs, without running the first ones again. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { sessionFactory } from '../../../src/adapters/onnxruntime.js';
import { refitLayers } from '../../../src/calibrate/heal/refit-layers.js';
import { gaussians } from '../../../src/features/rng.js';
import { generateInputs } from '../../../src/node/inputs.js';
import { decode } from '../../../src/onnx/decode.js';
import { openModel } from '../../../src/onnx/graph.js';
import { assignPlans } from '../../../src/rewrite/assign-plans.js';
import { findAttention } from '../../../src/rewrite/find.js';
import { readPlan, type SitePlan } from '../../../src/rewrite/plan.js';
import type { Feeds } from '../../../src/session.js';
import { close, expectMutantFails } from '../../close.js';
import { graphFile } from '../../shared.js';

const model = openModel(decode(readFileSync(graphFile('bert.optimum-eager.onnx'))));
const { sites } = findAttention(model);
const tokens = 30;
const { feeds } = generateInputs(model, { tokens });
const passage = (seed: number): Feeds => {
  const normal = gaussians(seed);
  const ids = BigInt64Array.from({ length: tokens }, () => BigInt(1 + (Math.floor(Math.abs(normal()) * 1000) % 30)));
  return { ...feeds, input_ids: { ...feeds.input_ids, data: ids } };
};
let runs = 0;
const createSession = async (bytes: Uint8Array) => {
  const session = await sessionFactory(ort)(bytes);
  return {
    ...session,
    run(given: Feeds) {
      // Sums of rows are no run of the model.
      if (!session.outputNames.includes('refit/gram')) runs += 1;
      return session.run(given);
    },
  };
};

const product = (plans: readonly SitePlan[]) => {
  const [{ rank, down, up, bias }] = plans[0].corrections ?? [];
  const [K, M] = [down.length / rank, bias.length];
  return Float64Array.from({ length: K * M }, (_, at) => {
    const [k, m] = [Math.floor(at / M), at % M];
    return Array.from({ length: rank }, (_, r) => down[k * rank + r] * up[r * M + m]).reduce((a, b) => a + b, 0);
  });
};

it.each([
  ['few rows', 9],
  ['more of them than are summed at once', 63],
])(
  'is fitted on further inputs as on all, at a layer with nothing healed before it, by runs of those alone: %s',
  async (_, inputs) => {
    const passages = Array.from({ length: inputs }, (_, seed) => passage(seed));
    const part = (2 * inputs) / 3;
    const plans = assignPlans(sites, () => readPlan('features:m=8'));
    const context = { model, surveys: [], createSession, onStep: () => {} };
    const count = async <T>(of: Promise<T>): Promise<[T, number]> => {
      runs = 0;
      return [await of, runs];
    };
    const [all] = await count(refitLayers(plans, { ...context, inputs: passages }));
    const [first, firstRuns] = await count(refitLayers(plans, { ...context, inputs: passages.slice(0, part) }));
    const [more, moreRuns] = await count(
      Promise.resolve(first.more?.(plans, { ...context, inputs: passages.slice(part) })),
    );
    if (!more) throw new Error('a refit can be made on more inputs');
    expect(moreRuns).toBe(firstRuns / 2);
    close(product(more.plans), product(all.plans), 1e-4);
    expectMutantFails(() => close(product(first.plans), product(all.plans), 1e-4));
  },
);
