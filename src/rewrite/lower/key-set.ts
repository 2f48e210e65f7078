/**
 * Attention over a set of keys for every block of queries: the one lowering behind windows, global keys and all that
 * follows (codebook summaries, block lists).
 *
 *   x blocks  [B,H,n,b,D]                      n = ⌈N/b⌉ blocks of b queries, the last one padded with zeros
 *   a part    keys [B,H,n,p,D], values [B,H,n,p,E], bias [B or 1,1,n,p,1]      p keys for each block
 *   O_b = softmax(x_b · K_bᵀ + bias_b) · V_b   over the parts side by side: one softmax, one normaliser
 *
 * A key that must not count (padding at the ends, masked, already in another part) has bias `excluded`. A row with
 * nothing but such keys is uniform over them, and their values are zero (masked.ts; Pad), so it gives zeros.
 */
import type { Builder } from '../../onnx/build.js';
import { ceilDivide, padRows, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';
import { unmaskedValues } from './masked.js';

/** Low enough to give weight 0, far from overflow when added to twice. */
export const excluded = -1e9;

export interface Blocks {
  /** [B,H,n,b,D], the factor `gain` applied. */
  readonly queries: string;
  readonly size: number;
  /** int64 [1]: N, n, and the rows of padding n·b − N. */
  readonly tokens: string;
  readonly count: string;
  readonly padding: string;
  /** v with masked rows zeroed [B,H,S,E], and the bias of every key [B or 1,1,S,1]. */
  readonly values: string;
  readonly keyBias: string;
}

/** Pieces to be joined along the key axis. */
export interface KeyPart {
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly biases: readonly string[];
}

export function blockQueries(build: Builder, inputs: Inputs, size: number): Blocks {
  const { q, gain, site } = inputs;
  const x = gain === 1 ? q : build.op('Mul', [q, build.float([gain], [])]);
  const tokens = sizeOf(build, q, 2);
  const count = ceilDivide(build, tokens, build.int64([size]));
  const padding = build.op('Sub', [build.op('Mul', [count, build.int64([size])]), tokens]);
  const queries = build.op('Reshape', [padRows(build, x, padding), build.int64([0, 0, -1, size, site.headDim])]);
  const keyBias = inputs.keyBias
    ? build.op('Transpose', [inputs.keyBias], { perm: [0, 1, 3, 2] })
    : zeros(build, inputs.k);
  return { queries, size, tokens, count, padding, values: unmaskedValues(build, inputs), keyBias };
}

/** Zeros [1,1,S,1] that follow the length of k on whatever device k is on: x < x is never true, NaN included. */
function zeros(build: Builder, k: string): string {
  const one = build.op('Slice', [k, build.int64([0, 0, 0]), build.int64([1, 1, 1]), build.int64([0, 1, 3])]);
  return build.op('Cast', [build.op('Less', [one, one])], { to: 1 });
}

/**
 * The `window` keys around each block, halo = (window − block) / 2 on both sides. The tokens are cut into units of
 * u = gcd(block, halo) keys; block i then begins at unit i·block/u, so its window is `window / u` strided slices.
 */
export function windowPart(
  build: Builder,
  inputs: Inputs,
  blocks: Blocks,
  options: { window: number; exclude: readonly number[] },
): KeyPart {
  const { size } = blocks;
  const halo = (options.window - size) / 2;
  const unit = halo === 0 ? size : gcd(size, halo);
  const stride = size / unit;
  const span = build.op('Mul', [blocks.count, build.int64([stride])]);
  const after = build.op('Add', [blocks.padding, build.int64([halo])]);
  const pads = build.op('Concat', [build.int64([0, 0, halo, 0, 0, 0]), after, build.int64([0])], { axis: 0 });

  const units = (value: string, width: number, fill?: number) => {
    const padded = build.op('Pad', fill === undefined ? [value, pads] : [value, pads, build.float([fill], [])]);
    return build.op('Reshape', [padded, build.int64([0, 0, -1, unit, width])]);
  };
  const pieces = (value: string) =>
    Array.from({ length: options.window / unit }, (_, j) => {
      const end = build.op('Add', [span, build.int64([j])]);
      return build.op('Slice', [value, build.int64([j]), end, build.int64([2]), build.int64([stride])]);
    });
  const bias = options.exclude.length > 0 ? exclude(build, blocks.keyBias, inputs.k, options.exclude) : blocks.keyBias;
  return {
    keys: pieces(units(inputs.k, inputs.site.headDim)),
    values: pieces(units(blocks.values, inputs.site.valueDim)),
    biases: pieces(units(bias, 1, excluded)),
  };
}

/** Keys at fixed positions, the same for all blocks; positions beyond the sequence drop out. */
export function globalPart(build: Builder, inputs: Inputs, blocks: Blocks, positions: readonly number[]): KeyPart {
  const index = build.int64(positions);
  const length = sizeOf(build, inputs.k, 2);
  const inside = build.op('Less', [index, length]);
  const safe = build.op('Where', [inside, index, build.op('Sub', [length, build.int64([1])])]);
  const present = build.op('Reshape', [inside, build.int64([1, 1, -1, 1])]);
  const gathered = build.op('Gather', [blocks.keyBias, safe], { axis: 2 });
  const bias = build.op('Where', [present, gathered, build.float([excluded], [])]);
  return {
    keys: [everyBlock(build, blocks, build.op('Gather', [inputs.k, safe], { axis: 2 }))],
    values: [everyBlock(build, blocks, build.op('Gather', [blocks.values, safe], { axis: 2 }))],
    biases: [everyBlock(build, blocks, bias)],
  };
}

/** [B,H,p,W] → [B,H,n,p,W] */
function everyBlock(build: Builder, blocks: Blocks, value: string): string {
  const shape = build.op('Concat', [build.int64([1, 1]), blocks.count, build.int64([1, 1])], { axis: 0 });
  const unsqueezed =
    build.opset >= 13
      ? build.op('Unsqueeze', [value, build.int64([2])])
      : build.op('Unsqueeze', [value], { axes: [2] });
  return build.op('Expand', [unsqueezed, shape]);
}

/**
 * Bias [B or 1,1,S,1] with the keys at `positions` excluded. Positions beyond the sequence are written to one spare
 * row at its end, which is cut off again.
 */
function exclude(build: Builder, bias: string, k: string, positions: readonly number[]): string {
  const length = sizeOf(build, k, 2);
  const spare = build.op('Pad', [bias, build.int64([0, 0, 0, 0, 0, 0, 1, 0])]);
  const index = build.int64(positions);
  const target = build.op('Where', [build.op('Less', [index, length]), index, length]);
  const batch = build.op('Concat', [sizeOf(build, bias, 0), build.int64([1, positions.length, 1])], { axis: 0 });
  const indices = build.op('Expand', [build.op('Reshape', [target, build.int64([1, 1, -1, 1])]), batch]);
  const updates = build.op('Expand', [build.float([excluded], [1, 1, 1, 1]), batch]);
  const written = build.op('ScatterElements', [spare, indices, updates], { axis: 2 });
  return build.op('Slice', [written, build.int64([0]), length, build.int64([2])]);
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
  const joined = build.op('Reshape', [context, build.int64([0, 0, -1, inputs.site.valueDim])]);
  return build.op('Slice', [joined, build.int64([0]), blocks.tokens, build.int64([2])]);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
