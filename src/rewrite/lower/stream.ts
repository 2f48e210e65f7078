/**
 * Where the tokens of a causal stream are, when S new ones follow those of earlier calls.
 *
 *   position        of a token in its row: only tokens that count have one, so that padding on either side moves nothing
 *   block           positions j·b … j·b + b − 1. Fixed by position, not by call: a run in pieces is the run in one
 *   window          of block j: the w − b positions before it, and its own up to the query
 *   evicted by j    the positions before the window of block j: what globals and summaries are made of
 *
 * A call touches n blocks, the first of which may have begun in an earlier one; each has at most m = min(b, S) new
 * queries, so that a single token costs one query. All tables are int64, [B,…] where rows differ and [1,…] else.
 */
import type { Builder } from '../../onnx/build.js';
import { maskedBelow } from '../prove/cases.js';
import { counting } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

const int64 = 7;

export interface Stream {
  /** Blocks a call touches [1]. */
  readonly count: string;
  /** Tokens of a row once the call is done [B,1]. */
  readonly length: string;
  /** Rows of the new tokens for the queries of every block [B,1,n·m]; what is no token is some other row. */
  readonly queries: string;
  /** Queries a block [1]. */
  readonly slots: string;
  /** Rows of `recent` for the window of every block [B,1,n·w], and which a query sees: bool [B,1,n,m,w]. */
  readonly window: { readonly rows: string; readonly seen: string };
  /** Rows of `recent` that blocks 0 … n − 1 push out of their window when they end [B,1,n·b]; false where there is none. */
  readonly evicted: { readonly rows: string; readonly present: string; readonly sink: string };
  /** Rows of `recent` that the window of the next query keeps [B,1,w]. */
  readonly kept: string;
  /** Blocks ended by the call in each row [B,1]. */
  readonly ended: string;
  /** Where the result of each new token is among the queries of the blocks [B,1,S]. */
  readonly results: string;
}

export interface StreamOptions {
  readonly block: number;
  readonly window: number;
  readonly sinks: number;
  /** Tokens of each row before the call, int64 [B,1]; the w rows kept by the last call then lead `recent`. */
  readonly before?: string;
}

/** Places in `recent` = [kept of the last call | new tokens]. */
export function streamOf(build: Builder, inputs: Pick<Inputs, 'q' | 'keyBias'>, options: StreamOptions): Stream {
  const { block, window, sinks } = options;
  const int = (value: number) => build.int64([value]);
  const op = (type: string, ...values: string[]) => build.op(type, values);
  const shape = (value: string, dims: readonly number[]) => build.op('Reshape', [value, build.int64(dims)]);
  const tokens = sizeOf(build, inputs.q, 2);
  const before = options.before ?? build.int64([0], [1, 1]);
  const order = placesOf(build, inputs, tokens);
  const length = op('Add', before, order.count);

  const beginning = (position: string) => op('Mul', op('Div', position, int(block)), int(block));
  const first = beginning(before);
  const within = op('Sub', before, first);
  const touched = options.before ? op('Add', tokens, op('ReduceMax', shape(within, [-1]))) : tokens;
  const count = ceilDivide(build, shape(touched, [1]), int(block));
  const slots = lesser(build, tokens, int(block));
  // [B,n]
  const starts = op('Add', first, op('Mul', counting(build, count), int(block)));
  const queryStarts = greater(build, starts, before);
  const rowwise = (value: string) => shape(value, [-1, 1, 1]);

  const spread = (places: string, offsets: string) => op('Add', shape(places, [0, -1, 1]), offsets);
  const flat = (table: string) => shape(table, [0, 1, -1]);
  const offsets = (from: number, size: number) => build.int64(Array.from({ length: size }, (_, i) => from + i));
  /** Row of `recent` at a position: new tokens by their order, older ones in the window of the first block. */
  const rowsAt = (positions: string) => {
    const rank = op('Sub', positions, rowwise(before));
    const fresh = order.tokenAt(flat(rank));
    if (!options.before) return fresh;
    const old = op('Add', op('Sub', positions, rowwise(first)), int(window - block));
    const place = flat(lesser(build, greater(build, old, int(0)), int(window - 1)));
    return op('Where', flat(op('Less', rank, int(0))), place, op('Add', fresh, int(window)));
  };
  const present = (positions: string) =>
    op('And', op('Not', op('Less', positions, int(0))), op('Less', positions, rowwise(length)));

  const queryPositions = spread(queryStarts, counting(build, slots));
  const windowPositions = spread(starts, offsets(block - window, window));
  const evictedPositions = spread(starts, offsets(block - window, block));
  const keptStart = beginning(length);
  const later = op('Less', shape(queryPositions, [0, 0, -1, 1]), shape(windowPositions, [0, 0, 1, -1]));
  const known = shape(present(windowPositions), [0, 0, 1, -1]);

  // Of a token: its block among those touched, and its place among that block's queries.
  const position = op('Add', before, order.ranks);
  const start = beginning(position);
  const at = op('Div', op('Sub', start, first), int(block));
  const slot = op('Sub', position, greater(build, start, before));
  return {
    count,
    length,
    slots,
    queries: order.tokenAt(flat(op('Sub', queryPositions, rowwise(before)))),
    window: {
      rows: rowsAt(windowPositions),
      seen: build.op('Reshape', [
        op('And', op('Not', later), known),
        build.op('Concat', [build.int64([0, 1]), count, slots, int(window)], { axis: 0 }),
      ]),
    },
    evicted: {
      rows: rowsAt(evictedPositions),
      present: flat(present(evictedPositions)),
      sink: flat(op('Less', evictedPositions, int(sinks))),
    },
    kept: rowsAt(spread(keptStart, offsets(block - window, window))),
    ended: op('Div', op('Sub', keptStart, first), int(block)),
    results: shape(op('Add', op('Mul', at, slots), slot), [0, 1, -1]),
  };
}

