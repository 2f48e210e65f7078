/** Causal positive features by com.microsoft.LinearAttention, run by onnxruntime, against their definition in float64. */
import { describe, expect, it } from 'vitest';
import { favorPlus } from '../../src/features/favor-plus.js';
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
const [m, seed] = [24, 3];
const maps = ['favor+', 'shift'] as const;
type Map = (typeof maps)[number];

const shape = { B: 1, H: 2, N: 1, S: 1, D: 8, E: 8 };
const sized = (N: number, more: object = {}) => ({ ...shape, N, S: N, ...more });
const cases: Readonly<Record<string, Attention>> = {
  'one token': normalInput(sized(1), 1),
  'two tokens': normalInput(sized(2), 1),
  'ragged, batch 2, E ≠ D': normalInput(sized(211, { B: 2, H: 3, E: 5 }), 4),
  'padding behind': normalInput(sized(131, { B: 2 }), 6, { masked: [1, 57] }),
  'padding before': leftPadded(normalInput(sized(131, { B: 2 }), 6, { masked: [1, 57] })),
  '|q| × 8': normalInput(sized(150), 8, { qSize: 8 }),
};

/** What the map reads beside its seed, and the same as the oracle takes it. */
function mapOf({ H, D }: Attention, map: Map): { constants: SiteConstants; oracle: CausalFeatures } {
  const normal = gaussians(5);
  const draw = (length: number, size = 1) => Float32Array.from({ length }, () => size * normal());
  const [omega, bias] = [draw(H * m * D), draw(H * m, 0.5)];
  const sums = { m, window: 0, block: 1 };
  if (map === 'shift') {
    const named = (part: string) => constantName({ map, m, seed }, part);
    const constants = { [named('omega')]: omega, [named('bias')]: bias };
    return { constants, oracle: { ...sums, queryOmega: omega, keyOmega: omega, bias } };
  }
  const drawn = favorPlus({ heads: H, headDim: D, m, seed });
  return { constants: {}, oracle: { ...sums, queryOmega: drawn.omega, keyOmega: drawn.omega, bias: drawn.bias } };
}

function rewritten(bytes: Uint8Array, input: Attention, map: Map) {
  const model = openModel(decode(bytes));
  const heads = Array.from({ length: input.H }, (_, h) => h);
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [{ heads, plan: readPlan({ name: 'linear-attention', map, m, seed }) }],
    why: 'test',
    constants: mapOf(input, map).constants,
  }));
  expect(plans).toHaveLength(1);
  return applyPlans(model, plans);
}

const patched = (input: Attention, map: Map, form: CausalForm) =>
  concat(encode(rewritten(causalModel(form), input, map).proto));

describe.each(maps)('linear-attention, %s', (map) => {
  it.each(Object.entries(cases))('equals the oracle: %s', async (_, input) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, map, form), input, form, [input.S]);
    close(...judged(context, causalFeatureAttention(input, mapOf(input, map).oracle)), bound);
  });

  it.each([11, 12, 13, 18, 20])('holds at opset %i', async (opset) => {
    const input = cases['padding before'];
    const form = { ...formOf(input), opset };
    const { context } = await runInPieces(patched(input, map, form), input, form, [input.S]);
    close(...judged(context, causalFeatureAttention(input, mapOf(input, map).oracle)), bound);
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
    Object.entries(pieces).map(([how, ends]) => [`${name}, ${how}`, input, ends] as const),
  );

  it.each(all)('equals the oracle of one call: %s', async (_, raw, ends) => {
    const input = grouped(raw, 2);
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context, sizes } = await runInPieces(patched(input, 'shift', form), input, form, ends(input.S));
    close(...judged(context, causalFeatureAttention(input, mapOf(input, 'shift').oracle)), bound);
    const [carriers, states] = [0, 1].map((part) => sizes.filter((_, i) => i % 2 === part));
    expect(carriers).toEqual(ends(input.S).map((end) => [input.B, 1, end, 0]));
    expect(new Set(states.map(String)).size).toBe(1);
  });

  it('holds what a later call outweighs by e⁶⁰⁰, and goes on', async () => {
    const long = normalInput(sized(160), 9);
    const k = long.k.map((value, i) => value * (Math.floor(i / long.D) % long.S >= 120 ? 20 : 1));
    const loud = { ...long, k };
    const form = { ...formOf(loud), cache: true };
    const { context } = await runInPieces(patched(loud, 'favor+', form), loud, form, [120, 121, 122, 123, 124]);
    const want = causalFeatureAttention(loud, mapOf(loud, 'favor+').oracle);
    const seen = (values: ArrayLike<number>) =>
      Array.from(values).filter((_, i) => Math.floor(i / loud.E) % loud.S < 124);
    close(seen(context), seen(want), bound);
  });

  it('is undone byte for byte, the import of its operator too', () => {
    const input = inputs['padding before'];
    const bytes = causalModel({ ...formOf(input), cache: true });
    const { proto, undo } = rewritten(bytes, input, 'favor+');
    const again = decode(concat(encode(proto)));
    expect(again.opsetImport.map(({ domain }) => domain)).toContain('com.microsoft');
    expect(concat(encode(undoRewrite(again, JSON.parse(JSON.stringify(undo)))))).toEqual(bytes);
  });
});

describe('linear-attention', () => {
  const input = cases['ragged, batch 2, E ≠ D'];
  const { oracle } = mapOf(input, 'shift');
  const other = (values: ArrayLike<number>, change: (value: number) => number) => Array.from(values, change);

  it.each([
    ['a window before it', { window: 8, block: 8 }],
    ['keys’ Ω off by .1 %', { keyOmega: other(oracle.keyOmega, (value) => 1.001 * value) }],
    ['queries’ Ω off by .1 %', { queryOmega: other(oracle.queryOmega, (value) => 1.001 * value) }],
    ['bias counted once', { bias: other(oracle.bias, (value) => value / 2) }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, 'shift', form), input, form, [input.S]);
    expectMutantFails(() => close(...judged(context, causalFeatureAttention(input, { ...oracle, ...mutant })), bound));
  });

  it('declines attention that is not causal and a map without its constants; a learned one, which decays, is none of its', () => {
    const [site] = findAttention(openModel(decode(causalModel(formOf(input))))).sites;
    expect(declined(readPlan('linear-attention'), site)).toBeUndefined();
    expect(declined(readPlan('linear-attention'), { ...site, causal: false })).toMatch('causal attention');
    expect(declined(readPlan('linear-attention:map=shift,m=24'), site)).toMatch('shift24.0.omega');
    expect(() => readPlan('linear-attention:map=learned')).toThrow('PF202');
  });
});
