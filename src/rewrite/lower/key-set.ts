/**
 * Attention over a set of keys for every block of queries: the one lowering behind windows, global keys and codebook
 * summaries.
 *
 *   a part   keys, values and a bias for p keys, each block's own [B,H,n,p,·] or the same for all blocks [B,H,p,·]
 *   S_b = [ x_b · K_partᵀ + bias_part | … ],   O_b = Σ_part softmax(S_b)_part · V_part       one softmax over all parts
 *
 *   summaries   sums over all keys by code, T_c, Tv_c and N_c, of which every block leaves out its own keys: with
 *               A [p,C] one-hot rows of their codes, n_c = N_c − Σ_j A_jc, and their scores S
 *                 logit_c = x·(T_c − Σ_j A_jc k_j) / n_c + log n_c = (x·T_c − (S A)_c) / n_c + log n_c
 *               and a weight p_c takes (p_c / n_c)·Tv_c, less (p_c / n_c)·A_jc from the weight of each such key j:
 *               no block has sums of its own, and no exponential is ever subtracted
 *
 * Scores are joined, not keys: they are the smaller of the two. A key that must not count (masked, already in another
 * part) has bias `excluded`, and a place that holds no key twice that. A row with nothing but such keys is uniform over
 * the masked ones, whose values are zero (masked.ts), so it gives zeros.
 */
import type { Builder } from '../../onnx/build.js';
import { type Blocks, counting, sumOver, unsqueeze } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';
import { unmaskedValues } from './masked.js';

/** Low enough to give weight 0, far from overflow when added to twice. */
export const excluded = -1e9;

/** 0 where true, `excluded` elsewhere. */
export function hideUnless(build: Builder, seen: string): string {
  return build.op('Where', [seen, build.float([0], []), build.float([excluded], [])]);
}

/** `excluded` where true, 0 elsewhere. */
export function hide(build: Builder, hidden: string): string {
  return build.op('Where', [hidden, build.float([excluded], []), build.float([0], [])]);
}

/** Hides keys behind each of these positions [n] from it: [n,S], S an int64 [1]. */
export function hideLater(build: Builder, positions: string, keys: string): string {
  const later = build.op('Less', [build.op('Reshape', [positions, build.int64([-1, 1])]), counting(build, keys)]);
  return hide(build, later);
}

/** Keys [B,H,p,D], values [B,H,p,E] and a bias for each [B or 1,H or 1,p,1]. */
export interface Keys {
  readonly keys: string;
  readonly values: string;
  readonly bias: string;
}

export interface KeyPart extends Keys {
  /** The same keys for every block; else there is an axis for the blocks before that of the keys. */
  readonly shared: boolean;
}

/** All keys, with masked values zeroed and the bias of the mask. */
export function allKeys(build: Builder, inputs: Inputs): Keys {
  const bias = inputs.keyBias
    ? build.op('Transpose', [inputs.keyBias], { perm: [0, 1, 3, 2] })
    : zeros(build, inputs.k);
  return { keys: inputs.k, values: unmaskedValues(build, inputs), bias };
}

/** The same with a bias of its own for every head [B,H,S,1], for parts that differ from head to head. */
export function keysByHead(build: Builder, inputs: Inputs): Keys {
  const all = allKeys(build, inputs);
  const leading = build.op('Slice', [build.op('Shape', [all.keys]), build.int64([0]), build.int64([3])]);
  const shape = build.op('Concat', [leading, build.int64([1])], { axis: 0 });
  return { ...all, bias: build.op('Expand', [all.bias, shape]) };
}

/**
 * Zeros [1,1,S,1], as many as there are keys. Not made of the keys themselves: onnxruntime moves the transpositions before them behind what
 * is made of them, and has none of truth values on a GPU.
 */
function zeros(build: Builder, k: string): string {
  const shape = build.op('Concat', [build.int64([1, 1]), sizeOf(build, k, 2), build.int64([1])], { axis: 0 });
  return build.op('Expand', [build.float([0], [1, 1, 1, 1]), shape]);
}

/** Keys of each block's own [B,H,n,p,·]. */
export interface Near extends Keys {
  /** How much each of them has of something that all keys have some of: [B,H,S,C] → [B,H,n,p,C]. */
  shares(value: string, width: number): string;
}

/** Keys of each block's own that stand for several. */
export interface Pooled extends KeyPart {
  /** How much all of them have of something that all keys have some of: [B,H,S,C] → [B,H,n,1,C]. */
  share(value: string, width: number): string;
}

