/**
 * Summaries of the keys that no other part of the set holds: one pseudo-key a code of a constant codebook.
 *
 *   code of key j   c(j) = argmax_c f_j·W_c + b_c        f_j = k_j or [k_j | v_j], less its mean over the input
 *   of a code       n = Σ w_j,  k̄ = Σ w_j k_j / n,  v̄ = Σ w_j v_j / n      over the far keys with c(j) = c, w_j = exp(bias_j)
 *   pseudo-key      k̄ with bias log n and value v̄       exact to first order in the spread of q·k within a code
 *
 * No offset of the mass is calibrated, a head's or a code's: on real heads it gains nothing, the error being in the values.
 *
 * With `steps`, the codes are moved on the input itself, by steps of k-means (Lloyd 1982) over all summarised keys:
 *
 *   W_c = M·[k̄ | v̄],  b_c = −½ [k̄ | v̄]·W_c                                  M = diag(A, λ² I), the metric the codes were made in
 *
 * "Far" differs from block to block: sums over all keys are made here, once, and every block leaves out its own window
 * (key-set.ts). Counts are sums of ones, exact in float32 up to 2²⁴ keys; a code with less than half a key left is dropped,
 * and with it what rounding the subtraction leaves behind.
 */
import type { Builder } from '../../onnx/build.js';
import { reduceOver, sumOver } from './blocks.js';
import { countOf, excluded, type Keys, type Moments, type Near, type Pooled, type Summaries } from './key-set.js';
import type { Inputs } from './lowering.js';

export interface Codebook {
  /** W [H,F,C] and b [H,1,C]; F is D, or D + E with `onValues`. */
  readonly weights: string;
  readonly offsets: string;
  readonly onValues: boolean;
  /** Steps of k-means on the input; absent for none. */
  readonly moved?: Moved;
}

export interface Moved {
  readonly steps: number;
  /** A [H,D,D]; λ² [H,1,1] where values take part. */
  readonly metric: string;
  readonly valueWeight?: string;
}

/** `rest` is every key with what other parts have taken excluded, its bias [B,H,S,1]; `near` and `pooled` are what each block has of its own. */
export function summarize(
  build: Builder,
  inputs: Inputs,
  given: { near: Near; pooled?: Pooled; rest: Keys; codebook: Codebook; count: number },
): Summaries {
  const { near, pooled, rest, codebook, count } = given;
  let codes = nearestCodes(build, inputs, rest, codebook);
  for (let step = 0; codebook.moved && step < codebook.moved.steps; step++)
    codes = assignToMeans(build, rest, momentsOf(build, codes, rest), codebook.moved);
  const shares = weighed(build, codes, rest);
  return {
    ...sumsOf(build, shares, rest),
    near: near.shares(shares, count),
    ...(pooled && { pooled: pooled.share(shares, count) }),
  };
}

/** Sums over all keys by code, of which one-hot rows [..,S,C] say each key's. */
export function momentsOf(build: Builder, codes: string, all: Keys): Moments {
  return sumsOf(build, weighed(build, codes, all), all);
}

/** Pseudo-keys of sums by code, [..,C,·]; a code with less than half a key left is none. */
export function pseudoKeys(build: Builder, { keys, values, count }: Moments): Keys {
  const { divisor, bias } = countOf(build, count);
  return { keys: build.op('Div', [keys, divisor]), values: build.op('Div', [values, divisor]), bias };
}

/** How much of each key its code has: [B,H,S,C]. */
function weighed(build: Builder, codes: string, { bias }: Keys): string {
  return build.op('Mul', [codes, build.op('Exp', [bias])]);
}

function sumsOf(build: Builder, shares: string, { keys, values }: Keys): Moments {
  const byCode = build.op('Transpose', [shares], { perm: [0, 1, 3, 2] });
  return {
    keys: build.op('MatMul', [byCode, keys]),
    values: build.op('MatMul', [byCode, values]),
    count: sumOver(build, byCode, [3]),
  };
}

/** One-hot rows [B,H,S,C]. Subtracting the mean of the features is subtracting from the scores what it scores. */
export function nearestCodes(
  build: Builder,
  inputs: Inputs,
  { keys, values }: Pick<Keys, 'keys' | 'values'>,
  { weights, offsets, onValues }: Codebook,
): string {
  const { headDim, valueDim } = inputs.site;
  const part = (from: number, to: number) =>
    onValues ? build.op('Slice', [weights, build.int64([from]), build.int64([to]), build.int64([1])]) : weights;
  const onKeys = build.op('MatMul', [keys, part(0, headDim)]);
  const scores = onValues
    ? build.op('Add', [onKeys, build.op('MatMul', [values, part(headDim, headDim + valueDim)])])
    : onKeys;
  return nearest(build, build.op('Add', [scores, build.op('Sub', [offsets, meanOverKeys(build, inputs, scores)])]));
}

/** Each key to the nearest of the means of these sums: one-hot rows [B,H,S,C]. A code without a key gets none. */
function assignToMeans(
  build: Builder,
  all: Keys,
  { keys, values, count }: Moments,
  { metric, valueWeight }: Moved,
): string {
  const least = build.float([0.5], []);
  const divisor = build.op('Max', [count, least]);
  const mean = (sum: string) => build.op('Div', [sum, divisor]);
  const sides = [{ rows: all.keys, mean: mean(keys), weigh: (at: string) => build.op('MatMul', [at, metric]) }];
  if (valueWeight !== undefined)
    sides.push({ rows: all.values, mean: mean(values), weigh: (at) => build.op('Mul', [at, valueWeight]) });
  const add = (terms: readonly string[]) => terms.reduce((a, b) => build.op('Add', [a, b]));
  const weighed = sides.map((side) => side.weigh(side.mean));
  const squares = add(sides.map((side, i) => sumOver(build, build.op('Mul', [side.mean, weighed[i]]), [3])));
  const empty = build.op('Less', [count, least]);
  const offsets = build.op('Where', [
    empty,
    build.float([excluded], []),
    build.op('Mul', [squares, build.float([-0.5], [])]),
  ]);
  const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
  const scores = add(sides.map((side, i) => build.op('MatMul', [side.rows, flip(weighed[i])])));
  return nearest(build, build.op('Add', [scores, flip(offsets)]));
}

/** One-hot rows of the largest entry of each row [..,S,C]. */
function nearest(build: Builder, affinity: string): string {
  const best = reduceOver(build, 'ReduceMax', affinity, 3);
  return build.op('Cast', [build.op('Equal', [affinity, best])], { to: 1 });
}

/** Mean of [B,H,S,C] over the keys that are not masked: [B,H,1,C]. */
export function meanOverKeys(build: Builder, { keyBias }: Inputs, scores: string): string {
  if (!keyBias) return reduceOver(build, 'ReduceMean', scores, 2);
  const weight = build.op('Exp', [keyBias]);
  const total = build.op('Max', [sumOver(build, weight, [3]), build.float([1e-9], [])]);
  return build.op('MatMul', [build.op('Div', [weight, total]), scores]);
}
