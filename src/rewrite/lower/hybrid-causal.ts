/**
 * The hybrid for causal attention, in a stream (stream.ts): one softmax over
 *
 *   the window       of the query's block of positions and before it, up to the query                       exact
 *   sinks, globals   of the keys evicted from the window, the first `sinks` and those with the highest
 *                    static score k·q₀, as a streaming top-g would have kept them                            exact
 *   summaries        q·k̄_c + log n_c of all other evicted keys by the code of a constant codebook
 *
 * Summaries are running sums over everything evicted, less the keys that are globals at the time: linear, no exponential
 * is ever subtracted. A key has its code from when it was evicted, so that what is taken out is what was put in.
 *
 * What a call leaves for the next is of constant size (`State`): the window, the globals, and the sums. All blocks of a call are computed together.
 *
 * Cost in key equivalents: window + sinks + globals + ½ (static score) + 2.5 codes; sums of globals taken out add
 * codes · (sinks + globals) / block multiply-adds a key, uncounted as in hybrid.ts.
 */
import type { Builder } from '../../onnx/build.js';
import type { Site } from '../site.js';
import { counting, scaledQueries } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { farConstants, farCost, farRules } from './hybrid.js';
import { excluded, softmaxOverParts } from './key-set.js';
import {
  type Constants,
  defaultsOf,
  type Inputs,
  type Lowering,
  numberOption,
  type OptionRule,
  type Options,
  optionReader,
} from './lowering.js';
import { nothing, prefixTop } from './prefix-top.js';
import { hideUnless, rowsAt, type Stream, streamOf } from './stream.js';
import { queryBlock, windowRule } from './window.js';

const float32 = 1;

const rules: Record<string, OptionRule> = {
  window: windowRule,
  ...farRules,
  sinks: { ...farRules.sinks, default: 4 },
  assign: { default: 'keys', valid: (value) => value === 'keys', expected: "'keys'" },
};

export const hybridCausal: Lowering = {
  summary: 'the hybrid for causal models, its state of constant size: linear time; needs calibration',
  defaults: defaultsOf(rules),
  readOptions: optionReader('hybrid-causal', rules),
  declines: notCausal,
  keyEquivalents: (options) => numberOption(options, 'window') + farCost(options),
  constants: farConstants,
  lower: (build, inputs, options, constants) =>
    attendStream(build, inputs, { options, constants, streams: new Map() }).context,
};

function notCausal({ causal, mask, operands }: Site): string | undefined {
  if (!causal) return 'it is for causal attention, and this is not';
  const known = mask === 'causal' || mask === 'causal+padding';
  if (!known) return `it reads causal and padding masks, and the mask here is ${mask}`;
  // Sums of thousands of keys overflow float16, and counts above 2,048 are not exact in it.
  if (operands.cache && operands.elemType !== 1)
    return 'its key cache is not float32, and a state in it would overflow';
  return operands.aligned || operands.cache ? undefined : 'this site has a key cache that is not joined in plain sight';
}

/** Between two calls, of the heads of a group; c = sinks + globals. */
export interface State {
  /** The window that the next query will have [B,H,w,D] and [B,H,w,E]. */
  readonly keys: string;
  readonly values: string;
  /** Globals as rows [k | v | 1 | score | code] of width W [B,H,c,W]; empty where there are none. */
  readonly globals: string;
  /** Sums of the rows of everything evicted, globals too, by code [B,H,C,W]; of score and code they mean nothing. */
  readonly sums: string;
}

/** Sizes of a state's parts for one row of the batch, in their order. */
export function stateShape({ headDim: D, valueDim: E }: Site, heads: number, options: Options) {
  const { window, chosen, codes } = sizes(options);
  return {
    keys: [heads, window, D],
    values: [heads, window, E],
    globals: [heads, chosen, D + E + 3],
    sums: [heads, codes, D + E + 3],
  } satisfies Record<keyof State, readonly number[]>;
}

function sizes(options: Options) {
  const [globals, sinks] = [numberOption(options, 'globals'), numberOption(options, 'sinks')];
  const [window, codes] = [numberOption(options, 'window'), numberOption(options, 'codes')];
  return { window, globals, sinks, chosen: globals + sinks, codes };
}

/** The streams of a model's layers by what their tables depend on. */
export type Streams = Map<string, Stream>;

