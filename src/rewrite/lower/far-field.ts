/**
 * Summaries of the keys that no other part of the set holds: one pseudo-key a code of a constant codebook.
 *
 *   code of key j   c(j) = argmax_c f_j·W_c + b_c        f_j = k_j or [k_j | v_j], less its mean over the input
 *   of a code       n = Σ w_j,  k̄ = Σ w_j k_j / n,  v̄ = Σ w_j v_j / n      over the far keys with c(j) = c, w_j = exp(bias_j)
 *   pseudo-key      k̄ with bias log n and value v̄       exact to first order in the spread of q·k within a code
 *
 * "Far" differs from block to block, and all of it comes from sums that are linear in the keys: the sums of every unit
 * (blocks.ts) are made once, and a block subtracts those of the units around it from the total. No exponential is ever
 * subtracted. Counts are sums of ones, exact in float32 up to 2²⁴ keys; a code with less than half a key left is
 * dropped, and with it what rounding the subtraction leaves behind.
 */
import type { Builder } from '../../onnx/build.js';
import { type Blocks, sumOver } from './blocks.js';
import { excluded, type KeyPart, type Keys } from './key-set.js';
import type { Inputs } from './lowering.js';

export interface Codebook {
  readonly codes: number;
  /** W [H,F,C] and b [H,1,C]; F is D, or D + E with `onValues`. */
  readonly weights: string;
  readonly offsets: string;
  readonly onValues: boolean;
}

/** `rest` is every key with what other parts have taken excluded; its bias is [B,H,S,1]. */
export function farPart(
  build: Builder,
  inputs: Inputs,
  { blocks, rest, codebook }: { blocks: Blocks; rest: Keys; codebook: Codebook },
): KeyPart {
  const { headDim, valueDim } = inputs.site;
  const pairs = build.op('Concat', [rest.keys, rest.values], { axis: 3 });
  const members = assign(build, inputs, codebook.onValues ? pairs : rest.keys, codebook);
  const ones = build.op('Cast', [build.op('Equal', [rest.bias, rest.bias])], { to: 1 });
  const weight = build.op('Exp', [rest.bias]);
  const moments = build.op('Mul', [build.op('Concat', [pairs, ones], { axis: 3 }), weight]);

  const membersByUnit = swapLast(build, blocks.units(members, codebook.codes), blocks.unitAxes);
  const width = headDim + valueDim + 1;
  const sums = build.op('MatMul', [membersByUnit, blocks.units(moments, width)]);
  const { codes } = codebook;
  const far = build.op('Sub', [blocks.total(sums, codes, width), blocks.sumAround(sums, codes, width)]);
  const [keySum = '', valueSum = '', count = ''] = split(build, far, [headDim, valueDim, 1]);

  const least = build.float([0.5], []);
  const divisor = build.op('Max', [count, least]);
  const present = build.op('Where', [
    build.op('Less', [count, least]),
    build.float([excluded], []),
    build.op('Log', [divisor]),
  ]);
  return {
    keys: [build.op('Div', [keySum, divisor])],
    values: [build.op('Div', [valueSum, divisor])],
    biases: [present],
  };
}

/** One-hot rows [B,H,S,C]. Subtracting the mean of the features is adding to the offsets what it scores. */
function assign(build: Builder, inputs: Inputs, features: string, { weights, offsets }: Codebook): string {
  const shift = build.op('MatMul', [meanFeature(build, inputs, features), weights]);
  const affinity = build.op('Add', [build.op('MatMul', [features, weights]), build.op('Sub', [offsets, shift])]);
  const best =
    build.opset >= 18
      ? build.op('ReduceMax', [affinity, build.int64([3])], { keepdims: 1 })
      : build.op('ReduceMax', [affinity], { axes: [3], keepdims: 1 });
  return build.op('Cast', [build.op('Equal', [affinity, best])], { to: 1 });
}

/** Mean of [B,H,S,F] over the keys that are not masked: [B,H,1,F]. */
function meanFeature(build: Builder, { keyBias }: Inputs, features: string): string {
  if (!keyBias)
    return build.opset >= 18
      ? build.op('ReduceMean', [features, build.int64([2])], { keepdims: 1 })
      : build.op('ReduceMean', [features], { axes: [2], keepdims: 1 });
  const weight = build.op('Exp', [keyBias]);
  const total = build.op('Max', [sumOver(build, weight, [3]), build.float([1e-9], [])]);
  return build.op('MatMul', [build.op('Div', [weight, total]), features]);
}

/** [B,H,U…,u,C] → [B,H,U…,C,u] */
function swapLast(build: Builder, value: string, unitAxes: number): string {
  const leading = Array.from({ length: 2 + unitAxes }, (_, axis) => axis);
  return build.op('Transpose', [value], { perm: [...leading, 3 + unitAxes, 2 + unitAxes] });
}

/** Pieces of the last of five axes. */
function split(build: Builder, value: string, sizes: readonly number[]): string[] {
  return build.opset >= 13
    ? build.ops('Split', [value, build.int64(sizes)], sizes.length, { axis: 4 })
    : build.ops('Split', [value], sizes.length, { axis: 4, split: sizes });
}
