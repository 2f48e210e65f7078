/**
 * Where "near" is, for the lowerings that build a set of keys for every block of queries (key-set.ts).
 *
 *   x blocks  [B,H,n,b,D]        n blocks of b queries; what does not fill a block is padded with zeros
 *   units     [B,H,U,u,W]        the keys cut into units, so that the keys near a block are a few whole units
 *   around    [B,H,n,u,W] each   those units, one strided slice of all units a place
 *
 * Here blocks of a sequence; tiles.ts has those of an image. In a sequence, block i begins at token i·b, its window reaches `halo` tokens to both sides, and u = gcd(b, halo).
 */
import type { Builder } from '../../onnx/build.js';
import { ceilDivide, padRows, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

export interface Blocks {
  /** [B,H,n,b,D], the factor `gain` applied. */
  readonly queries: string;
  /** int64 [1]: n. */
  readonly count: string;
  /** Axes that units are counted along: U is one in a sequence, two in an image. */
  readonly unitAxes: number;
  /** [B,H,S,W] → units of keys [B,H,U,u,W], padded with `fill` (0). */
  units(value: string, width: number, fill?: number): string;
  /** Units → the ones around every block, place by place: [B,H,n,u,W]. */
  around(units: string, width: number): string[];
  /** Units of any `size` rows → their sum over the places around every block: [B,H,n,size,W]. */
  sumAround(units: string, size: number, width: number): string;
  /** And over all units: [B,H,1,size,W]. */
  total(units: string, size: number, width: number): string;
  /** [B,H,n,b,E] → [B,H,N,E]. */
  join(context: string, width: number): string;
}

/** Blocks of `block` neighbours in a sequence, with the `window` keys around each. window − block must be even. */
export function sequenceBlocks(build: Builder, inputs: Inputs, options: { block: number; window: number }): Blocks {
  const { block, window } = options;
  const x = scaledQueries(build, inputs);
  const tokens = sizeOf(build, x, 2);
  const count = ceilDivide(build, tokens, build.int64([block]));
  const padding = build.op('Sub', [build.op('Mul', [count, build.int64([block])]), tokens]);
  const halo = (window - block) / 2;
  const unit = halo === 0 ? block : greatestDivisor(block, halo);
  const stride = block / unit;
  const span = build.op('Mul', [count, build.int64([stride])]);
  const after = build.op('Add', [padding, build.int64([halo])]);
  const pads = build.op('Concat', [build.int64([0, 0, halo, 0, 0, 0]), after, build.int64([0])], { axis: 0 });
  const around = (units: string) =>
    Array.from({ length: window / unit }, (_, j) => {
      const end = build.op('Add', [span, build.int64([j])]);
      return build.op('Slice', [units, build.int64([j]), end, build.int64([2]), build.int64([stride])]);
    });
  return {
    queries: build.op('Reshape', [padRows(build, x, padding), build.int64([0, 0, -1, block, inputs.site.headDim])]),
    count,
    unitAxes: 1,
    units(value, width, fill) {
      const padded = build.op('Pad', fill === undefined ? [value, pads] : [value, pads, build.float([fill], [])]);
      return build.op('Reshape', [padded, build.int64([0, 0, -1, unit, width])]);
    },
    around,
    sumAround: (units) => around(units).reduce((a, b) => build.op('Add', [a, b])),
    total: (units) => sumOver(build, units, [2]),
    join(context, width) {
      const joined = build.op('Reshape', [context, build.int64([0, 0, -1, width])]);
      return build.op('Slice', [joined, build.int64([0]), tokens, build.int64([2])]);
    },
  };
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

export function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
