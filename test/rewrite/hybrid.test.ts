/** The hybrid lowering with constants of its own, run by onnxruntime, against its definition in float64. */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import { readPlan, type SitePlan } from '../../src/rewrite/plan.js';
import type { Site } from '../../src/rewrite/site.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';
import { type Hybrid, hybridAttention, leastMargin } from '../oracle/hybrid.js';

const bound = 5e-6;

interface Setting extends Pick<Hybrid, 'window' | 'globals' | 'sinks' | 'codes' | 'kept'> {
  readonly pairs?: boolean;
  readonly steps?: number;
}
const settings: Readonly<Record<string, Setting>> = {
  'all parts': { window: 40, globals: 5, sinks: 2, codes: 6 },
  'codes of key and value': { window: 32, globals: 3, sinks: 0, codes: 4, pairs: true },
  'sinks alone': { window: 32, globals: 0, sinks: 3, codes: 0 },
  'no globals': { window: 32, globals: 0, sinks: 0, codes: 8 },
  'more globals than keys': { window: 32, globals: 200, sinks: 0, codes: 4 },
};

/** Constants as calibration would make them, but random, for every head of an input. */
function hybridOf({ H, D, E }: Attention, setting: Setting, seed = 5): Hybrid {
  const normal = gaussians(seed);
  const draw = (length: number) => Float64Array.from(Float32Array.from({ length }, () => normal()));
  const width = setting.pairs ? D + E : D;
  const { steps = 0 } = setting;
  return {
    block: 32,
    ...setting,
    query: draw(H * D),
    weights: draw(H * width * setting.codes),
    offsets: draw(H * setting.codes),
    centred: true,
    ...(steps > 0 && {
      refine: { steps, metric: metricsOf(H, D), valueWeight: Float64Array.from({ length: H }, (_, h) => 0.5 + h) },
    }),
  };
}

/** Positive definite, another for every head: [H,D,D]. */
function metricsOf(H: number, D: number): Float64Array {
  return Float64Array.from({ length: H * D * D }, (_, at) => {
    const [h, i, j] = [Math.floor(at / D / D), Math.floor(at / D) % D, at % D];
    return i === j ? 2 + h + i / D : 1 / (1 + h + i + j);
  });
}

function planOf({ window, globals, sinks, codes, pairs, kept }: Setting) {
  const options = { window, globals, sinks, codes, assign: pairs ? 'pairs' : 'keys' };
  return readPlan(kept ? { name: 'blocks', ...options, blocks: kept.blocks } : { name: 'hybrid', ...options });
}

type Change = Partial<Pick<SitePlan, 'constants' | 'exactUpTo'>>;

type Tiles = NonNullable<Hybrid['grid']>;

function onGrid(site: Site, { prefix }: Tiles): Site {
  return { ...site, operands: { ...site.operands, grid: { value: 'grid', prefix } } };
}

/** The same on an image: rows × columns patches behind `prefix` tokens. */
async function patchedImage(input: Attention, setting: Setting, grid: Tiles): Promise<Float32Array> {
  const { H, D, E, keyBias } = input;
  const form = { heads: H, headDim: D, valueDim: E, self: true, grid: true } as const;
  const model = openModel(decode(attentionModel({ ...form, ...(keyBias && { mask: 'add' }) })));
  const { globals, sinks, codes, pairs, steps = 0 } = setting;
  const { tile, halo, rows, columns, ring = 0 } = grid;
  const plan = readPlan({
    name: 'hybrid-2d',
    tile,
    halo,
    globals,
    sinks,
    codes,
    assign: pairs ? 'pairs' : 'keys',
    steps,
    ring,
  });
  const plans = findAttention(model).sites.map((site) => ({
    site: onGrid(site, grid),
    groups: [{ heads: Array.from({ length: H }, (_, h) => h), plan }],
    why: 'test',
    constants: constantsOf(input, setting),
  }));
  const sizes = { grid: { data: new Float32Array(rows * columns), dims: [1, 1, rows, columns] } };
  return run(concat(encode(applyPlans(model, plans).proto)), { ...arraysOf(input), ...sizes });
}

