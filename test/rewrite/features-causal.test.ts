/** Positive features behind a window, in a stream, run by onnxruntime, against their definition in float64. */
import { describe, expect, it } from 'vitest';
import { favorPlus } from '../../src/features/favor-plus.js';
import { hyperbolic } from '../../src/features/hyperbolic.js';
import { gaussians } from '../../src/features/rng.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { declined } from '../../src/rewrite/assign-plans.js';
import { findAttention } from '../../src/rewrite/find.js';
import { constantName } from '../../src/rewrite/lower/features-constants.js';
import { readPlan, type SiteConstants } from '../../src/rewrite/plan.js';
import { undoRewrite } from '../../src/rewrite/undo.js';
import { normalInput } from '../attention/cases.js';
import { type CausalForm, causalModel, formOf, grouped, judged, leftPadded, runInPieces } from '../causal-model.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { type CausalFeatures, causalFeatureAttention } from '../oracle/features-causal.js';

const bound = 5e-6;
const m = 24;

type Setting = { readonly map: string; readonly window: number };
const settings: Readonly<Record<string, Setting>> = {
  'drawn, behind a window': { map: 'favor+', window: 48 },
  'drawn in pairs, the least window': { map: 'hyperbolic', window: 32 },
  'learned, decaying': { map: 'learned', window: 64 },
  'fitted, a window of no whole blocks': { map: 'shift', window: 34 },
  'drawn, no window': { map: 'favor+', window: 0 },
  'learned, decaying, no window': { map: 'learned', window: 0 },
};

const shape = { B: 1, H: 2, N: 1, S: 1, D: 8, E: 8 };
const sized = (N: number, more: object = {}) => ({ ...shape, N, S: N, ...more });
const cases: Readonly<Record<string, Attention>> = {
  'one token': normalInput(sized(1), 1),
  'one block': normalInput(sized(32), 2),
  'whole blocks': normalInput(sized(160), 3),
  'ragged, batch 2, E ≠ D': normalInput(sized(211, { B: 2, H: 3, E: 5 }), 4),
  'padding behind': normalInput(sized(131, { B: 2 }), 6, { masked: [1, 57] }),
  'padding before': leftPadded(normalInput(sized(131, { B: 2 }), 6, { masked: [1, 57] })),
  '|q| × 8': normalInput(sized(150), 8, { qSize: 8 }),
  'blocks in three runs of 16': normalInput(sized(1060), 10),
};

const seed = 3;

/** What training might have made. */
function learned({ H, D }: Attention) {
  const normal = gaussians(5);
  const draw = (length: number, size = 1) => Float32Array.from({ length }, () => size * normal());
  return {
    queryOmega: draw(H * m * D),
    keyOmega: draw(H * m * D),
    bias: draw(H * m, 0.5),
    decay: draw(H, 0.02).map(Math.abs),
  };
}

/** What the map reads beside its seed, and the same as the oracle takes it. */
function mapOf(input: Attention, { map, window }: Setting): { constants: SiteConstants; oracle: CausalFeatures } {
  const { H: heads, D: headDim } = input;
  const own = learned(input);
  const blocks = { m, window, block: window === 0 ? 8 : 32 };
  const named = (values: Record<string, Float32Array>) =>
    Object.fromEntries(Object.entries(values).map(([name, data]) => [constantName({ map, m, seed }, name), data]));
  if (map === 'learned') return { constants: named(own), oracle: { ...blocks, ...own } };
  const { queryOmega: omega, bias } = own;
  if (map === 'shift')
    return { constants: named({ omega, bias }), oracle: { ...blocks, queryOmega: omega, keyOmega: omega, bias } };
  const drawn = (map === 'favor+' ? favorPlus : hyperbolic)({ heads, headDim, m, seed });
  return { constants: {}, oracle: { ...blocks, queryOmega: drawn.omega, keyOmega: drawn.omega, bias: drawn.bias } };
}

