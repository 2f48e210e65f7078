/** Keys and values that exact heads go on reading where the rest of a layer keeps a state (key-state.ts). */
import type { Builder } from '../onnx/build.js';
import { makeValueInfo } from '../onnx/message.js';
import { bindInputs } from './bind.js';
import { counting, scaledQueries, unsqueeze } from './lower/blocks.js';
import { weigh } from './lower/exact.js';
import { overQueryBlocks, sizeOf } from './lower/exact-blocked.js';
import { hide, hideLater } from './lower/key-set.js';
import { type Inputs, numberOption } from './lower/lowering.js';
import type { Plan } from './plan.js';
import { keyHeadOf, type Site } from './site.js';
import { whenShort } from './when-short.js';

const float32 = 1;

/** hidden [B,1,1,P], keys [B,K,P,D], values [B,K,P,E]. */
export interface Kept {
  readonly hidden: string;
  readonly keys: string;
  readonly values: string;
}

/** The kept keys with the new ones behind them; `heads` are the key heads kept. */
export function withFresh(
  build: Builder,
  site: Site,
  { before, heads }: { before: Kept; heads: readonly number[] },
): Kept {
  const own = bindInputs(build, { ...site, heads: site.kvHeads }, heads);
  const hidden = own.keyBias ?? noneHidden(build, own.k);
  const shape = build.op('Concat', [sizeOf(build, own.k, 0), build.int64([1, 1]), sizeOf(build, own.k, 2)], {
    axis: 0,
  });
  return {
    hidden: build.op('Concat', [before.hidden, build.op('Expand', [hidden, shape])], { axis: 3 }),
    keys: build.op('Concat', [before.keys, own.k], { axis: 2 }),
    values: build.op('Concat', [before.values, own.v], { axis: 2 }),
  };
}

export interface Reading {
  readonly kept: Kept;
  /** The key heads kept. */
  readonly heads: readonly number[];
  /** Tokens before the call, int64 [1]. */
  readonly past: string;
  readonly plan: Plan;
}

/**
 * The context [B,h,N,E] of exact heads, which attend what is kept of theirs.
 *
 * It is all that grows in a step of a stream, so that keys are read where they lie, by all queries that share them, and neither
 * gathered nor transposed before: [B,K,r,N,D] · [B,K,1,D,S] is a product of matrix and vector for each of them when N is 1. The
 * scale is on the queries: onnxruntime has no such product with a factor.
 */
export function attendKept(build: Builder, inputs: Inputs, { kept, heads, past, plan }: Reading): string {
  const { site } = inputs;
  const { headDim, valueDim } = site;
  const { rounding } = site.operands;
  const { keyHeads, size, from, back } = sharing(inputs, { heads, alone: rounding !== undefined });
  const pick = (value: string, index: readonly number[], of: number) =>
    index.length === of && index.every((at, i) => at === i)
      ? value
      : build.op('Gather', [value, build.int64(index)], { axis: 1 });
  const wide = (value: string, axis: number) => (size > 1 ? unsqueeze(build, value, axis) : value);
  const [keys, values] = [kept.keys, kept.values].map((value) => wide(pick(value, keyHeads, heads.length), 2));
  const hidden = wide(kept.hidden, 1);
  const queries = pick(rounding ? inputs.q : scaledQueries(build, inputs), from, inputs.heads.length);
  // What hides a key is finite here: no row of weights is without a number, as rows of the original may be.
  const unguarded = { ...site, operands: { ...site.operands, guarded: false } };
  const rest = { site: unguarded, gain: rounding ? inputs.gain : 1, bias: biasOf(inputs, { hidden, past }) };
  const last = size > 1 ? 4 : 3;
  const perm = Array.from({ length: last + 1 }, (_, axis) => (axis < last - 1 ? axis : 2 * last - 1 - axis));
  const context = attendRows(build, queries, { plan, site, heads: from.length }, (body, block, rows) => {
    const grouped = size > 1 ? body.op('Reshape', [block, body.int64([0, keyHeads.length, size, -1, headDim])]) : block;
    const product = body.op('MatMul', [grouped, body.op('Transpose', [keys], { perm })]);
    const attended = weigh(body, rest, product, { v: values, rows });
    return size > 1 ? body.op('Reshape', [attended, body.int64([0, from.length, -1, valueDim])]) : attended;
  });
  return pick(context, back, from.length);
}

/** Blocks of queries where the plan has some. A few queries, as in a step, are one block, which no Scan takes off a GPU. */
function attendRows(
  build: Builder,
  queries: string,
  { plan, site, heads }: { plan: Plan; site: Site; heads: number },
  attend: (body: Builder, block: string, rows?: string) => string,
): string {
  if (plan.name !== 'exact-blocked') return attend(build, queries);
  const { valueDim } = site;
  const block = numberOption(plan.options, 'block');
  return whenShort(build, site, block, {
    short: (body) => attend(body, queries),
    long: (body) => overQueryBlocks(body, queries, { heads, valueDim, block }, attend),
    output: (name) => makeValueInfo(name, float32, [undefined, heads, undefined, valueDim]),
  });
}

/** Which query heads read which of the kept key heads: as many rows for each, where there are fewer the first of them again. */
function sharing(
  { site, heads: queryHeads }: Inputs,
  { heads, alone }: { readonly heads: readonly number[]; readonly alone: boolean },
) {
  const read = queryHeads.map((head) => heads.indexOf(keyHeadOf(site, head)));
  const each = [...read.keys()];
  const sets = alone
    ? each.map((i) => [i])
    : [...new Set(read)].sort((a, b) => a - b).map((key) => each.filter((i) => read[i] === key));
  const size = Math.max(...sets.map(({ length }) => length));
  const from = sets.flatMap((own) => Array.from({ length: size }, (_, i) => own[i] ?? own[0]));
  return { keyHeads: sets.map(([first]) => read[first]), size, from, back: each.map((i) => from.indexOf(i)) };
}

/** Hides later keys, those that are padding, and those beyond a sliding window. */
function biasOf({ q, site }: Inputs, { hidden, past }: { hidden: string; past: string }): Inputs['bias'] {
  const { sliding } = site.operands;
  return (inner, rows) => {
    const tokens = sizeOf(inner, q, 2);
    const places = inner.op('Add', [rows ?? counting(inner, tokens), past]);
    const all = inner.op('Add', [past, tokens]);
    const causal = inner.op('Add', [hideLater(inner, places, all), hidden]);
    return sliding ? inner.op('Add', [causal, hideEarlier(inner, places, { all, left: sliding.left })]) : causal;
  };
}

/** Hides keys more than `left` before these places [n]: [n,S], S = `all` int64 [1]. */
function hideEarlier(build: Builder, places: string, { all, left }: { all: string; left: number }): string {
  const first = build.op('Reshape', [build.op('Sub', [places, build.int64([left])]), build.int64([-1, 1])]);
  return hide(build, build.op('Less', [counting(build, all), first]));
}

/** Zeros [1,1,1,N] for keys [B,G,N,D]. */
function noneHidden(build: Builder, k: string): string {
  const one = build.op('Slice', [k, build.int64([0, 0]), build.int64([1, 1]), build.int64([1, 3])]);
  const zero = build.op('Cast', [build.op('Less', [one, one])], { to: 1 });
  return build.op('Transpose', [zero], { perm: [0, 1, 3, 2] });
}
