/** The causal hybrid with constants of its own, run by onnxruntime, against its definition in float64. */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { undoRewrite } from '../../src/rewrite/undo.js';
import { normalInput } from '../attention/cases.js';
import {
  type CausalForm,
  causalModel,
  formOf,
  grouped,
  inHalves,
  judged,
  leftPadded,
  runInPieces,
} from '../causal-model.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { type CausalHybrid, causalHybridAttention } from '../oracle/hybrid-causal.js';

const bound = 5e-6;

type Setting = Pick<CausalHybrid, 'window' | 'globals' | 'sinks' | 'codes'>;
const settings: Readonly<Record<string, Setting>> = {
  'all parts': { window: 48, globals: 5, sinks: 2, codes: 6 },
  'more globals than a block': { window: 32, globals: 40, sinks: 4, codes: 4 },
  'sinks alone': { window: 64, globals: 0, sinks: 3, codes: 0 },
  'codes alone': { window: 32, globals: 0, sinks: 0, codes: 8 },
  'window alone': { window: 34, globals: 0, sinks: 0, codes: 0 },
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

function hybridOf({ H, D }: Attention, setting: Setting, seed = 5): CausalHybrid {
  const normal = gaussians(seed);
  const draw = (length: number) => Float64Array.from(Float32Array.from({ length }, () => normal()));
  const { codes } = setting;
  return { block: 32, ...setting, query: draw(H * D), weights: draw(H * D * codes), offsets: draw(H * codes) };
}

function patched(
  input: Attention,
  setting: Setting,
  form: CausalForm,
  exact: readonly number[] = [],
  exactPlan = 'exact-blocked:block=48',
): Uint8Array {
  const { query, weights, offsets, codes } = hybridOf(input, setting);
  const model = openModel(decode(causalModel(form)));
  const { window, globals, sinks } = setting;
  const linear = Array.from({ length: input.H }, (_, h) => h).filter((h) => !exact.includes(h));
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [
      { heads: linear, plan: readPlan({ name: 'hybrid-causal', window, globals, sinks, codes }) },
      ...(exact.length > 0 ? [{ heads: exact, plan: readPlan(exactPlan) }] : []),
    ],
    why: 'test',
    constants: {
      query: Float32Array.from(query),
      [`keys${codes}.weights`]: Float32Array.from(weights),
      [`keys${codes}.offsets`]: Float32Array.from(offsets),
    },
  }));
  expect(plans).toHaveLength(1);
  return concat(encode(applyPlans(model, plans).proto));
}