function constantsOf(input: Attention, setting: Setting) {
  const { query, weights, offsets, refine } = hybridOf(input, setting);
  const assign = setting.pairs ? 'pairs' : 'keys';
  const name = `${assign}${setting.codes}`;
  return {
    ...(refine && { [`${assign}.metric`]: Float32Array.from(refine.metric) }),
    ...(refine && setting.pairs && { [`${assign}.valueWeight`]: Float32Array.from(refine.valueWeight) }),
    query: Float32Array.from(query),
    [`${name}.weights`]: Float32Array.from(weights),
    [`${name}.offsets`]: Float32Array.from(offsets),
  };
}

async function patched(input: Attention, setting: Setting, change: Change = {}, opset = 17): Promise<Float32Array> {
  const { H, D, E, keyBias } = input;
  const bytes = attentionModel({
    heads: H,
    headDim: D,
    valueDim: E,
    self: true,
    opset,
    ...(keyBias && { mask: 'add' }),
  });
  const model = openModel(decode(bytes));
  const constants = { ...constantsOf(input, setting), ...change.constants };
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [{ heads: Array.from({ length: H }, (_, h) => h), plan: planOf(setting) }],
    why: 'test',
    ...change,
    constants,
  }));
  return run(concat(encode(applyPlans(model, plans).proto)), arraysOf(input));
}

const selfCases = Object.entries(cases).filter(([, { N, S }]) => N === S);

describe.each(Object.entries(settings))('hybrid, %s', (_, setting) => {
  it.each(selfCases)('equals the oracle: %s', async (_, input) => {
    close(await patched(input, setting), hybridAttention(input, hybridOf(input, setting)), bound);
  });
  it.each(selfCases)('refuses mutants: %s', async (_, input) => {
    const got = await patched(input, setting);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, hybridAttention(mutant, hybridOf(mutant, setting)), bound));
  });
});