function plansOf(bytes: Uint8Array, input: Attention, setting: Setting, exact: readonly number[] = []) {
  const model = openModel(decode(bytes));
  const linear = Array.from({ length: input.H }, (_, h) => h).filter((h) => !exact.includes(h));
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [
      { heads: linear, plan: readPlan({ name: 'features-causal', ...setting, m, seed }) },
      ...(exact.length > 0 ? [{ heads: exact, plan: readPlan('exact-blocked:block=48') }] : []),
    ],
    why: 'test',
    constants: mapOf(input, setting).constants,
  }));
  expect(plans).toHaveLength(1);
  return applyPlans(model, plans);
}

const patched = (input: Attention, setting: Setting, form: CausalForm, exact: readonly number[] = []) =>
  concat(encode(plansOf(causalModel(form), input, setting, exact).proto));

describe.each(Object.entries(settings))('features-causal, %s', (_, setting) => {
  it.each(Object.entries(cases))('equals the oracle: %s', async (_, input) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    close(...judged(context, causalFeatureAttention(input, mapOf(input, setting).oracle)), bound);
  });

  it.each([11, 12, 13, 18, 20])('holds at opset %i', async (opset) => {
    const input = cases['padding before'];
    const form = { ...formOf(input), opset };
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    close(...judged(context, causalFeatureAttention(input, mapOf(input, setting).oracle)), bound);
  });
});

describe('a state in the place of the key cache', () => {
  const pieces: Readonly<Record<string, (S: number) => number[]>> = {
    'in one': (S) => [S],
    'token by token': (S) => Array.from({ length: S }, (_, i) => i + 1),
    'a prompt, then tokens': (S) => [S - 40, ...Array.from({ length: 40 }, (_, i) => S - 39 + i)],
    'uneven pieces': (S) => [5, 37, 38, 100, 101, S],
  };
  const inputs: Readonly<Record<string, Attention>> = {
    'batch 2, E ≠ D': normalInput(sized(131, { B: 2, H: 4, E: 5 }), 4),
    'padding before': leftPadded(normalInput(sized(131, { B: 2, H: 4 }), 6, { masked: [1, 57] })),
  };
  const all = Object.entries(inputs).flatMap(([name, input]) =>
    Object.entries(pieces).flatMap(([how, ends]) =>
      [settings['learned, decaying'], settings['learned, decaying, no window']].map(
        (setting) => [`${name}, ${how}, window ${setting.window}`, input, ends, setting] as const,
      ),
    ),
  );

  it.each(all)('equals the oracle of one call: %s', async (_, raw, ends, setting) => {
    const input = grouped(raw, 2);
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context, sizes } = await runInPieces(patched(input, setting, form), input, form, ends(input.S));
    close(...judged(context, causalFeatureAttention(input, mapOf(input, setting).oracle)), bound);
    const [carriers, states] = [0, 1].map((part) => sizes.filter((_, i) => i % 2 === part));
    expect(carriers).toEqual(ends(input.S).map((end) => [input.B, 1, end, 0]));
    expect(new Set(states.map(String)).size).toBe(1);
  });

  it('keeps the keys of exact heads', async () => {
    const input = grouped(inputs['padding before'], 2);
    const setting = settings['learned, decaying'];
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context } = await runInPieces(patched(input, setting, form, [1]), input, form, [37, 100, input.S]);
    const features = mapOf(input, setting).oracle;
    const [linear, exact] = [features, { ...features, window: 1024 }].map((each) =>
      causalFeatureAttention(input, each),
    );
    const { H, N, E } = input;
    const want = linear.map((value, i) => (Math.floor(i / (N * E)) % H === 1 ? exact[i] : value));
    close(...judged(context, want), bound);
  });

  it('refuses a state of another plan', async () => {
    const input = inputs['batch 2, E ≠ D'];
    const form = { ...formOf(input), cache: true };
    const [one, other] = ['drawn, behind a window', 'drawn, no window'].map((name) =>
      patched(input, settings[name], form),
    );
    await expect(runInPieces(one, input, form, [40, 80], other)).rejects.toThrow('20190117');
  });

  it('is undone byte for byte', () => {
    const input = inputs['padding before'];
    const bytes = causalModel({ ...formOf(input), cache: true });
    const { proto, undo } = plansOf(bytes, input, settings['drawn, behind a window']);
    const again = decode(concat(encode(proto)));
    expect(concat(encode(undoRewrite(again, JSON.parse(JSON.stringify(undo)))))).toEqual(bytes);
  });
});

