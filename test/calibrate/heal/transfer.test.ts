/** Attention transfer: what is trained is the hybrid by its definition, and training its codebooks helps inputs it has not seen. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../../src/adapters/onnxruntime.js';
import { codebookLearner } from '../../../src/calibrate/heal/codebook-learner.js';
import { featureLearner } from '../../../src/calibrate/heal/feature-learner.js';
import { healMethods } from '../../../src/calibrate/heal/healing.js';
import { transfer } from '../../../src/calibrate/heal/transfer.js';
import { openRecorder } from '../../../src/calibrate/record.js';
import { gaussians } from '../../../src/features/rng.js';
import type { Block } from '../../../src/learn/descend.js';
import { loadJax } from '../../../src/learn/peer.js';
import { linearize, restore } from '../../../src/linearize.js';
import { compareOutputs } from '../../../src/metrics.js';
import { folderCheckpoint } from '../../../src/node/checkpoint.js';
import { generateInputs } from '../../../src/node/inputs.js';
import { decode } from '../../../src/onnx/decode.js';
import { concat, encode } from '../../../src/onnx/encode.js';
import { openModel } from '../../../src/onnx/graph.js';
import { applyPlans } from '../../../src/rewrite/apply.js';
import { assignPlans } from '../../../src/rewrite/assign-plans.js';
import { findAttention } from '../../../src/rewrite/find.js';
import { hybrid } from '../../../src/rewrite/lower/hybrid.js';
import { readPlan, type SiteConstants, type SitePlan } from '../../../src/rewrite/plan.js';
import { savePlan } from '../../../src/rewrite/saved-plan.js';
import type { Feeds } from '../../../src/session.js';
import { mutants, normalInput } from '../../attention/cases.js';
import { attentionModel } from '../../attention-model.js';
import { close, expectMutantFails } from '../../close.js';
import type { Attention } from '../../oracle/attention.js';
import { type Hybrid, hybridAttention } from '../../oracle/hybrid.js';
import { positiveAttention } from '../../oracle/positive-attention.js';
import { graphFile } from '../../shared.js';

const jax = await loadJax();
const createSession = sessionFactory(ort);

describe.each([
  ['keys', {}],
  ['pairs', {}],
  ['keys', { masked: [21] }],
  ['pairs', { masked: [40] }],
  ['pairs', { kept: 3 }],
  ['keys', { kept: 2, masked: [21] }],
])('a codebook of %s with %j', (assign, { kept, ...masks }: { masked?: number[]; kept?: number }) => {
  const input = normalInput({ B: 1, H: 3, N: 130, S: 130, D: 8, E: 5 }, 31, { qSize: 2, ...masks });
  const { H, N, D, E } = input;
  const F = assign === 'pairs' ? D + E : D;
  const [heads, blocks, codes] = [[0, 2], [3, 0, 4, 1], 6];
  const normal = gaussians(5);
  const draw = (length: number) => Float32Array.from({ length }, () => normal());
  const constants = {
    query: draw(H * D),
    [`${assign}6.weights`]: draw(H * F * codes),
    [`${assign}6.offsets`]: draw(H * codes),
  };
  const window = kept ? 48 : 40;
  const near = { window, globals: 5, sinks: 2, codes, assign };
  const plan = readPlan(kept ? { name: 'blocks', blocks: kept, ...near } : { name: 'hybrid', ...near });
  /** Contexts of the blocks of both heads [2,4,32,E], keys padded to 140. */
  const attended = async (given: Attention) => {
    const passage = passageOf(given);
    const learner = codebookLearner({ heads, plan }, constants, passage);
    if (!learner) throw new Error('a hybrid with codes has a codebook');
    const arrays = (all: readonly Block[]) =>
      all.map(({ shape, data }) => jax.numpy.array(data, { shape: [...shape] }));
    const seen = learner.see(passage, blocks, 140);
    expect(seen).toHaveLength(learner.parts);
    return learner.attend(jax, arrays(learner.parameters), arrays(seen)).data();
  };
  const definition: Hybrid = {
    ...{ block: 32, window, globals: 5, sinks: 2, codes, centred: true },
    ...(kept && { kept: { blocks: kept, keyBlock: 8 } }),
    query: Float64Array.from(constants.query),
    weights: Float64Array.from(constants[`${assign}6.weights`]),
    offsets: Float64Array.from(constants[`${assign}6.offsets`]),
  };
  const wanted = (given: Attention, change: Partial<Hybrid> = {}) => {
    const all = hybridAttention(given, { ...definition, ...change });
    return heads.flatMap((h) =>
      blocks.flatMap((block) =>
        Array.from({ length: 32 * E }, (_, at) => {
          const i = block * 32 + Math.floor(at / E);
          return i < N ? all[(h * N + i) * E + (at % E)] : Number.NaN;
        }),
      ),
    );
  };

  it('attends as the hybrid does', async () => {
    const want = wanted(input);
    const there = (values: ArrayLike<number>) => Array.from(values).filter((_, i) => !Number.isNaN(want[i]));
    const got = there(await attended(input));
    close(got, there(want), 5e-6);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, there(wanted(mutant)), 5e-6));
    for (const change of [
      { window: window + 2 },
      ...(kept ? [{ kept: undefined }, { kept: { blocks: kept - 1, keyBlock: 8 } }] : []),
      { globals: 4 },
      { centred: false },
      { weights: definition.weights.map((w) => -w) },
    ])
      expectMutantFails(() => close(got, there(wanted(input, change)), 5e-6));
  });
});