describe('hybrid', () => {
  const input = normalInput({ B: 2, H: 3, N: 130, S: 130, D: 8, E: 5 }, 31, { masked: [0, 21] });
  const setting = settings['all parts'];
  const hybrid = hybridOf(input, setting);

  it.each([
    ['a wider window', { window: 42 }],
    ['a global lost', { globals: 4 }],
    ['a sink lost', { sinks: 1 }],
    ['no far field', { codes: 0 }],
    ['not centred', { centred: false }],
    ['another codebook', { weights: hybrid.weights.map((w) => -w) }],
    ['another static query', { query: hybrid.query.map((x) => -x) }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const got = await patched(input, setting);
    expectMutantFails(() => close(got, hybridAttention(input, { ...hybrid, ...mutant }), bound));
  });

  it.each([11, 12, 13, 18, 20])('holds at opset %i', async (opset) => {
    close(await patched(input, setting, {}, opset), hybridAttention(input, hybrid), bound);
  });

  it('is exact where everything lies in the window', async () => {
    const short = normalInput({ B: 1, H: 3, N: 32, S: 32, D: 8, E: 5 }, 32);
    close(await patched(short, setting), softmaxAttention(short), bound);
  });

  it('gives way to exact attention on short inputs, healed or not', async () => {
    const constants = { gain: new Float32Array(3).fill(2), bias: new Float32Array(15).fill(1) };
    close(await patched(input, setting, { exactUpTo: 130, constants }), softmaxAttention(input), bound);
    const healed = hybridAttention(input, hybrid).map((x) => 2 * x + 1);
    close(await patched(input, setting, { exactUpTo: 129, constants }), healed, bound);
  });

  it('heals every head by its own gain and bias', async () => {
    const gain = Float32Array.of(1, 2, 3);
    const bias = Float32Array.from({ length: 15 }, (_, i) => i);
    const size = 130 * 5;
    const head = (i: number) => Math.floor(i / size) % 3;
    const want = hybridAttention(input, hybrid).map((x, i) => gain[head(i)] * x + bias[head(i) * 5 + (i % 5)]);
    close(await patched(input, setting, { constants: { gain, bias } }), want, bound);
  });

  it('is declined without calibration, and the report says so', async () => {
    const { report } = await linearize(attentionModel({ heads: 2, headDim: 8, self: true }), { plan: 'hybrid' });
    expect(report.sites[0]?.plans[0]?.plan).toBe('exact-blocked:block=256');
    expect(report.sites[0]?.why).toMatchInlineSnapshot(
      `"exact in linear memory: hybrid is not possible (it needs calibration, and there is no query, keys32.weights, keys32.offsets)"`,
    );
  });
});

describe('hybrid in two dimensions', () => {
  const images: Readonly<Record<string, Tiles & { readonly masked?: number[]; readonly B?: number }>> = {
    'whole tiles behind a class token': { rows: 12, columns: 16, prefix: 1, tile: 4, halo: 2 },
    'a ragged grid, batch 2, four registers': { rows: 11, columns: 7, prefix: 5, tile: 4, halo: 2, B: 2 },
    'no tokens in front, small tiles': { rows: 9, columns: 6, prefix: 0, tile: 2, halo: 1 },
    'a halo as wide as the tile': { rows: 10, columns: 13, prefix: 1, tile: 3, halo: 3 },
    'no halo': { rows: 8, columns: 8, prefix: 1, tile: 4, halo: 0 },
    'masked patches': { rows: 9, columns: 9, prefix: 1, tile: 4, halo: 2, B: 2, masked: [0, 20] },
    'one patch': { rows: 1, columns: 1, prefix: 1, tile: 4, halo: 2 },
    'a ring': { rows: 16, columns: 22, prefix: 1, tile: 4, halo: 2, ring: 2 },
    'a ring, a ragged grid, batch 2, masked patches': {
      ...{ rows: 13, columns: 15, prefix: 1, tile: 2, halo: 2, ring: 1 },
      ...{ B: 2, masked: [0, 90] },
    },
    'a ring around everything': { rows: 3, columns: 5, prefix: 0, tile: 8, halo: 0, ring: 1 },
  };
  const inputOf = ({ rows, columns, prefix, masked, B = 1 }: (typeof images)[string]) => {
    const N = rows * columns + prefix;
    return normalInput({ B, H: 2, N, S: N, D: 8, E: 5 }, 40 + N, masked ? { masked } : {});
  };
  const setting = { window: 32, globals: 4, sinks: 1, codes: 5, pairs: true };

  it.each(Object.entries(images))('equals the oracle: %s', async (_, grid) => {
    const input = inputOf(grid);
    const got = await patchedImage(input, setting, grid);
    close(got, hybridAttention(input, { ...hybridOf(input, setting), grid }), bound);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, hybridAttention(mutant, { ...hybridOf(mutant, setting), grid }), bound));
  });

  const moving: Setting = { window: 32, globals: 3, sinks: 0, codes: 7, steps: 2 };
  it.each([
    ['keys', moving],
    ['pairs', { ...moving, pairs: true }],
    ['one step', { ...moving, pairs: true, steps: 1 }],
  ])('moves the codes on the input itself: %s', async (_, setting) => {
    for (const grid of [images['a ragged grid, batch 2, four registers'], images['masked patches']]) {
      const input = inputOf(grid);
      const got = await patchedImage(input, setting, grid);
      const hybrid = { ...hybridOf(input, setting), grid };
      close(got, hybridAttention(input, hybrid), bound);
      const { refine } = hybrid;
      if (!refine) throw new Error('the setting moves codes');
      for (const mutant of [
        { ...refine, steps: refine.steps - 1 },
        { ...refine, metric: refine.metric.map((x, at) => (at % 8 === 0 ? 3 * x : x)) },
        ...(setting.pairs ? [{ ...refine, valueWeight: refine.valueWeight.map((x) => 20 * x) }] : []),
      ])
        expectMutantFails(() => close(got, hybridAttention(input, { ...hybrid, refine: mutant }), bound));
    }
  });

  it('has a ring without codes, and one with codes moved on the input', async () => {
    const grid = images['a ring'];
    const input = inputOf(grid);
    for (const one of [{ ...setting, codes: 0 }, moving])
      close(await patchedImage(input, one, grid), hybridAttention(input, { ...hybridOf(input, one), grid }), bound);
  });
  it.each([
    ['none', { ring: 0 }],
    ['one wider', { ring: 3 }],
    ['one around a wider halo', { halo: 4, ring: 1 }],
  ])('refuses the mutant of a ring: %s', async (_, change) => {
    const grid = images['a ring'];
    const input = inputOf(grid);
    const got = await patchedImage(input, setting, grid);
    const hybrid = { ...hybridOf(input, setting), grid: { ...grid, ...change } };
    expectMutantFails(() => close(got, hybridAttention(input, hybrid), bound));
  });
  it('refuses a ring that does not fit its tiles', () => {
    expect(() => readPlan({ name: 'hybrid-2d', tile: 3, ring: 1 })).toThrow(/a tile of 3 with a halo of 2 is not/);
  });

  it.each([
    ['rows and columns swapped', { rows: 16, columns: 12 }],
    ['a wider halo', { halo: 3 }],
    ['smaller tiles', { tile: 2 }],
    ['a token in front forgotten', { prefix: 0, rows: 1, columns: 193 }],
  ])('refuses the mutant: %s', async (_, change) => {
    const grid = images['whole tiles behind a class token'];
    const input = inputOf(grid);
    const got = await patchedImage(input, setting, grid);
    const hybrid = { ...hybridOf(input, setting), grid: { ...grid, ...change } };
    expectMutantFails(() => close(got, hybridAttention(input, hybrid), bound));
  });
});