/** What to multiply rows with that are to be 0 outside. Not a choice between the rows and 0: onnxruntime is slow at those that repeat. */
export function insideOnly(build: Builder, outside: string): string {
  return build.op('Where', [outside, build.float([0], []), build.float([1], [])]);
}

/** The keys around each block. */
export function windowOf(build: Builder, blocks: Blocks, { keys, values, bias }: Keys): Near {
  return {
    keys: blocks.around(keys),
    values: blocks.around(values),
    bias: build.op('Where', [blocks.outside, build.float([2 * excluded], []), blocks.around(bias)]),
    shares(value) {
      return build.op('Mul', [blocks.around(value), insideOnly(build, blocks.outside)]);
    },
  };
}

/** Keys of all blocks [B,H,·,·]; no key may be in the two. */
export function joinKeys(build: Builder, a: Keys, b: Keys, axis = 2): Keys {
  const join = (...values: string[]) => build.op('Concat', values, { axis });
  return { keys: join(a.keys, b.keys), values: join(a.values, b.values), bias: join(a.bias, b.bias) };
}

/** Keys of each block's own; no key may be in the two. */
export function joinNear(build: Builder, a: Near, b: Near): Near {
  const join = (...values: string[]) => build.op('Concat', values, { axis: 3 });
  return {
    ...joinKeys(build, a, b, 3),
    shares: (value, width) => join(a.shares(value, width), b.shares(value, width)),
  };
}

/** Keys at fixed positions; positions beyond the sequence drop out. */
export function fixedPart(build: Builder, all: Keys, positions: readonly number[]): KeyPart {
  const index = build.int64(positions);
  const length = sizeOf(build, all.keys, 2);
  const inside = build.op('Less', [index, length]);
  const safe = build.op('Where', [inside, index, build.op('Sub', [length, build.int64([1])])]);
  const present = build.op('Reshape', [inside, build.int64([-1, 1])]);
  const pick = (value: string) => build.op('Gather', [value, safe], { axis: 2 });
  return {
    keys: pick(all.keys),
    values: pick(all.values),
    bias: build.op('Where', [present, pick(all.bias), build.float([2 * excluded], [])]),
    shared: true,
  };
}

/** Bias with the keys at `positions` excluded. */
export function withoutFixed(build: Builder, { keys, bias }: Keys, positions: readonly number[]): string {
  const place = build.op('Reshape', [counting(build, sizeOf(build, keys, 2)), build.int64([-1, 1])]);
  const hits = build.op('Cast', [build.op('Equal', [place, build.int64(positions)])], { to: 1 });
  const taken = build.op('MatMul', [
    hits,
    build.float(new Float32Array(positions.length).fill(1), [positions.length, 1]),
  ]);
  return build.op('Add', [bias, build.op('Mul', [taken, build.float([excluded], [])])]);
}

/** Sums [B,H,C,·] over all keys by code. */
export interface Summaries extends Moments {
  /** How much each has of each key of a block's own, which leave the sums: [B,H,n,p,C]. */
  readonly near: string;
  /** How much each has of what a block has pooled, which leaves their counts and not their means: [B,H,n,1,C]. */
  readonly pooled?: string;
}

/** Sums of keys [..,C,D], of values [..,C,E] and of ones [..,C,1] by code. */
export interface Moments {
  readonly keys: string;
  readonly values: string;
  readonly count: string;
}