/** One passage as it is recorded: the scale is in q, and masked keys have a bias that is finite. */
function passageOf({ H, N, S, D, E, q, k, v, scale, keyBias }: Attention) {
  const array = (data: Float64Array, ...dims: number[]) => ({ data: Float32Array.from(data), dims });
  return {
    q: array(
      q.map((x) => x * scale),
      ...[1, H, N, D],
    ),
    k: array(k, 1, H, S, D),
    v: array(v, 1, H, S, E),
    ...(keyBias && {
      keyBias: array(
        keyBias.map((bias) => Math.max(bias, -1e9)),
        1,
        1,
        1,
        S,
      ),
    }),
  };
}

it.each(['hybrid-2d', 'hybrid-causal', 'blocks:codes=0', 'hybrid:codes=0', 'window'])(
  '%s has no codebook that is trained',
  (plan) => {
    const passage = passageOf(normalInput({ B: 1, H: 1, N: 40, S: 40, D: 4, E: 4 }, 1));
    expect(codebookLearner({ heads: [0], plan: readPlan(plan) }, {}, passage)).toBeUndefined();
  },
);

describe.each(['sderf', 'aderf'])('features of the map %s', (map) => {
  const input = normalInput({ B: 1, H: 3, N: 70, S: 70, D: 8, E: 5 }, 31, { masked: [9] });
  const { H, N, D, E } = input;
  const [heads, blocks, m] = [[0, 2], [1, 0], 6];
  const normal = gaussians(5);
  const draw = (length: number) => Float32Array.from({ length }, () => normal());
  const sides = map === 'aderf' ? ['queryOmega', 'keyOmega'] : ['omega', 'omega'];
  const named = (part: string) => `${map}6.0.${part}`;
  const constants: Record<string, Float32Array> = {
    [named(sides[0])]: draw(H * m * D),
    [named(sides[1])]: draw(H * m * D),
    [named('bias')]: draw(H * m),
    ...(map === 'aderf' && { [named('keyBasis')]: draw(H * D * D) }),
  };

  it('attend as they are defined', async () => {
    const [site] = findAttention(
      openModel(decode(attentionModel({ heads: H, headDim: D, valueDim: E, self: true }))),
    ).sites;
    const learner = featureLearner({ heads, plan: readPlan({ name: 'features', map, m }) }, constants, site);
    if (!learner) throw new Error('a calibrated map has constants');
    const seen = learner.see(passageOf(input), blocks, 80);
    expect(seen).toHaveLength(learner.parts);
    const arrays = (all: readonly Block[]) =>
      all.map(({ shape, data }) => jax.numpy.array(data, { shape: [...shape] }));
    const all = await learner.attend(jax, arrays(learner.parameters), arrays(seen)).data();
    const [queryOmega, keyOmega] = sides.map((side) => constants[named(side)]);
    const given = { queryOmega, keyOmega, bias: constants[named('bias')], keyBasis: constants[named('keyBasis')] };
    // Blocks 1 and 0 of two heads; what is left of a block is no query.
    const places = heads.flatMap((h, i) =>
      [...Array(N).keys()]
        .filter((n) => n < 64)
        .map((n) => [((i * 2 + (n < 32 ? 1 : 0)) * 32 + (n % 32)) * E, (h * N + n) * E]),
    );
    const rows = (data: ArrayLike<number>, side: 0 | 1) =>
      places.flatMap((place) => Array.from({ length: E }, (_, e) => data[place[side] + e]));
    const got = rows(all, 0);
    const want = (attention: Attention, change: object = {}) =>
      rows(positiveAttention(attention, { ...given, ...change }), 1);
    close(got, want(input), 5e-6);
    for (const mutant of Object.values(mutants(input))) expectMutantFails(() => close(got, want(mutant), 5e-6));
    expectMutantFails(() => close(got, want(input, { bias: given.bias.map((b) => -b) }), 5e-6));
    const back = learner.constants(
      learner.parameters.map(({ data }) => Float32Array.from(data)),
      constants,
      [2],
    );
    for (const [name, data] of Object.entries(constants)) close(back[name], data, 1e-6);
  });
});

