/** Distillation through @jax-js: the graph it differentiates is the one that onnxruntime runs, and training it helps. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../../src/adapters/onnxruntime.js';
import { withChoices } from '../../../src/calibrate/heal/choices.js';
import { concretise } from '../../../src/calibrate/heal/concrete.js';
import { distill } from '../../../src/calibrate/heal/distill.js';
import { distillInSubspace, principalDirections } from '../../../src/calibrate/heal/subspace.js';
import { feedsOf } from '../../../src/calibrate/record.js';
import { gaussians } from '../../../src/features/rng.js';
import { compareOutputs } from '../../../src/metrics.js';
import { folderCheckpoint } from '../../../src/node/checkpoint.js';
import { generateInputs } from '../../../src/node/inputs.js';
import { decode } from '../../../src/onnx/decode.js';
import { concat, encode } from '../../../src/onnx/encode.js';
import { openModel } from '../../../src/onnx/graph.js';
import { applyPlans } from '../../../src/rewrite/apply.js';
import { assignPlans } from '../../../src/rewrite/assign-plans.js';
import { findAttention } from '../../../src/rewrite/find.js';
import { readPlan, type SitePlan } from '../../../src/rewrite/plan.js';
import type { Feeds } from '../../../src/session.js';
import { close, expectMutantFails } from '../../close.js';
import { graphFile } from '../../shared.js';

const createSession = sessionFactory(ort);
const model = openModel(decode(new Uint8Array(readFileSync(graphFile('bert.optimum-eager.onnx')))));
const { sites } = findAttention(model);
const tokens = 24;
const { feeds } = generateInputs(model, { tokens });
/** Passages of tokens that differ. */
const passages = Array.from({ length: 8 }, (_, seed): Feeds => {
  const normal = gaussians(seed);
  const ids = BigInt64Array.from({ length: tokens }, () => BigInt(1 + (Math.floor(Math.abs(normal()) * 1000) % 30)));
  return { ...feeds, input_ids: { ...feeds.input_ids, data: ids } };
});

const answer = async (plans: readonly SitePlan[], input: Feeds) => {
  const session = await createSession(concat(encode(applyPlans(model, plans).proto)));
  try {
    return await session.run(input);
  } finally {
    await session.release();
  }
};
const errorOf = async (plans: readonly SitePlan[], inputs: readonly Feeds[]) => {
  let sum = 0;
  for (const input of inputs) {
    const [error] = compareOutputs(
      await answer(plans, input),
      await answer(
        assignPlans(sites, () => readPlan('exact')),
        input,
      ),
    );
    sum += (error?.relRMS ?? Number.NaN) ** 2;
  }
  return Math.sqrt(sum / inputs.length);
};

const common = { model, surveys: [], createSession, onStep: () => {} };
const constants = (heads: number, headDim: number) => {
  const normal = gaussians(5);
  const draw = (length: number) => Float32Array.from({ length }, () => normal());
  return { query: draw(heads * headDim), 'keys4.weights': draw(heads * headDim * 4), 'keys4.offsets': draw(heads * 4) };
};

describe('a graph for one size', () => {
  it('gives the answers of the patched model, with none of the operators that @jax-js/onnx has not', async () => {
    const plans = sites.map(
      (site): SitePlan => ({
        site,
        groups: [
          { heads: [0, 2], plan: readPlan('hybrid:window=32,globals=5,codes=4') },
          { heads: [1, 3], plan: readPlan('exact') },
        ],
        why: 'test',
        constants: constants(site.heads, site.headDim),
      }),
    );
    const { proto } = applyPlans(model, plans);
    const flat = await concretise(proto, feeds, createSession);
    const operators = new Set(flat.graph?.node.map(({ opType }) => opType));
    for (const missing of ['ScatterElements', 'Range', 'Shape', 'If', 'GatherElements', 'GatherND'])
      expect(operators).not.toContain(missing);
    const session = await createSession(concat(encode(flat)));
    const got = (await session.run(Object.fromEntries(session.inputNames.map((name) => [name, passages[1][name]]))))[
      session.outputNames[0]
    ];
    await session.release();
    const want = Float64Array.from((await answer(plans, passages[1]))[session.outputNames[0]].data as Float32Array);
    close(got.data as Float32Array, want, 5e-6);
    const other = Float64Array.from((await answer(plans, passages[2]))[session.outputNames[0]].data as Float32Array);
    expectMutantFails(() => close(got.data as Float32Array, other, 5e-6));
  });
});