/** One softmax over all parts, the first of them a block's own keys, which summaries leave out; returns [B,H,N,E]. */
export function attendKeySets(
  build: Builder,
  inputs: Inputs,
  blocks: Blocks,
  parts: readonly KeyPart[],
  summaries?: Summaries,
): string {
  const { headDim, valueDim } = inputs.site;
  const { queries, size } = blocks;
  const flat = build.op('Reshape', [queries, build.int64([0, 0, -1, headDim])]);
  const byBlock = (value: string, width: string) => splitRows(build, value, size, width);
  const toShared = (keys: string) => build.op('MatMul', [flat, flip(build, keys, 4)]);
  const fromShared = (weights: string, values: string) =>
    byBlock(build.op('MatMul', [joinRows(build, weights), values]), build.int64([valueDim]));
  const products = parts.map(({ keys, shared }) =>
    shared ? toShared(keys) : build.op('MatMul', [queries, flip(build, keys, 5)]),
  );
  const biased = parts.map(({ bias, shared }, i) => {
    const scores = build.op('Add', [products[i], flip(build, bias, shared ? 4 : 5)]);
    return shared ? byBlock(scores, sizeOf(build, scores, 3)) : scores;
  });
  const far =
    summaries &&
    farScores(build, summaries, {
      window: products[0],
      sums: byBlock(toShared(summaries.keys), sizeOf(build, summaries.keys, 2)),
    });
  const weights = [...weightsByPart(build, far ? [...biased, far.scores] : biased)];
  const contexts: string[] = [];
  if (summaries && far) {
    const share = build.op('Mul', [weights[parts.length], far.perKey]);
    weights[0] = build.op('Sub', [weights[0], build.op('MatMul', [share, flip(build, summaries.near, 5)])]);
    contexts.push(fromShared(share, summaries.values));
  }
  for (const [i, { values, shared }] of parts.entries())
    contexts.push(shared ? fromShared(weights[i], values) : build.op('MatMul', [weights[i], values]));
  return blocks.join(
    contexts.reduce((a, b) => build.op('Add', [a, b])),
    valueDim,
  );
}

/** Scores of summaries [B,H,n,b,C] and 1/n [B,H,n,1,C], of the products of the queries with the window and with the sums. */
function farScores(
  build: Builder,
  { count, near, pooled }: Summaries,
  products: { window: string; sums: string },
): { scores: string; perKey: string } {
  const all = unsqueeze(build, flip(build, count, 4), 2);
  const left = build.op('Sub', [all, sumOver(build, near, [3])]);
  const { divisor, bias: own } = countOf(build, left);
  const bias = pooled === undefined ? own : countOf(build, build.op('Sub', [left, pooled])).bias;
  const perKey = build.op('Reciprocal', [divisor]);
  const sums = build.op('Sub', [products.sums, build.op('MatMul', [products.window, near])]);
  return { scores: build.op('Add', [build.op('Mul', [sums, perKey]), bias]), perKey };
}

/** Of the number of keys in a code: what to divide its sums by, and the bias of its pseudo-key. With less than half a key it has none. */
export function countOf(build: Builder, count: string): { divisor: string; bias: string } {
  const least = build.float([0.5], []);
  const divisor = build.op('Max', [count, least]);
  const none = build.op('Less', [count, least]);
  return { divisor, bias: build.op('Where', [none, build.float([excluded], []), build.op('Log', [divisor])]) };
}

/** One softmax over scores [B,H,n,b,p] of several parts; `contextOf` weighs a part's values with its weights. */
export function softmaxOverParts(
  build: Builder,
  scores: readonly string[],
  contextOf: (part: number, weights: string) => string,
): string {
  const contexts: string[] = [];
  for (const weights of weightsByPart(build, scores)) contexts.push(contextOf(contexts.length, weights));
  return contexts.reduce((a, b) => build.op('Add', [a, b]));
}

/** The weights of each part, of one softmax over the scores of all. */
function* weightsByPart(build: Builder, scores: readonly string[]): Generator<string> {
  const joined = scores.length === 1 ? scores[0] : build.op('Concat', scores, { axis: 4 });
  const weights = build.op('Softmax', [joined], { axis: -1 });
  let first = build.int64([0]);
  for (const value of scores) {
    const end = build.op('Add', [first, sizeOf(build, value, 4)]);
    yield scores.length === 1 ? weights : build.op('Slice', [weights, first, end, build.int64([4])]);
    first = end;
  }
}

/** The last two of so many axes exchanged. */
function flip(build: Builder, value: string, axes: number): string {
  const leading = Array.from({ length: axes - 2 }, (_, axis) => axis);
  return build.op('Transpose', [value], { perm: [...leading, axes - 1, axes - 2] });
}

/** [B,H,n·b,p] → [B,H,n,b,p], p an int64 [1] */
function splitRows(build: Builder, value: string, size: number, last: string): string {
  return build.op('Reshape', [value, build.op('Concat', [build.int64([0, 0, -1, size]), last], { axis: 0 })]);
}

/** [B,H,n,b,p] → [B,H,n·b,p] */
function joinRows(build: Builder, value: string): string {
  const last = sizeOf(build, value, 4);
  return build.op('Reshape', [value, build.op('Concat', [build.int64([0, 0, -1]), last], { axis: 0 })]);
}