interface Places {
  /** Tokens that count [B,1]. */
  readonly count: string;
  /** Of every token, those that count before it [B,S]; 0 for one that does not. */
  readonly ranks: string;
  /** The token of a rank [B,1,X] → [B,1,X]; out of range, some token. */
  tokenAt(ranks: string): string;
}

/** Tokens by their order among those that are not masked. */
function placesOf(build: Builder, { q, keyBias }: Pick<Inputs, 'q' | 'keyBias'>, tokens: string): Places {
  const zero = build.int64([0]);
  const last = build.op('Sub', [tokens, build.int64([1])]);
  const inside = (ranks: string) => lesser(build, greater(build, ranks, zero), last);
  const all = build.op('Reshape', [counting(build, tokens), build.int64([1, -1])]);
  if (!keyBias) {
    return { count: build.op('Reshape', [tokens, build.int64([1, 1])]), ranks: all, tokenAt: inside };
  }
  const visible = build.op('Greater', [keyBias, build.float([maskedBelow], [])]);
  const shape = build.op('Concat', [sizeOf(build, q, 0), tokens], { axis: 0 });
  const ones = build.op('Reshape', [build.op('Cast', [visible], { to: int64 }), build.int64([0, -1])]);
  const counts = build.op('Expand', [ones, shape]);
  const upTo = build.op('CumSum', [counts, build.int64([1], [])]);
  const ranks = inside(build.op('Sub', [upTo, build.int64([1])]));
  // Tokens that do not count are written behind the last place.
  const place = build.op('Where', [build.op('Equal', [counts, zero]), tokens, ranks]);
  const room = build.op('Add', [shape, build.int64([0, 1])]);
  const table = build.op(
    'ScatterElements',
    [build.op('Expand', [build.int64([0], [1, 1]), room]), place, build.op('Expand', [all, shape])],
    { axis: 1 },
  );
  return {
    count: build.op('Gather', [upTo, last], { axis: 1 }),
    ranks,
    tokenAt(wanted) {
      const rows = build.op('Reshape', [inside(wanted), build.int64([0, -1])]);
      const batch = build.op('Concat', [sizeOf(build, table, 0), sizeOf(build, rows, 1)], { axis: 0 });
      const found = build.op('GatherElements', [table, build.op('Expand', [rows, batch])], { axis: 1 });
      return build.op('Reshape', [found, build.int64([0, 1, -1])]);
    },
  };
}

/** The lesser of whole numbers; operators for them are as old as opset 12. */
function lesser(build: Builder, a: string, b: string): string {
  return build.opset >= 12 ? build.op('Min', [a, b]) : build.op('Where', [build.op('Less', [a, b]), a, b]);
}

function greater(build: Builder, a: string, b: string): string {
  return build.opset >= 12 ? build.op('Max', [a, b]) : build.op('Where', [build.op('Less', [a, b]), b, a]);
}

/** Rows of [B,H,L,W] by a table [B or 1, H or 1, X]: [B,H,X,W]. */
export function rowsOf(build: Builder, value: string, table: string, width: number, heads: number): string {
  const length = sizeOf(build, value, 2);
  const each = build.op('Mul', [sizeOf(build, value, 0), build.int64([heads])]);
  const starts = build.op('Mul', [counting(build, each), length]);
  const index = build.op('Add', [build.op('Reshape', [starts, build.int64([-1, heads, 1])]), table]);
  return build.op('Gather', [build.op('Reshape', [value, build.int64([-1, width])]), index], { axis: 0 });
}