describe.each(Object.entries(settings))('hybrid-causal, %s', (_, setting) => {
  it.each(Object.entries(cases))('equals the oracle: %s', async (_, input) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    const want = causalHybridAttention(input, hybridOf(input, setting));
    close(...judged(context, want), bound);
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
  const setting = settings['all parts'];
  const exactly = ({ H, D }: Attention): CausalHybrid => ({
    block: 32,
    window: 1024,
    globals: 0,
    sinks: 0,
    codes: 0,
    query: new Float64Array(H * D),
    weights: new Float64Array(),
    offsets: new Float64Array(),
  });

  it.each(all)('equals the oracle of one call: %s', async (_, raw, ends) => {
    const input = grouped(raw, 2);
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context, sizes } = await runInPieces(patched(input, setting, form), input, form, ends(input.S));
    close(...judged(context, causalHybridAttention(input, hybridOf(input, setting))), bound);
    const [carriers, states] = [0, 1].map((part) => sizes.filter((_, i) => i % 2 === part));
    expect(carriers).toEqual(ends(input.S).map((end) => [input.B, 1, end, 0]));
    expect(new Set(states.map(String)).size).toBe(1);
  });

  /** What comes of the linear heads and of the exact ones. */
  const mixed = (input: Attention, exact: readonly number[]) => {
    const [linear, whole] = [hybridOf(input, setting), exactly(input)].map((hybrid) =>
      causalHybridAttention(input, hybrid),
    );
    const { H, N, E } = input;
    return linear.map((value, i) => (exact.includes(Math.floor(i / (N * E)) % H) ? whole[i] : value));
  };

  it.each(all)('keeps the keys of exact heads: %s', async (_, raw, ends) => {
    const input = grouped(raw, 2);
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context } = await runInPieces(patched(input, setting, form, [1]), input, form, ends(input.S));
    close(...judged(context, mixed(input, [1])), bound);
  });

  // Of four heads on two: both of the second alone, all of one and half of the other, half of each in another order.
  it.each([
    [[2, 3], 'exact-blocked:block=48'],
    [[0, 1, 3], 'exact-blocked:block=48'],
    [[3, 0], 'exact'],
    [[1, 2, 3], 'exact'],
  ])('exact heads %j read the keys they share, by %s', async (exact, plan) => {
    for (const raw of Object.values(inputs)) {
      const input = grouped(raw, 2);
      const form = { ...formOf(input), kvHeads: 2, cache: true };
      const { S } = input;
      const ends = [3, 70, ...Array.from({ length: S - 70 }, (_, i) => 71 + i)];
      const { context } = await runInPieces(patched(input, setting, form, exact, plan), input, form, ends);
      close(...judged(context, mixed(input, exact)), bound);
      expectMutantFails(() => close(...judged(context, mixed(input, [exact[0]])), bound));
    }
  });

  it.each(Object.entries(pieces))('in a cache of float16, to its rounding: %s', async (_, ends) => {
    const input = inHalves(grouped(inputs['padding before'], 2));
    const form = { ...formOf(input), kvHeads: 2, cache: true, half: true };
    const want = causalHybridAttention(input, hybridOf(input, setting));
    const { context } = await runInPieces(patched(input, setting, form), input, form, ends(input.S));
    // Rounding of the result alone is 2.8e-4.
    close(...judged(context, want), 6e-4);
    const both = await runInPieces(patched(input, setting, form, [1]), input, form, ends(input.S));
    close(...judged(both.context, mixed(input, [1])), 6e-4);
    expectMutantFails(() => close(...judged(both.context, want), 6e-4));
  });

  it('refuses a state of another plan, and goes on after it', async () => {
    const input = inputs['batch 2, E ≠ D'];
    const form = { ...formOf(input), cache: true };
    const [one, other] = [{ ...setting }, { ...setting, window: 50, codes: 5 }].map((each) =>
      patched(input, each, form),
    );
    await expect(runInPieces(one, input, form, [40, 80], other)).rejects.toThrow('20190117');
  });

  it('is undone byte for byte', () => {
    const input = inputs['padding before'];
    const bytes = causalModel({ ...formOf(input), cache: true });
    const model = openModel(decode(bytes));
    const plans = findAttention(model).sites.map((site) => ({
      site,
      groups: [{ heads: [0, 1, 2, 3], plan: readPlan('hybrid-causal:globals=0,codes=0') }],
      why: 'test',
    }));
    const { proto, undo } = applyPlans(model, plans);
    expect(proto.graph?.input.map(({ name }) => name)).toEqual(model.proto.graph?.input.map(({ name }) => name));
    const patched = decode(concat(encode(proto)));
    expect(concat(encode(undoRewrite(patched, JSON.parse(JSON.stringify(undo)))))).toEqual(bytes);
  });
});

describe('hybrid-causal', () => {
  const input = cases['ragged, batch 2, E ≠ D'];
  const setting = settings['all parts'];
  const hybrid = hybridOf(input, setting);
  it.each([
    ['a wider window', { window: 50 }],
    ['a global lost', { globals: 4 }],
    ['a sink lost', { sinks: 1 }],
    ['no far field', { codes: 0 }],
    ['another codebook', { weights: hybrid.weights.map((w) => -w) }],
    ['another static query', { query: hybrid.query.map((x) => -x) }],
    ['blocks of 16', { block: 16 }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const form = formOf(input);
    const { context } = await runInPieces(patched(input, setting, form), input, form, [input.S]);
    expectMutantFails(() => close(...judged(context, causalHybridAttention(input, { ...hybrid, ...mutant })), bound));
  });

  it.each([11, 12, 13, 18, 20])('holds at opset %i', async (opset) => {
    const padded = cases['padding before'];
    const form = { ...formOf(padded), opset };
    const { context } = await runInPieces(patched(padded, setting, form), padded, form, [padded.S]);
    close(...judged(context, causalHybridAttention(padded, hybridOf(padded, setting))), bound);
  });
});
