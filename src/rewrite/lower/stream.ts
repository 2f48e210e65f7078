/**
 * Where the tokens of a causal stream are, when S new ones follow those of earlier calls.
 *
 *   position        of a token in its row: only tokens that count have one, so that padding on either side moves nothing
 *   block           positions j·b … j·b + b − 1. Fixed by position, not by call: a run in pieces is the run in one
 *   window          of block j: the w − b positions before it, and its own up to the query
 *   evicted by j    the positions that leave the window where block j ends: what globals and summaries are made of
 *
 * A call touches n blocks, the first of which may have begun in an earlier one; each has at most m = min(b, S) new
 * queries, so that a single token costs one query. Everything here depends on lengths alone: the layers of a model whose
 * plans agree in it share one set of tables.
 *
 * Tables are made of whole numbers and comparisons of them, up to the last node: onnxruntime computes these on the CPU. Of truth
 * values it has And, Or, Not, Cast and Reshape on a GPU, and would read back what a table goes on with.
 */
import { type Builder, type MadeOnce, madeOnce } from '../../onnx/build.js';
import { counting } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import { hideUnless } from './key-set.js';
import type { Inputs } from './lowering.js';
import { type Runs, runsOf } from './prefix-scan.js';

const float32 = 1;

/** A position that no token has. */
const beyond = 2 ** 40;

export interface StreamOptions {
  readonly block: number;
  readonly window: number;
  readonly sinks: number;
  /** A query sees so many positions, its own among them, and sinks; absent, all of its block's window. */
  readonly reach?: number;
  /** Tokens of each row before the call, int64 [B,1]; the w rows kept by the last call then lead the recent ones. */
  readonly before?: string;
}

/** Tables of rows are int64 [B,H,X] into the rows of all heads, as `rowsAt` takes them. */
export interface Stream {
  /** n, int64 [1]. */
  readonly count: string;
  /** bool []: the call ends no block, so that nothing is evicted: most single tokens. */
  readonly idle: string;
  /** Stages that globals and sums go through, one before and one after each block, int64 [1]: n + 1, of an idle call 1. */
  readonly stages: string;
  /** m, int64 [1]. */
  readonly slots: string;
  /** Tokens of a row once the call is done, int64 [B,1]. */
  readonly length: string;
  /** float32 [B,1,1,1]: 1 for a row that had no tokens before the call. */
  readonly begins: string;
  /** Of the new tokens, the queries of every block [B,H,n·m]. */
  readonly queries: string;
  /** Of the recent tokens, the window of every block [B,H,n·w], and 0 for what a query sees of it [B,1,n,m,w]. */
  readonly window: string;
  readonly seen: string;
  /** Of the recent tokens, those evicted by every block [B,H,n·b]; which there are and which are sinks: bool [B,1,n·b,1]. */
  readonly evicted: string;
  readonly present: string;
  readonly sink: string;
  /** Of the recent tokens, the window that the next query will have [B,H,w]. */
  readonly kept: string;
  /** Of the stages, the one after the last block that ended [B,H,1]. */
  readonly ended: string;
  /** Of the queries of all blocks, that of every new token [B,H,S]. */
  readonly results: string;
  /** First row of every head [B,H,1] in a tensor of `length` rows a head. */
  base(build: Builder, length: string): string;
  /** Of the stages of a call that is not idle, where prefixes over them are made (prefix-scan.ts). */
  runs(): Runs;
  /** What is made at most once for all layers that share the stream. */
  readonly once: MadeOnce;
}

/** The stream for so many heads; its tables of places are made once, those of rows once for every number of heads. */
export type StreamOf = (build: Builder, heads: number) => Stream;