describe('features-causal', () => {
  const input = cases['ragged, batch 2, E ≠ D'];
  const setting = settings['learned, decaying'];
  const { oracle } = mapOf(input, setting);
  const other = (values: ArrayLike<number>, change: (value: number) => number) => Array.from(values, change);

  it.each([
    ['a wider window', { window: 66 }],
    ['blocks of 16', { block: 16 }],
    ['the far field not decaying', { decay: undefined }],
    ['decay off by 1 %', { decay: other(oracle.decay ?? [], (value) => 1.01 * value) }],
    ['keys’ Ω off by .1 %', { keyOmega: other(oracle.keyOmega, (value) => 1.001 * value) }],
    ['queries’ Ω off by .1 %', { queryOmega: other(oracle.queryOmega, (value) => 1.001 * value) }],
    ['sides exchanged', { keyOmega: oracle.queryOmega, queryOmega: oracle.keyOmega }],
    ['bias counted once', { bias: other(oracle.bias, (value) => value / 2) }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    expectMutantFails(() => close(...judged(context, causalFeatureAttention(input, { ...oracle, ...mutant })), bound));
  });

  it('refuses the mutant: decay off by 1 %, over runs of blocks', async () => {
    const long = cases['blocks in three runs of 16'];
    const { oracle } = mapOf(long, setting);
    const form = formOf(long);
    const { context } = await runInPieces(patched(long, setting, form), long, form, [long.S]);
    const mutant = { ...oracle, decay: other(oracle.decay ?? [], (value) => 1.01 * value) };
    expectMutantFails(() => close(...judged(context, causalFeatureAttention(long, mutant)), bound));
  });

  it('refuses the mutant: the window’s own scale', async () => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    const scaled = { ...input, scale: 1.001 * input.scale };
    expectMutantFails(() => close(...judged(context, causalFeatureAttention(scaled, oracle)), bound));
  });

  it('neither overflows nor forgets where a later key outweighs all before it by e⁴⁰⁰ and more', async () => {
    const long = normalInput(sized(200), 9);
    const k = long.k.map((value, i) => value * (Math.floor(i / long.D) % long.S > 120 ? 20 : 1));
    const loud = { ...long, k };
    const features = mapOf(loud, settings['drawn, no window']).oracle;
    const form = formOf(loud);
    const { context } = await runInPieces(patched(loud, settings['drawn, no window'], form), loud, form, [loud.S]);
    close(...judged(context, causalFeatureAttention(loud, features)), bound);
  });

  it.each([
    { window: 30 },
    { window: 33 },
    { window: -32 },
    { map: 'aderf' },
    { map: 'relu' },
    { m: 0 },
    { seed: 0.5 },
  ])('refuses the option %o', (option) => {
    expect(() => readPlan({ name: 'features-causal', ...option })).toThrow(/PF202|must be/);
  });

  it('declines attention that is not causal, and a learned map without its constants', () => {
    const [site] = findAttention(openModel(decode(causalModel(formOf(input))))).sites;
    expect(declined(readPlan('features-causal'), site)).toBeUndefined();
    expect(declined(readPlan('features-causal'), { ...site, causal: false })).toMatch('causal attention');
    expect(declined(readPlan('features-causal:map=learned,m=24'), site)).toMatch('learned24.queryOmega');
  });
});