describe('attention transfer', () => {
  const bytes = new Uint8Array(readFileSync(graphFile('modernbert.optimum-sdpa.onnx')));
  const model = openModel(decode(bytes));
  const sites = findAttention(model).sites.filter((site) => !hybrid.declines?.(site));
  const { feeds } = generateInputs(model, { tokens: 150 });
  /** Passages of tokens that differ, the last ten of them padding. */
  const passages = Array.from({ length: 8 }, (_, seed): Feeds => {
    const kind = gaussians(seed);
    const ids = feeds.input_ids.data as BigInt64Array;
    return {
      input_ids: { ...feeds.input_ids, data: ids.map(() => BigInt(1 + (Math.floor(Math.abs(kind()) * 1000) % 30))) },
      attention_mask: { ...feeds.attention_mask, data: ids.map((_, i) => BigInt(i < 140)) },
    };
  });
  const normal = gaussians(6);
  const plan = (text: string, heads: readonly number[]) => ({ heads, plan: readPlan(text) });
  const plans = sites.map((site, layer): SitePlan => {
    const draw = (length: number) => Float32Array.from({ length: site.heads * length }, () => normal());
    const coded = [plan('hybrid:window=32,globals=3,codes=6', [0, 2]), plan('hybrid:window=34,globals=0,codes=6', [1])];
    const groups = [...coded, plan(layer === 0 ? 'exact-blocked' : 'hybrid:window=128,codes=0', [3])];
    const constants = {
      query: draw(site.headDim),
      'keys6.weights': draw(site.headDim * 6),
      'keys6.offsets': draw(6),
    };
    return { site, groups, why: 'test', constants };
  });
  const steps: string[] = [];
  const context = async (inputs = passages.slice(0, 6)) => {
    const recorder = await openRecorder(model, sites, createSession);
    const weights = await recorder.outputWeights(passages[0]);
    await recorder.release();
    const survey = { plans: [], constants: {}, shares: [], keys: 150, recordedBytes: 1 };
    const surveys = sites.map((site, i) => ({ site, ...survey, outputWeight: weights[i] }));
    const onStep = (what: string) => steps.push(what);
    return { model, surveys, inputs, createSession, onStep, training: { steps: 50, rate: 0.1 } };
  };
  const errorOf = async (some: readonly SitePlan[]) => {
    const exact = assignPlans(sites, () => readPlan('exact'));
    const found = await Promise.all(
      passages.slice(6).map(async (feeds) => compareOutputs(await answer(some, feeds), await answer(exact, feeds))),
    );
    return Math.hypot(...found.map(([error]) => error.relRMS));
  };
  const answer = async (some: readonly SitePlan[], feeds: Feeds) => {
    const session = await createSession(concat(encode(applyPlans(model, some).proto)));
    try {
      return await session.run(feeds);
    } finally {
      await session.release();
    }
  };

  it('makes inputs better that it has not seen, by codebooks of linear heads alone, and the same ones again', async () => {
    const given = await context();
    const { plans: healed, left } = await transfer(plans, given);
    const check = async (some: readonly SitePlan[]) =>
      expect(await errorOf(some)).toBeLessThan(0.9 * (await errorOf(plans)));
    await check(healed);
    const turned = ({ constants = {} }: SitePlan) => constants['keys6.weights'].map((w) => -w);
    const mutant = healed.map((site) => ({ ...site, constants: { ...site.constants, 'keys6.weights': turned(site) } }));
    await expect(check(mutant)).rejects.toThrow('to be less than');
    expect(steps).toHaveLength(healMethods.transfer.steps(2, given.training));
    expect(left?.[0]).toBe(
      'layer 1: hybrid:window=128,globals=32,sinks=0,codes=0,assign=keys (1 heads) has no constants that are trained',
    );
    for (const [layer, { groups, constants = {} }] of healed.entries()) {
      const before = plans[layer].constants ?? {};
      expect(groups).toBe(plans[layer].groups);
      expect(constants.query).toBe(before.query);
      const rows = (all: SiteConstants, head: number) => all['keys6.offsets'].slice(head * 6, head * 6 + 6);
      expect(rows(constants, 3)).toEqual(rows(before, 3));
      expect([0, 1, 2].some((head) => rows(constants, head)[0] !== rows(before, head)[0])).toBe(true);
    }
    const again = await transfer(plans, given);
    expect(again.plans.map(({ constants }) => constants)).toEqual(healed.map(({ constants }) => constants));
  }, 300_000);

  it('trains the constants of calibrated features, too', async () => {
    const drawn = gaussians(8);
    const featured = plans.map(({ site }): SitePlan => {
      const draw = (length: number) => Float32Array.from({ length: site.heads * length }, () => 0.7 * drawn());
      const constants = { 'sderf6.0.omega': draw(6 * site.headDim), 'sderf6.0.bias': draw(6) };
      return { site, groups: [plan('features:map=sderf,m=6', [0, 1, 2, 3])], why: 'test', constants };
    });
    const { plans: healed } = await transfer(featured, await context());
    const check = async (some: readonly SitePlan[]) =>
      expect(await errorOf(some)).toBeLessThan(0.9 * (await errorOf(featured)));
    await check(healed);
    await expect(check(featured)).rejects.toThrow('to be less than');
  }, 300_000);

  it('is saved with the plan, and taken back byte for byte', async () => {
    const given = { ...(await context()), training: { steps: 4 } };
    const { plans: healed } = await transfer(plans, given);
    const others = assignPlans(findAttention(model).sites, () => readPlan('exact-blocked'));
    const whole = others.map((other) => healed.find(({ site }) => site.node === other.site.node) ?? other);
    const saved = JSON.parse(JSON.stringify(savePlan(whole)));
    const { bytes: linear, report } = await linearize(bytes, { saved });
    const session = await createSession(linear);
    const [name] = session.outputNames;
    const got = (await session.run(passages[6]))[name].data as Float32Array;
    await session.release();
    close(got, Float64Array.from((await answer(healed, passages[6]))[name].data as Float32Array), 1e-5);
    const untrained = Float64Array.from((await answer(plans, passages[6]))[name].data as Float32Array);
    expectMutantFails(() => close(got, untrained, 1e-5));
    expect(Buffer.compare(restore(linear, report), bytes)).toBe(0);
  }, 300_000);

  it('goes on where it was interrupted, to the same bits, layers that are done included', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'performers-transfer-'));
    try {
      const given = { ...(await context()), surveys: [], training: { steps: 12 } };
      const whole = await transfer(plans, given);
      const seen: string[] = [];
      const watched = (stopAt: string) => ({
        ...given,
        checkpoint: folderCheckpoint(folder, 'a model and its inputs'),
        onStep(what: string) {
          if (what.startsWith(stopAt)) throw new Error('stopped');
          seen.push(what.replace(/, loss.*/, ''));
        },
      });
      await expect(transfer(plans, watched('transfer layer 1, step 11'))).rejects.toThrow('stopped');
      expect(seen).toHaveLength(22);
      seen.length = 0;
      const resumed = await transfer(plans, watched('never'));
      expect(seen).toEqual(['transfer layer 1, step 11', 'transfer layer 1, step 12']);
      expect(resumed.plans.map(({ constants }) => constants)).toEqual(whole.plans.map(({ constants }) => constants));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 300_000);

  it('is left with the reason where there is no codebook, or one input alone', async () => {
    const plain = assignPlans(sites, () => readPlan('features:m=8'));
    const [first] = (await transfer(plain, await context())).left ?? [];
    expect(first).toBe('layer 0: features:map=favor+,m=8,seed=0 (4 heads) has no constants that are trained');
    const alone = await transfer(plans, await context(passages.slice(0, 1)));
    expect(alone.plans).toEqual(plans);
    expect(alone.left?.[0]).toBe('layer 0: one input is too few to train on some and look at others');
  });
});