describe('blocks chosen by a model', () => {
  const long = openModel(decode(new Uint8Array(readFileSync(graphFile('modernbert.optimum-sdpa.onnx')))));
  const inputs = [0, 1, 2].map((seed) => generateInputs(long, { tokens: 100, seed }).feeds);
  const plans = findAttention(long).sites.map((site): SitePlan => {
    const whole = site.operands.sliding === undefined;
    const plan = readPlan(whole ? 'blocks:window=32,globals=2,codes=4,blocks=2' : 'exact');
    const groups = [{ heads: [0, 1, 2, 3], plan }];
    return { site, groups, why: 'test', constants: constants(site.heads, site.headDim) };
  });
  const [output = ''] = long.proto.graph?.output.map(({ name = '' }) => name) ?? [];

  it('are inputs of what is trained, which then gives the answers of the patched model', async () => {
    const { proto } = applyPlans(long, plans);
    const chosen = await withChoices(proto, output, { inputs, parameters: {}, createSession });
    // One for each of the layers without windows of their own.
    expect(Object.keys(chosen.inputs[0]).length).toBe(Object.keys(inputs[0]).length + 2);
    const flat = await concretise(chosen.proto, chosen.inputs[0], createSession);
    expect(flat.graph?.node.map(({ opType }) => opType)).not.toContain('Scan');
    const sessions = [await createSession(concat(encode(flat))), await createSession(concat(encode(proto)))];
    const [trained, patched] = sessions.map((session) => async (feeds: Feeds) => {
      const { data } = (await session.run(feedsOf(feeds, session.inputNames)))[output];
      return Float64Array.from(data as Float32Array);
    });
    const want = await patched(inputs[1]);
    close(await trained(chosen.inputs[1]), want, 5e-6);
    const mutant = await trained({ ...chosen.inputs[2], ...inputs[1] });
    expectMutantFails(() => close(mutant, want, 5e-6));
    for (const session of sessions) await session.release();
  });

  it('do not keep a model from being distilled', async () => {
    const context = { ...common, model: long, inputs, training: { steps: 2, rate: 1e-3 } };
    expect((await distill(plans, context)).left).toBeUndefined();
  }, 300_000);
});

describe('distillation', () => {
  const plans = assignPlans(sites, () => readPlan('features:m=8'));
  const losses: string[] = [];
  const context = {
    ...common,
    inputs: passages.slice(0, 6),
    onStep: (what: string) => losses.push(what),
    training: { steps: 24, rate: 5e-3 },
  };

  it.each([
    ['of the factors', distill],
    ['in a subspace', distillInSubspace],
  ])(
    '%s makes inputs better that it has not seen, by corrections that are the same again',
    async (_, heal) => {
      const before = await errorOf(plans, passages.slice(6));
      const { plans: healed } = await heal(plans, context);
      expect(await errorOf(healed, passages.slice(6))).toBeLessThan(0.9 * before);
      expect(losses.length).toBeGreaterThan(10);
      const corrections = healed.flatMap(({ corrections: some = [] }) => some);
      // q, k, v and o of two layers.
      expect(corrections).toHaveLength(8);
      const { plans: again } = await heal(plans, context);
      expect(again.flatMap(({ corrections: some = [] }) => some)).toEqual(corrections);
    },
    300_000,
  );

  it('goes on where it was interrupted, to the same bits; what is kept of another training is no use', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'performers-training-'));
    try {
      const whole = await distill(plans, context);
      const steps: number[] = [];
      const watched = (stopAt: number) => ({
        ...context,
        checkpoint: folderCheckpoint(folder, 'a model and its inputs'),
        onStep(what: string) {
          const step = Number(/\d+/.exec(what)?.[0]);
          if (step === stopAt) throw new Error('stopped');
          steps.push(step);
        },
      });
      await expect(distill(plans, watched(17))).rejects.toThrow('stopped');
      expect(steps).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
      steps.length = 0;
      const other = { ...watched(2), training: { ...context.training, rate: 1e-3 } };
      await expect(distill(plans, other)).rejects.toThrow('stopped');
      expect(steps).toEqual([1]);
      steps.length = 0;
      const resumed = await distill(plans, watched(0));
      expect(steps).toEqual(Array.from({ length: 14 }, (_, i) => i + 11));
      expect(resumed.plans.map(({ corrections }) => corrections)).toEqual(
        whole.plans.map(({ corrections }) => corrections),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 300_000);

  it('is left with the reason where no layer is linear', async () => {
    const exact = assignPlans(sites, () => readPlan('exact-blocked'));
    expect((await distill(exact, context)).left).toEqual(['everything: no projection of it can be corrected']);
  });
});

describe('principal directions of a path', () => {
  it('are orthonormal, span it, and are no more than it has', () => {
    const normal = gaussians(9);
    const start = Float32Array.from({ length: 20 }, () => normal());
    const [a, b] = [0, 1].map(() => Float32Array.from({ length: 20 }, () => normal()));
    const path = [1, 2, 3, 4].map((t) => start.map((x, i) => x + t * a[i] + t * t * b[i]));
    const found = principalDirections(path, start, 40);
    expect(found).toHaveLength(2);
    const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => Array.from(x).reduce((sum, v, i) => sum + v * y[i], 0);
    close([dot(found[0], found[0]), dot(found[1], found[1]), 1 + dot(found[0], found[1])], [1, 1, 1], 1e-5);
    const move = path[2].map((x, i) => x - start[i]);
    const inside = Float64Array.from(move, (_, i) => found.reduce((sum, row) => sum + dot(row, move) * row[i], 0));
    close(inside, Float64Array.from(move), 1e-5);
    expectMutantFails(() =>
      close(
        Float64Array.from(move, (_, i) => dot(found[0], move) * found[0][i]),
        Float64Array.from(move),
        1e-5,
      ),
    );
  });
});
