/**
 * Attention over a set of keys for every block of queries: the one lowering behind windows, global keys and codebook
 * summaries.
 *
 *   a part    keys [B,H,n,p,D], values [B,H,n,p,E], bias [B or 1,H or 1,n,p,1]      p keys for each of n blocks
 *   O_b = softmax(x_b · K_bᵀ + bias_b) · V_b   over the parts side by side: one softmax, one normaliser
 *
 * A key that must not count (padding at the ends, masked, already in another part) has bias `excluded`. A row with
 * nothing but such keys is uniform over them, and their values are zero (masked.ts; Pad), so it gives zeros.
 */
import type { Builder } from '../../onnx/build.js';
import type { Blocks } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';
import { unmaskedValues } from './masked.js';

/** Low enough to give weight 0, far from overflow when added to twice. */
export const excluded = -1e9;

/** What is attended, every key as it is: v with masked rows zeroed [B,H,S,E], the bias of every key [B or 1,1,S,1]. */
export interface Keys {
  readonly keys: string;
  readonly values: string;
  readonly bias: string;
}

/** Pieces to be joined along the key axis. */
export interface KeyPart {
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly biases: readonly string[];
}

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

/** Zeros [1,1,S,1] that follow the length of k on whatever device k is on: x < x is never true, NaN included. */
function zeros(build: Builder, k: string): string {
  const one = build.op('Slice', [k, build.int64([0, 0, 0]), build.int64([1, 1, 1]), build.int64([0, 1, 3])]);
  return build.op('Cast', [build.op('Less', [one, one])], { to: 1 });
}

/** The keys near each block. */
export function windowPart({ site }: Inputs, blocks: Blocks, { keys, values, bias }: Keys): KeyPart {
  return {
    keys: blocks.around(blocks.units(keys, site.headDim), site.headDim),
    values: blocks.around(blocks.units(values, site.valueDim), site.valueDim),
    biases: blocks.around(blocks.units(bias, 1, excluded), 1),
  };
}

/** Keys at fixed positions, the same for all blocks; positions beyond the sequence drop out. */
export function fixedPart(build: Builder, blocks: Blocks, all: Keys, positions: readonly number[]): KeyPart {
  const index = build.int64(positions);
  const length = sizeOf(build, all.keys, 2);
  const inside = build.op('Less', [index, length]);
  const safe = build.op('Where', [inside, index, build.op('Sub', [length, build.int64([1])])]);
  const present = build.op('Reshape', [inside, build.int64([1, 1, -1, 1])]);
  const pick = (value: string) => build.op('Gather', [value, safe], { axis: 2 });
  return everywhere(build, blocks, {
    keys: pick(all.keys),
    values: pick(all.values),
    bias: build.op('Where', [present, pick(all.bias), build.float([excluded], [])]),
  });
}

/** Bias with the keys at `positions` excluded. Positions beyond the sequence go to one spare row, which is cut off. */
export function withoutFixed(build: Builder, { keys, bias }: Keys, positions: readonly number[]): string {
  const length = sizeOf(build, keys, 2);
  const spare = build.op('Pad', [bias, build.int64([0, 0, 0, 0, 0, 0, 1, 0])]);
  const index = build.int64(positions);
  const target = build.op('Where', [build.op('Less', [index, length]), index, length]);
  const batch = build.op('Concat', [sizeOf(build, bias, 0), build.int64([1, positions.length, 1])], { axis: 0 });
  const indices = build.op('Expand', [build.op('Reshape', [target, build.int64([1, 1, -1, 1])]), batch]);
  const written = scatter(build, spare, indices, excluded);
  return build.op('Slice', [written, build.int64([0]), length, build.int64([2])]);
}

/** `data` [B,H,S,1] with `value` written at the rows `indices` [B,H,t,1]. */
export function scatter(build: Builder, data: string, indices: string, value: number): string {
  const updates = build.op('Expand', [build.float([value], [1, 1, 1, 1]), build.op('Shape', [indices])]);
  return build.op('ScatterElements', [data, indices, updates], { axis: 2 });
}

/** The same keys for every block: [B,H,p,W] → [B,H,n,p,W]. */
export function everywhere(build: Builder, blocks: Blocks, { keys, values, bias }: Keys): KeyPart {
  const shape = build.op('Concat', [build.int64([1, 1]), blocks.count, build.int64([1, 1])], { axis: 0 });
  const repeat = (value: string) =>
    build.op('Expand', [
      build.opset >= 13
        ? build.op('Unsqueeze', [value, build.int64([2])])
        : build.op('Unsqueeze', [value], { axes: [2] }),
      shape,
    ]);
  return { keys: [repeat(keys)], values: [repeat(values)], biases: [repeat(bias)] };
}

/** One softmax over all parts; returns [B,H,N,E]. */
export function attendKeySets(build: Builder, inputs: Inputs, blocks: Blocks, parts: readonly KeyPart[]): string {
  const join = (pieces: readonly string[]) =>
    pieces.length === 1 && pieces[0] ? pieces[0] : build.op('Concat', pieces, { axis: 3 });
  const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 2, 4, 3] });
  const keys = join(parts.flatMap((part) => part.keys));
  const values = join(parts.flatMap((part) => part.values));
  const bias = join(parts.flatMap((part) => part.biases));
  const scores = build.op('Add', [build.op('MatMul', [blocks.queries, flip(keys)]), flip(bias)]);
  const context = build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), values]);
  return blocks.join(context, inputs.site.valueDim);
}