export function streamOf(build: Builder, inputs: Pick<Inputs, 'q' | 'visible'>, options: StreamOptions): StreamOf {
  const { block, window, sinks, reach } = options;
  const int = (value: number) => build.int64([value]);
  const op = (type: string, ...values: string[]) => build.op(type, values);
  const shape = (value: string, dims: readonly number[]) =>
    build.op('Reshape', [value, build.int64(dims, [dims.length])]);
  const tokens = sizeOf(build, inputs.q, 2);
  const batch = sizeOf(build, inputs.q, 0);
  const before = options.before ?? build.int64([0], [1, 1]);
  const order = placesOf(build, inputs, { tokens, batch });
  const length = op('Add', before, order.count);
  const beginning = (position: string) => op('Mul', op('Div', position, int(block)), int(block));
  const first = beginning(before);
  const within = op('Sub', before, first);
  const touched = options.before ? op('Add', tokens, op('ReduceMax', shape(within, [-1]))) : tokens;
  const count = ceilDivide(build, shape(touched, [1]), int(block));
  const slots = lesser(build, tokens, int(block));
  const recent = options.before ? op('Add', tokens, int(window)) : tokens;
  // [B,n]
  const starts = op('Add', first, op('Mul', counting(build, count), int(block)));
  const queryStarts = greater(build, starts, before);
  const rowwise = (value: string) => shape(value, [-1, 1, 1]);

  const spread = (places: string, offsets: string) => op('Add', shape(places, [0, -1, 1]), offsets);
  const flat = (table: string) => shape(table, [0, 1, -1]);
  const offsets = (size: number) => build.int64(Array.from({ length: size }, (_, i) => block - window + i));
  /** Row of the recent tokens at a position: new ones by their order, older ones in the window of the first block. */
  const recentAt = (positions: string) => {
    const rank = flat(op('Sub', positions, rowwise(before)));
    const fresh = order.tokenAt(rank);
    if (!options.before) return fresh;
    const old = op('Add', op('Sub', positions, rowwise(first)), int(window - block));
    const place = flat(lesser(build, greater(build, old, int(0)), int(window - 1)));
    return op('Where', op('Less', rank, int(0)), place, op('Add', fresh, int(window)));
  };
  /** Positions, those before the text moved behind every token: neither is there. */
  const inText = (positions: string) => op('Where', op('Less', positions, int(0)), int(beyond), positions);

  const queryPositions = spread(queryStarts, counting(build, slots));
  const windowPositions = spread(starts, offsets(window));
  const evictedPositions = spread(starts, offsets(block));
  const keptStart = beginning(length);
  const [queryAt, keyAt] = [shape(queryPositions, [0, 0, -1, 1]), shape(inText(windowPositions), [0, 0, 1, -1])];
  const end = lesser(build, op('Add', queryAt, int(1)), shape(length, [-1, 1, 1, 1]));
  // A sink is in reach of every query, as if it were beyond all of them.
  const near = (least: number) => op('Add', op('Where', op('Less', keyAt, int(sinks)), int(beyond), keyAt), int(least));
  const seenUpTo = reach === undefined ? end : op('Where', op('Less', queryAt, near(reach)), end, int(0));
  const visible = op('Less', keyAt, seenUpTo);
  const table = build.op('Concat', [build.int64([0, 1]), count, slots, int(window)], { axis: 0 });

  // Of a token: its block among those touched, and its place among that block's queries.
  const position = op('Add', before, order.ranks);
  const start = beginning(position);
  const at = op('Div', op('Sub', start, first), int(block));
  const slot = op('Sub', position, greater(build, start, before));
  const ended = op('Div', op('Sub', keptStart, first), int(block));
  const most = shape(op('ReduceMax', shape(ended, [-1])), [1]);
  // One block at least is touched.
  const idle = op('Equal', shape(op('Add', count, most), []), build.int64([1], []));
  const stages = op('Where', idle, int(1), op('Add', count, int(1)));
  const leaving = shape(inText(evictedPositions), [0, 1, -1, 1]);
  const places = {
    count,
    idle,
    stages,
    slots,
    length,
    begins: build.op('Cast', [op('Equal', shape(before, [-1, 1, 1, 1]), int(0))], { to: float32 }),
    seen: hideUnless(build, build.op('Reshape', [visible, table])),
    present: op('Less', leaving, shape(length, [-1, 1, 1, 1])),
    sink: op('Less', leaving, int(sinks)),
  };
  // Each with the number of rows that a head has in the tensor it is a table of.
  const tables = {
    queries: [order.tokenAt(flat(op('Sub', queryPositions, rowwise(before)))), tokens],
    window: [recentAt(windowPositions), recent],
    evicted: [recentAt(evictedPositions), recent],
    kept: [recentAt(spread(keptStart, offsets(window))), recent],
    ended: [shape(ended, [-1, 1, 1]), stages],
    results: [shape(op('Add', op('Mul', at, slots), slot), [0, 1, -1]), op('Mul', count, slots)],
  } as const;
  const once = madeOnce();
  let made: Runs | undefined;
  const runs = () => {
    made ??= runsOf(build, once, op('Add', count, int(1)));
    return made;
  };
  const known = new Map<number, Stream>();
  return (here, heads) => {
    const own = known.get(heads) ?? ofHeads(here, { heads, batch, places: { ...places, runs }, tables });
    known.set(heads, own);
    return own;
  };
}

type Table = 'queries' | 'window' | 'evicted' | 'kept' | 'ended' | 'results';

function ofHeads(
  build: Builder,
  given: {
    readonly heads: number;
    readonly batch: string;
    readonly places: Omit<Stream, Table | 'base' | 'once'>;
    readonly tables: Readonly<Record<Table, readonly [table: string, length: string]>>;
  },
): Stream {
  const { heads, batch, places, tables } = given;
  const rows = build.op('Mul', [batch, build.int64([heads])]);
  const numbered = build.op('Reshape', [counting(build, rows), build.int64([-1, heads, 1])]);
  const once = madeOnce();
  const base = (inner: Builder, length: string) => once(`base ${length}`, () => inner.op('Mul', [numbered, length]));
  const rowsOf = ([table, length]: readonly [string, string]) => build.op('Add', [table, base(build, length)]);
  return {
    ...places,
    queries: rowsOf(tables.queries),
    window: rowsOf(tables.window),
    evicted: rowsOf(tables.evicted),
    kept: rowsOf(tables.kept),
    ended: rowsOf(tables.ended),
    results: rowsOf(tables.results),
    base,
    once,
  };
}

/** Rows of [B,H,L,W] by a table [B,H,X…] of rows of all heads: [B,H,X…,W]. */
export function rowsAt(build: Builder, value: string, table: string, width: number): string {
  return build.op('Gather', [build.op('Reshape', [value, build.int64([-1, width])]), table], { axis: 0 });
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
function placesOf(
  build: Builder,
  { visible }: Pick<Inputs, 'visible'>,
  { tokens, batch }: { tokens: string; batch: string },
): Places {
  const zero = build.int64([0]);
  const last = build.op('Sub', [tokens, build.int64([1])]);
  const inside = (ranks: string) => lesser(build, greater(build, ranks, zero), last);
  const all = build.op('Reshape', [counting(build, tokens), build.int64([1, -1])]);
  if (!visible) {
    return { count: build.op('Reshape', [tokens, build.int64([1, 1])]), ranks: all, tokenAt: inside };
  }
  const shape = build.op('Concat', [batch, tokens], { axis: 0 });
  const ones = build.op('Reshape', [visible, build.int64([0, -1])]);
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
      const wide = build.op('Concat', [batch, sizeOf(build, rows, 1)], { axis: 0 });
      const found = build.op('GatherElements', [table, build.op('Expand', [rows, wide])], { axis: 1 });
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