interface Given {
  readonly options: Options;
  readonly constants: Constants;
  readonly streams: Streams;
  /** Tokens of each row before the call, int64 [B,1], and what they left; absent where calls do not follow each other. */
  readonly before?: string;
  readonly state?: State;
}

/** [B,H,N,E], and the state for the next call. `inputs` are the new tokens. */
export function attendStream(
  build: Builder,
  inputs: Inputs,
  given: Given,
): { context: string; state: State; stream: Stream } {
  const { options, streams, before, state } = given;
  const { window, sinks, chosen, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const heads = inputs.heads.length;
  const key = `${window} ${sinks} ${heads}`;
  const stream = streams.get(key) ?? streamOf(build, inputs, { block: queryBlock, window, sinks, heads, before });
  streams.set(key, stream);
  const recent = {
    keys: state ? build.op('Concat', [state.keys, inputs.k], { axis: 2 }) : inputs.k,
    values: state ? build.op('Concat', [state.values, inputs.v], { axis: 2 }) : inputs.v,
  };
  const split = (value: string, size: string, width: number) => {
    const shape = () =>
      build.op('Concat', [build.int64([0, 0]), stream.count, size, build.int64([width])], { axis: 0 });
    return build.op('Reshape', [value, stream.once(`split ${size} ${width}`, shape)]);
  };
  const near = (value: string, width: number) =>
    split(rowsAt(build, value, stream.window, width), build.int64([window]), width);
  const parts: Part[] = [{ keys: near(recent.keys, D), values: near(recent.values, E), bias: stream.seen }];
  const evicted = chosen + codes > 0 ? evict(build, stream, { ...given, recent, inputs }) : undefined;
  if (evicted) parts.push(...evicted.parts);
  const queries = split(rowsAt(build, scaledQueries(build, inputs), stream.queries, D), stream.slots, D);
  const attended = softmaxOverParts(
    build,
    parts.map(({ keys, bias }) => build.op('Add', [build.op('MatMul', [queries, flip(build, keys)]), bias])),
    (i, weights) => build.op('MatMul', [weights, parts[i].values]),
  );
  return {
    context: rowsAt(build, attended, stream.results, E),
    state: {
      keys: rowsAt(build, recent.keys, stream.kept, D),
      values: rowsAt(build, recent.values, stream.kept, E),
      globals: evicted?.globals ?? '',
      sums: evicted?.sums ?? '',
    },
    stream,
  };
}

interface Part {
  /** [B,H,n,p,D] */
  readonly keys: string;
  /** [B,H,n,p,E] */
  readonly values: string;
  /** [B or 1,H or 1,n,b or 1,p] */
  readonly bias: string;
}

type Evicting = Given & {
  readonly recent: { readonly keys: string; readonly values: string };
  readonly inputs: Inputs;
};

/** Globals and summaries of what blocks evict, as each block finds them and as the call leaves them. */
function evict(build: Builder, stream: Stream, given: Evicting): { parts: Part[]; globals: string; sums: string } {
  const { inputs, options, state } = given;
  const { chosen, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const width = D + E + 3;
  const inBlocks = (value: string) => build.op('Slice', [value, build.int64([0]), stream.count, build.int64([2])]);
  /** What the call leaves: of [B,H,n+1,r,W], for each row the stage after the last block it ended. */
  const atEnd = (value: string, rows: number) =>
    build.op('Reshape', [rowsAt(build, value, stream.ended, rows * width), build.int64([0, 0, rows, width])]);
  const fresh = evictedRows(build, stream, given);
  const parts: Part[] = [];
  let best: string | undefined;
  if (chosen > 0) {
    best = bestOfPrefixes(build, stream, { ...given, fresh, width });
    const mine = inBlocks(best);
    parts.push({
      keys: columns(build, mine, 0, D),
      values: columns(build, mine, D, D + E),
      bias: flip(build, hideUnless(build, isGlobal(build, mine, width))),
    });
  }
  let sums: string | undefined;
  if (codes > 0) {
    const blocks = (value: string, size: number) =>
      build.op('Reshape', [value, build.int64([0, 0, -1, queryBlock, size])]);
    const weight = stream.once('weight', () => build.op('Cast', [stream.present], { to: float32 }));
    const hits = build.op('Mul', [oneHot(build, fresh, { width, codes, axis: 3 }), weight]);
    const added = build.op('MatMul', [flip(build, blocks(hits, codes)), blocks(fresh, width)]);
    const start = state
      ? build.op('Unsqueeze', ...unsqueezed(build, state.sums, 2))
      : emptySums(build, stream, { added, codes });
    sums = build.op('CumSum', [build.op('Concat', [start, added], { axis: 2 }), build.int64([2], [])]);
    let far = inBlocks(sums);
    if (best) {
      const mine = inBlocks(best);
      const held = build.op('Cast', [isGlobal(build, mine, width)], { to: float32 });
      const taken = build.op('Mul', [oneHot(build, mine, { width, codes, axis: 4 }), held]);
      far = build.op('Sub', [far, build.op('MatMul', [flip(build, taken), mine])]);
    }
    parts.push(summaries(build, far, { D, E }));
  }
  return { parts, globals: best ? atEnd(best, chosen) : '', sums: sums ? atEnd(sums, codes) : '' };
}

/** [k | v | 1 | score | code] of everything that blocks evict [B,H,n·b,W]. */
function evictedRows(build: Builder, stream: Stream, { recent, inputs, options, constants }: Evicting): string {
  const { globals, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const none = build.float([nothing], []);
  const keys = rowsAt(build, recent.keys, stream.evicted, D);
  const values = rowsAt(build, recent.values, stream.evicted, E);
  const ones = stream.once('ones', () => {
    const shape = build.op('Concat', [build.op('Shape', [stream.evicted]), build.int64([1])], { axis: 0 });
    return build.op('Expand', [build.float([1], []), shape]);
  });
  const scored = globals > 0 ? build.op('MatMul', [keys, constants('query')]) : build.op('Mul', [ones, none]);
  const lifted = build.op('Where', [stream.sink, build.float([1e9], []), scored]);
  const score = build.op('Where', [stream.present, lifted, none]);
  const code = codes > 0 ? codesOf(build, keys, constants, codes) : ones;
  return build.op('Concat', [keys, values, ones, score, code], { axis: 3 });
}

/** Code of every key [B,H,X,D] → float32 [B,H,X,1]: one of few whole numbers, which floats hold. */
function codesOf(build: Builder, keys: string, constants: Constants, codes: number): string {
  const products = build.op('MatMul', [keys, constants(`keys${codes}.weights`)]);
  const affinity = build.op('Add', [products, constants(`keys${codes}.offsets`)]);
  return build.op('Cast', [build.op('ArgMax', [affinity], { axis: 3, keepdims: 1 })], { to: float32 });
}

/** The globals of every stage, best first, as rows [B,H,n+1,c,W]; a place that is free has score `nothing`. */
function bestOfPrefixes(
  build: Builder,
  stream: Stream,
  { fresh, width, inputs, options, state }: Evicting & { readonly fresh: string; readonly width: number },
): string {
  const { chosen } = sizes(options);
  const heads = inputs.heads.length;
  const once = (key: string, make: () => string) => stream.once(`${key} ${chosen} ${width}`, make);
  const lead = stream.once('lead', () =>
    build.op('Slice', [build.op('Shape', [stream.evicted]), build.int64([0]), build.int64([2])]),
  );
  const shaped = (value: string, ...sizes: string[]) =>
    build.op('Expand', [value, build.op('Concat', [lead, ...sizes], { axis: 0 })]);
  // A row like any other, but for its score: what the places are filled with that hold nothing yet.
  const score = build.float(
    Float32Array.from({ length: width }, (_, i) => (i === width - 2 ? nothing : 0)),
    [width],
  );
  const free = once('free', () => shaped(score, build.int64([1, width])));
  const before =
    state && build.op('Add', [state.globals, once('first', () => build.op('Mul', [stream.begins, score]))]);
  const candidates = build.op('Concat', before ? [free, before, fresh] : [free, fresh], { axis: 2 });
  const scoreOf = (value: string, size: number) => {
    const column = build.op('Slice', [value, build.int64([width - 2]), build.int64([width - 1]), build.int64([3])]);
    return build.op('Reshape', [column, build.int64([0, 0, -1, size])]);
  };
  const most = Math.min(chosen, queryBlock);
  const [top, at = ''] = build.ops('TopK', [scoreOf(fresh, queryBlock), build.int64([most])], 2, { axis: 3 });
  const offset = once('offset', () => {
    const numbers = build.op('Mul', [counting(build, stream.count), build.int64([queryBlock])]);
    const first = build.op('Add', [numbers, build.int64([state ? chosen + 1 : 1])]);
    return build.op('Reshape', [first, build.int64([-1, 1])]);
  });
  const items = build.op('Add', [at, offset]);
  const missing = [stream.count, build.int64([chosen - most])];
  const filled = (value: string, kind: string, fill: string) =>
    most === chosen ? value : build.op('Concat', [value, once(kind, () => shaped(fill, ...missing))], { axis: 3 });
  const none = build.float([nothing], [1]);
  const row = build.int64([1, chosen]);
  const firstScores = before ? scoreOf(before, chosen) : once('no scores', () => shaped(none, row));
  const firstItems = once('first items', () =>
    shaped(build.int64(Array.from({ length: chosen }, (_, i) => (state ? i + 1 : 0))), row),
  );
  const best = prefixTop(
    build,
    {
      scores: build.op('Concat', [firstScores, filled(top, 'missing scores', none)], { axis: 2 }),
      items: build.op('Concat', [firstItems, filled(items, 'missing items', build.int64([0]))], { axis: 2 }),
    },
    { heads, size: chosen },
  );
  const base = once('candidates', () => {
    const head = stream.base(build, sizeOf(build, candidates, 2));
    return build.op('Reshape', [head, build.int64([-1, heads, 1, 1])]);
  });
  return rowsAt(build, candidates, build.op('Add', [best.items, base]), width);
}

/** bool [.,.,.,c,1] of rows [.,.,.,c,W] */
function isGlobal(build: Builder, rows: string, width: number): string {
  return build.op('Greater', [columns(build, rows, width - 2, width - 1), build.float([nothing / 2], [])]);
}

/** [..,C] of the codes of rows [..,W]. */
function oneHot(build: Builder, rows: string, given: { width: number; codes: number; axis: number }): string {
  const { width, codes, axis } = given;
  const code = build.op('Slice', [rows, build.int64([width - 1]), build.int64([width]), build.int64([axis])]);
  const all = build.float(
    Float32Array.from({ length: codes }, (_, c) => c),
    [codes],
  );
  return build.op('Cast', [build.op('Equal', [code, all])], { to: float32 });
}

/** Zeros like the sums of one block. */
function emptySums(build: Builder, stream: Stream, { added, codes }: { added: string; codes: number }): string {
  return stream.once(`no sums ${codes}`, () => {
    const one = build.op('Slice', [added, build.int64([0]), build.int64([1]), build.int64([2])]);
    return build.op('Mul', [one, build.float([0], [])]);
  });
}

/** Pseudo-keys of sums [B,H,n,C,W]; a code with less than half a key left is none (far-field.ts). */
function summaries(build: Builder, sums: string, { D, E }: { D: number; E: number }): Part {
  const count = columns(build, sums, D + E, D + E + 1);
  const least = build.float([0.5], []);
  const divisor = build.op('Max', [count, least]);
  const bias = build.op('Where', [
    build.op('Less', [count, least]),
    build.float([excluded], []),
    build.op('Log', [divisor]),
  ]);
  return {
    keys: build.op('Div', [columns(build, sums, 0, D), divisor]),
    values: build.op('Div', [columns(build, sums, D, D + E), divisor]),
    bias: flip(build, bias),
  };
}

/** Part of the last axis of [.,.,.,.,·]. */
function columns(build: Builder, value: string, from: number, to: number): string {
  return build.op('Slice', [value, build.int64([from]), build.int64([to]), build.int64([4])]);
}

/** [.,.,.,a,b] → [.,.,.,b,a] */
function flip(build: Builder, value: string): string {
  return build.op('Transpose', [value], { perm: [0, 1, 2, 4, 3] });
}

/** Operands and attributes of Unsqueeze, whose axes moved to an input at opset 13. */
function unsqueezed(build: Builder, value: string, axis: number): [string[], { axes?: number[] }] {
  return build.opset >= 13 ? [[value, build.int64([axis])], {}] : [[value], { axes: [axis] }];
}