describe('blocks', () => {
  const kept = { blocks: 3, keyBlock: 8 };
  const settings: Readonly<Record<string, Setting>> = {
    'all parts': { window: 48, globals: 5, sinks: 2, codes: 6, kept },
    'codes of key and value': { window: 32, globals: 3, sinks: 0, codes: 4, pairs: true, kept },
    'no codes, one block': { window: 32, globals: 0, sinks: 0, codes: 0, kept: { ...kept, blocks: 1 } },
    'more blocks than there are': { window: 32, globals: 2, sinks: 0, codes: 4, kept: { ...kept, blocks: 40 } },
  };
  const sizes = { B: 2, H: 3, D: 8, E: 5 };
  const inputs = {
    'whole blocks': normalInput({ ...sizes, N: 160, S: 160 }, 61),
    'a ragged end': normalInput({ ...sizes, N: 139, S: 139 }, 62),
    'masked keys': normalInput({ ...sizes, N: 130, S: 130 }, 63, { masked: [0, 45] }),
    'one token': normalInput({ ...sizes, N: 1, S: 1 }, 64),
  };
  const each = Object.entries(settings).flatMap(([a, setting]) =>
    Object.entries(inputs).map(([b, input]) => [`${a}, ${b}`, setting, input] as const),
  );

  it.each(each)('equals the oracle: %s', async (_, setting, input) => {
    const hybrid = hybridOf(input, setting);
    expect(leastMargin(input, hybrid)).toBeGreaterThan(1e-4);
    close(await patched(input, setting), hybridAttention(input, hybrid), bound);
  });

  const input = inputs['a ragged end'];
  const hybrid = hybridOf(input, settings['all parts']);
  it.each([
    ['a block less', { kept: { ...kept, blocks: 2 } }],
    ['larger blocks', { kept: { ...kept, keyBlock: 16 } }],
    ['none', { kept: undefined }],
    ['a wider window', { window: 64 }],
    ['a global lost', { globals: 4 }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const got = await patched(input, settings['all parts']);
    expectMutantFails(() => close(got, hybridAttention(input, { ...hybrid, ...mutant }), bound));
  });
  it('refuses another input', async () => {
    const got = await patched(input, settings['all parts']);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, hybridAttention(mutant, hybridOf(mutant, settings['all parts'])), bound));
  });

  it.each([11, 12, 13, 18, 20])('holds at opset %i', async (opset) => {
    close(await patched(input, settings['all parts'], {}, opset), hybridAttention(input, hybrid), bound);
  });

  it('is exact where all blocks are kept', async () => {
    const all: Setting = { window: 32, globals: 0, sinks: 0, codes: 4, kept: { blocks: 40, keyBlock: 8 } };
    close(await patched(input, all), softmaxAttention(input), bound);
  });
});
