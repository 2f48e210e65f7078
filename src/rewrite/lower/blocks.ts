/**
 * Where "near" is, for the lowerings that build a set of keys for every block of queries (key-set.ts).
 *
 *   x blocks   [B,H,n,b,D]     n blocks of b queries; what does not fill a block is padded
 *   around     [B,H,n,w,W]     the w rows of a tensor [B,H,S,W] near each block, fetched by one table of indices
 *   outside    [n,w]           true where a block has fewer rows near it than w; the rows there are some other ones
 *
 * Here blocks of a sequence, block i beginning at token i·b with `halo` further tokens on both sides; tiles.ts has those
 * of an image.
 */
import type { Builder } from '../../onnx/build.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

export interface Blocks {
  /** [B,H,n,b,D], the factor `gain` applied. */
  readonly queries: string;
  /** b */
  readonly size: number;
  /** bool [n,w,1] */
  readonly outside: string;
  /** [B,H,S,W] → [B,H,n,w,W] */
  around(value: string): string;
  /** [B,H,n,b,E] → [B,H,N,E] */
  join(context: string, width: number): string;
}

/** Blocks of `block` neighbours in a sequence, with the `window` keys around each. window − block must be even. */
export function sequenceBlocks(build: Builder, inputs: Inputs, options: { block: number; window: number }): Blocks {
  const { block, window } = options;
  const x = scaledQueries(build, inputs);
  const tokens = sizeOf(build, x, 2);
  const count = ceilDivide(build, tokens, build.int64([block]));
  const padding = build.op('Sub', [build.op('Mul', [count, build.int64([block])]), tokens]);
  const places = placesAround(build, { count, step: block, halo: (window - block) / 2, span: window });
  const near = withinAxis(build, places, tokens);
  return {
    queries: build.op('Reshape', [padRows(build, x, padding), build.int64([0, 0, -1, block, inputs.site.headDim])]),
    size: block,
    outside: build.op('Reshape', [near.outside, build.int64([-1, window, 1])]),
    around: (value) => build.op('Gather', [value, near.index], { axis: 2 }),
    join(context, width) {
      const joined = build.op('Reshape', [context, build.int64([0, 0, -1, width])]);
      return build.op('Slice', [joined, build.int64([0]), tokens, build.int64([2])]);
    },
  };
}

/** Further rows after the last of [B,H,N,D], zeros or what `how` says; `count` is an int64 [1]. */
export function padRows(
  build: Builder,
  value: string,
  count: string,
  how: { readonly filler?: number; readonly mode?: 'edge' } = {},
): string {
  const amounts = build.op('Concat', [build.int64([0, 0, 0, 0, 0, 0]), count, build.int64([0])], { axis: 0 });
  const filler = how.filler === undefined ? [] : [build.float([how.filler], [])];
  return build.op('Pad', [value, amounts, ...filler], how.mode && { mode: how.mode });
}

/** Where each of `count` blocks looks for its neighbours along an axis: `span` places from i·step − halo on, int64 [count,span]. */
export function placesAround(
  build: Builder,
  given: { count: string; step: number; halo: number; span: number },
): string {
  const { count, step, halo, span } = given;
  const starts = build.op('Mul', [counting(build, count), build.int64([step])]);
  const column = build.op('Reshape', [starts, build.int64([-1, 1])]);
  return build.op('Add', [column, build.int64(Array.from({ length: span }, (_, j) => j - halo))]);
}

/** Places kept within an axis of `size`, and which of them were not. */
export function withinAxis(build: Builder, place: string, size: string): { index: string; outside: string } {
  const zero = build.int64([0]);
  const last = build.op('Sub', [size, build.int64([1])]);
  const before = build.op('Less', [place, zero]);
  // Not the opposite of a `Less`: onnxruntime takes a `Not` to the GPU, and what comes of it back.
  const behind = build.op('Less', [last, place]);
  return {
    index: build.op('Where', [before, zero, build.op('Where', [behind, last, place])]),
    outside: build.op('Or', [before, behind]),
  };
}

/** A sequence in m segments, token i in ⌊i m / tokens⌋: which tokens are in each [1,1,m,tokens], 1 or 0. */
export function segmentsOf(build: Builder, tokens: string, m: number): string {
  const scaled = build.op('Mul', [counting(build, tokens), build.int64([m])]);
  const segment = unsqueeze(build, build.op('Div', [scaled, tokens]), 0);
  const index = build.int64(
    Array.from({ length: m }, (_, at) => at),
    [m, 1],
  );
  const member = build.op('Cast', [build.op('Equal', [index, segment])], { to: 1 });
  return unsqueeze(build, unsqueeze(build, member, 0), 0);
}

/** 0, 1, … up to a count [1]: int64 [count]. */
export function counting(build: Builder, count: string): string {
  const scalar = build.op('Reshape', [count, build.int64([], [0])]);
  return build.op('Range', [build.int64([0], []), scalar, build.int64([1], [])]);
}

export function scaledQueries(build: Builder, { q, gain }: Pick<Inputs, 'q' | 'gain'>): string {
  return gain === 1 ? q : build.op('Mul', [q, build.float([gain], [])]);
}

/** Σ over axes, kept; they moved from attribute to input at opset 13. */
export function sumOver(build: Builder, value: string, axes: readonly number[]): string {
  return build.opset >= 13
    ? build.op('ReduceSum', [value, build.int64(axes)], { keepdims: 1 })
    : build.op('ReduceSum', [value], { axes, keepdims: 1 });
}

/** The largest, the least, the mean or log Σ exp over one axis, kept; it moved from attribute to input at opset 18. */
export function reduceOver(
  build: Builder,
  type: 'ReduceMax' | 'ReduceMin' | 'ReduceMean' | 'ReduceLogSumExp',
  value: string,
  axis: number,
): string {
  return build.opset >= 18
    ? build.op(type, [value, build.int64([axis])], { keepdims: 1 })
    : build.op(type, [value], { axes: [axis], keepdims: 1 });
}

/** An axis of size 1 put in before `axis`; it moved from attribute to input at opset 13. */
export function unsqueeze(build: Builder, value: string, axis: number): string {
  return build.opset >= 13
    ? build.op('Unsqueeze', [value, build.int64([axis])])
    : build.op('Unsqueeze', [value], { axes: [axis] });
}

/** Of two whole numbers that are not both 0. */
export function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
