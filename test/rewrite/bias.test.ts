/**
 * Exact plans under a bias on every pair of query and key, spelt out per head and query or shared among them, whole and
 * cut by blocks of queries, for all heads and for groups of them: against the float64 oracle, every mutant refused.
 */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { assignPlans, declined } from '../../src/rewrite/assign-plans.js';
import { findAttention } from '../../src/rewrite/find.js';
import { type LayerRule, readPlan } from '../../src/rewrite/plan.js';
import type { Operand, Site } from '../../src/rewrite/site.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { attentionModel, run } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';

const bound = 5e-6;

interface Table {
  readonly dims: readonly [number, number, number, number];
  readonly data: Float64Array;
}

/** A bias with sizes of its own; every tenth pair is masked, but for the last key. */
function table({ H, N, S }: Attention, [perHead, perQuery]: readonly [boolean, boolean]): Table {
  const dims = [1, perHead ? H : 1, perQuery ? N : 1, S] as const;
  const normal = gaussians(77);
  const data = Float64Array.from({ length: dims[1] * dims[2] * S }, (_, i) =>
    i % 10 === 3 && i % S < S - 1 ? -Infinity : normal(),
  );
  return { dims, data };
}

/** The same bias for every head and query: [H,N,S]. */
function spread({ H, N, S }: Attention, { dims, data }: Table): Float64Array {
  return Float64Array.from({ length: H * N * S }, (_, at) => {
    const [h, i, j] = [Math.floor(at / (N * S)), Math.floor(at / S) % N, at % S];
    return data[((dims[1] > 1 ? h : 0) * dims[2] + (dims[2] > 1 ? i : 0)) * S + j];
  });
}

/** The one site of a model without a mask, given a bias as if the graph had added it. */
async function attended(
  input: Attention,
  bias: Table,
  { plan, rules, change }: { plan: string; rules?: readonly LayerRule[]; change?: (site: Site) => Site },
): Promise<Float32Array> {
  const { B, H, N, S, D, E } = input;
  const bytes = attentionModel({ heads: H, headDim: D, valueDim: E, self: N === S });
  const model = openModel(decode(bytes));
  const constant = { type: 'float', dims: bias.dims, data: [...bias.data] } as const;
  const sites = findAttention(model).sites.map(
    (site): Site => ({ ...site, mask: 'bias', operands: { ...site.operands, bias: { constant } } }),
  );
  const { proto } = applyPlans(
    model,
    assignPlans(change ? sites.map(change) : sites, () => readPlan(plan), rules),
  );
  return run(concat(encode(proto)), {
    q: { data: Float32Array.from(input.q), dims: [B, H, N, D] },
    k: { data: Float32Array.from(input.k), dims: [B, H, S, D] },
    v: { data: Float32Array.from(input.v), dims: [B, H, S, E] },
  });
}

const shapes = [
  ['a table of its own for every head', [true, true]],
  ['one table for all heads', [false, true]],
  ['one row for all queries', [true, false]],
] as const;
const plans = ['exact', 'exact-blocked', 'exact-blocked:block=7'];
const unmasked = Object.entries(cases).filter(([, { keyBias }]) => !keyBias);

describe.each(shapes)('%s', (_, spelt) => {
  it.each(unmasked)('equals the oracle and refuses mutants: %s', async (_, input) => {
    const bias = table(input, spelt);
    const whole = { ...input, bias: spread(input, bias) };
    const shifted = { ...whole, bias: spread(input, { ...bias, data: Float64Array.from(bias.data, (x) => x * 1.01) }) };
    for (const plan of plans) {
      const got = await attended(input, bias, { plan });
      close(got, softmaxAttention(whole), bound);
      const wrong = input.S === 1 ? mutants(whole) : { ...mutants(whole), 'bias + 1 %': shifted };
      for (const mutant of Object.values(wrong)) expectMutantFails(() => close(got, softmaxAttention(mutant), bound));
    }
  });

  it('groups of heads take their own part of it', async () => {
    const input = normalInput({ B: 2, H: 4, N: 45, S: 45, D: 8, E: 6 }, 31);
    const bias = table(input, spelt);
    const rules = [{ layers: 0, heads: [1, 3], plan: 'exact-blocked:block=16' }];
    const got = await attended(input, bias, { plan: 'exact', rules });
    close(got, softmaxAttention({ ...input, bias: spread(input, bias) }), bound);
  });
});

it('query heads share key heads in groups', async () => {
  const input = normalInput({ B: 2, H: 6, N: 21, S: 34, D: 8, E: 6 }, 33);
  const bias = table(input, [true, true]);
  const keep = ({ expr, layout }: Operand): Operand => ({
    expr: {
      op: 'Gather',
      inputs: [expr, { constant: { type: 'int64', dims: [2], data: [0, 3] } }],
      attributes: { axis: 1 },
    },
    layout,
  });
  const group = ({ operands: { near: _, ...operands }, ...site }: Site): Site => ({
    ...site,
    kvHeads: 2,
    operands: { ...operands, k: keep(operands.k), v: keep(operands.v) },
  });
  const shared = (array: Float64Array, groups: number) =>
    array.map((_, at) => {
      const size = array.length / (input.B * input.H);
      const head = Math.floor(at / size);
      const source = head - (head % input.H) + Math.floor(((head % input.H) * groups) / input.H) * (input.H / groups);
      return array[source * size + (at % size)];
    });
  const whole = { ...input, bias: spread(input, bias) };
  const grouped = (groups: number) =>
    softmaxAttention({ ...whole, k: shared(input.k, groups), v: shared(input.v, groups) });
  for (const plan of plans) {
    for (const rules of [[], [{ layers: 0, heads: [0, 4, 5], plan: 'exact-blocked:block=4' }]]) {
      const got = await attended(input, bias, { plan, rules, change: group });
      close(got, grouped(2), bound);
      expectMutantFails(() => close(got, grouped(3), bound));
    }
  }
});

it('rows without a key are zeros where the graph guards them, and NaN where it does not', async () => {
  const input = normalInput({ B: 1, H: 2, N: 20, S: 20, D: 8, E: 8 }, 32);
  const bias = table(input, [true, true]);
  bias.data.fill(-Infinity, 5 * 20, 7 * 20);
  const want = softmaxAttention({ ...input, bias: spread(input, bias) });
  const guard = (site: Site): Site => ({ ...site, operands: { ...site.operands, guarded: true } });
  for (const plan of plans) {
    close(await attended(input, bias, { plan, change: guard }), want, bound);
    expect(Number.isNaN((await attended(input, bias, { plan }))[5 * 8])).toBe(true);
  }
});

it('plans that read the key bias alone decline what has more to its mask, with the reason', () => {
  const [site] = findAttention(openModel(decode(attentionModel({ heads: 2, headDim: 8, self: true })))).sites;
  if (!site) throw new Error('the test model has one site');
  const reasons = (change: Partial<Site>) =>
    ['exact', 'exact-blocked', 'features', 'window'].map((plan) => declined(readPlan(plan), { ...site, ...change }));
  const causal = 'it lets every query attend to all keys alike, and the mask here is causal+padding';
  expect(reasons({})).toEqual([undefined, undefined, undefined, undefined]);
  expect(reasons({ causal: true, mask: 'causal+padding' })).toEqual([undefined, undefined, causal, causal]);
});
