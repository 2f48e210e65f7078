/**
 * The hybrid for causal attention, in a stream (stream.ts): one softmax over
 *
 *   the window       of the query's block of positions and before it, up to the query                       exact
 *   sinks, globals   of the keys evicted from the window, the first `sinks` and those with the highest
 *                    static score k·q₀, as a streaming top-g would have kept them                            exact
 *   summaries        q·k̄_c + log n_c of all other evicted keys by the code of a constant codebook
 *
 * Summaries are running sums, less those of the keys that are globals at the time: linear, no exponential is ever
 * subtracted. A key has its code from when it was evicted, so that what is taken out is what was put in.
 *
 * What a call leaves for the next is of constant size (`State`): the window, the globals, and sums of everything
 * evicted that is no global. All blocks of a call are computed together.
 *
 * Cost in key equivalents: window + sinks + globals + ½ (static score) + 2.5 codes; sums of globals taken out add
 * codes · (sinks + globals) / block multiply-adds a key, uncounted as in hybrid.ts.
 */
import type { Builder } from '../../onnx/build.js';
import type { Site } from '../site.js';
import { scaledQueries } from './blocks.js';
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
import { rowsOf, type Stream, streamOf } from './stream.js';
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
  lower: (build, inputs, options, constants) => attendStream(build, inputs, { options, constants }).context,
};

function notCausal({ causal, mask, kind, operands }: Site): string | undefined {
  if (!causal || kind === 'cross') return 'it is for causal self-attention, and this is not';
  const known = mask === 'causal' || mask === 'causal+padding';
  if (!known) return `it reads causal and padding masks, and the mask here is ${mask}`;
  return operands.aligned || operands.cache ? undefined : 'this site has a key cache that is not joined in plain sight';
}

/** Between two calls, of the heads of a group; c = sinks + globals, F = D + E + 1. */
export interface State {
  /** Tokens of each row so far, int64 [B,1]. */
  readonly length: string;
  /** The window that the next query will have [B,H,w,D] and [B,H,w,E]. */
  readonly keys: string;
  readonly values: string;
  /** Globals [k | v | 1] [B,H,c,F], their scores [B,H,c] and codes [B,H,c]. */
  readonly globals: string;
  readonly scores: string;
  readonly codes: string;
  /** Σ [k | v | 1] of what was evicted and is no global, by code [B,H,C,F]. */
  readonly sums: string;
}

/** Sizes of a state's parts for one row, the length aside. */
export function stateShape({ headDim: D, valueDim: E }: Site, heads: number, options: Options) {
  const { window, chosen, codes } = sizes(options);
  return {
    keys: [heads, window, D],
    values: [heads, window, E],
    globals: [heads, chosen, D + E + 1],
    scores: [heads, chosen],
    codes: [heads, chosen],
    sums: [heads, codes, D + E + 1],
  } satisfies Record<Exclude<keyof State, 'length'>, readonly number[]>;
}

function sizes(options: Options) {
  const [globals, sinks] = [numberOption(options, 'globals'), numberOption(options, 'sinks')];
  return {
    window: numberOption(options, 'window'),
    chosen: globals + sinks,
    codes: numberOption(options, 'codes'),
    sinks,
  };
}

interface Given {
  readonly options: Options;
  readonly constants: Constants;
  /** From the call before; absent where there is no such thing. */
  readonly state?: State;
}

/** [B,H,N,E], and the state for the next call. `inputs` are the new tokens. */
export function attendStream(
  build: Builder,
  inputs: Inputs,
  { options, constants, state }: Given,
): { context: string; state: State } {
  const { window, chosen, codes, sinks } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const heads = inputs.heads.length;
  const stream = streamOf(build, inputs, { block: queryBlock, window, sinks, before: state?.length });
  const rows = (value: string, table: string, width: number) => rowsOf(build, value, table, width, heads);
  const recent = {
    keys: state ? build.op('Concat', [state.keys, inputs.k], { axis: 2 }) : inputs.k,
    values: state ? build.op('Concat', [state.values, inputs.v], { axis: 2 }) : inputs.v,
  };
  const split = (value: string, size: string, width: number) =>
    build.op('Reshape', [
      value,
      build.op('Concat', [build.int64([0, 0]), stream.count, size, build.int64([width])], { axis: 0 }),
    ]);
  const near = (value: string, width: number) =>
    split(rows(value, stream.window.rows, width), build.int64([window]), width);
  const parts = [
    {
      keys: near(recent.keys, D),
      values: near(recent.values, E),
      bias: hideUnless(build, stream.window.seen),
    },
  ];
  const evicted = chosen + codes > 0 ? evict(build, stream, { recent, inputs, constants, options, state }) : undefined;
  if (evicted) parts.push(...evicted.parts);
  const queries = split(rows(scaledQueries(build, inputs), stream.queries, D), stream.slots, D);
  const attended = softmaxOverParts(
    build,
    parts.map(({ keys, bias }) => {
      const transposed = build.op('Transpose', [keys], { perm: [0, 1, 2, 4, 3] });
      return build.op('Add', [build.op('MatMul', [queries, transposed]), bias]);
    }),
    (i, weights) => build.op('MatMul', [weights, parts[i].values]),
  );
  const joined = build.op('Reshape', [attended, build.int64([0, 0, -1, E])]);
  return {
    context: rows(joined, stream.results, E),
    state: {
      length: stream.length,
      keys: rows(recent.keys, stream.kept, D),
      values: rows(recent.values, stream.kept, E),
      ...(evicted?.state ?? { globals: '', scores: '', codes: '', sums: '' }),
    },
  };
}

/** 0 where true, `excluded` elsewhere. */
function hideUnless(build: Builder, seen: string): string {
  return build.op('Where', [seen, build.float([0], []), build.float([excluded], [])]);
}

interface Part {
  /** [B,H,n,p,D] */
  readonly keys: string;
  /** [B,H,n,p,E] */
  readonly values: string;
  /** [B or 1,H or 1,n,b or 1,p] */
  readonly bias: string;
}

/** Globals and summaries of what blocks evict, as each block finds them and as the call leaves them. */
function evict(
  build: Builder,
  stream: Stream,
  given: Given & { readonly recent: { readonly keys: string; readonly values: string }; readonly inputs: Inputs },
): { parts: Part[]; state: Pick<State, 'globals' | 'scores' | 'codes' | 'sums'> } {
  const { recent, inputs, options, constants, state } = given;
  const { chosen, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const heads = inputs.heads.length;
  const width = D + E + 1;
  const rows = (value: string, table: string, size: number) => rowsOf(build, value, table, size, heads);
  const toSteps = (value: string, ...sizes: number[]) =>
    build.op('Reshape', [value, build.int64([0, 0, -1, ...sizes])]);
  const after = build.op('Add', [stream.count, build.int64([1])]);
  const inBlocks = (value: string) => build.op('Slice', [value, build.int64([0]), stream.count, build.int64([2])]);
  const step = build.op('Reshape', [stream.ended, build.int64([-1, 1, 1])]);
  /** What the call leaves: of tables [B,H,n+1,…], for each row the one behind the last block it ended. */
  const atEnd = (value: string, ...sizes: number[]) => {
    const flat = sizes.reduce((a, b) => a * b, 1);
    const table = build.op('Reshape', [
      value,
      build.op('Concat', [build.int64([0, 0]), after, build.int64([flat])], { axis: 0 }),
    ]);
    return build.op('Reshape', [rows(table, step, flat), build.int64([0, 0, ...sizes])]);
  };

  const keys = rows(recent.keys, stream.evicted.rows, D);
  const shape = build.op('Slice', [build.op('Shape', [keys]), build.int64([0]), build.int64([3])]);
  const ones = build.op('Expand', [build.float([1], []), build.op('Concat', [shape, build.int64([1])], { axis: 0 })]);
  const values = rows(recent.values, stream.evicted.rows, E);
  const fresh = build.op('Concat', [keys, values, ones], { axis: 3 });
  const freshCodes = codes > 0 ? codesOf(build, keys, constants, options) : undefined;
  const known = (value: string, before: string | undefined) =>
    before ? build.op('Concat', [before, value], { axis: 2 }) : value;

  const parts: Part[] = [];
  let best: { rows: string; codes: string; present: string; scores: string } | undefined;
  if (chosen > 0) {
    const top = prefixTop(build, ranked(build, stream, { ...given, keys }), { heads, size: chosen });
    const table = build.op('Reshape', [top.items, build.int64([0, 0, -1])]);
    const all = known(fresh, state?.globals);
    const allCodes = freshCodes && known(freshCodes, state?.codes);
    const column = allCodes && build.op('Reshape', [allCodes, build.int64([0, 0, -1, 1])]);
    const none = () => build.op('Mul', [top.items, build.int64([0])]);
    best = {
      rows: toSteps(rows(all, table, width), chosen, width),
      codes: column ? toSteps(rows(column, table, 1), chosen) : none(),
      present: build.op('Greater', [top.scores, build.float([nothing / 2], [])]),
      scores: top.scores,
    };
    const mine = inBlocks(best.rows);
    const bias = hideUnless(build, inBlocks(best.present));
    parts.push({
      keys: columns(build, mine, 0, D),
      values: columns(build, mine, D, D + E),
      bias: toSteps(bias, 1, chosen),
    });
  }
  let sums: string | undefined;
  if (freshCodes) {
    const oneHot = (indices: string, present: string) => {
      const hits = build.op('Equal', [
        build.op(
          'Unsqueeze',
          build.opset >= 13 ? [indices, build.int64([-1])] : [indices],
          build.opset >= 13 ? {} : { axes: [-1] },
        ),
        build.int64(Array.from({ length: codes }, (_, c) => c)),
      ]);
      const weight = build.op('Cast', [present], { to: float32 });
      return build.op('Mul', [build.op('Cast', [hits], { to: float32 }), weight]);
    };
    const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 2, 4, 3] });
    const column = (value: string) => build.op('Reshape', [value, build.int64([0, 0, -1, 1])]);
    const coded = toSteps(oneHot(freshCodes, column(stream.evicted.present)), queryBlock, codes);
    const added = build.op('MatMul', [flip(coded), toSteps(fresh, queryBlock, width)]);
    const begun = build.op('Slice', [added, build.int64([0]), build.int64([1]), build.int64([2])]);
    let start = build.op('Mul', [begun, build.float([0], [])]);
    if (state) {
      start = toSteps(state.sums, codes, width);
      if (chosen > 0) {
        const present = build.op('Greater', [state.scores, build.float([nothing / 2], [])]);
        const held = toSteps(oneHot(state.codes, column(present)), chosen, codes);
        start = build.op('Add', [start, build.op('MatMul', [flip(held), toSteps(state.globals, chosen, width)])]);
      }
    }
    sums = build.op('CumSum', [build.op('Concat', [start, added], { axis: 2 }), build.int64([2], [])]);
    if (best) {
      const present = build.op(
        'Unsqueeze',
        build.opset >= 13 ? [best.present, build.int64([4])] : [best.present],
        build.opset >= 13 ? {} : { axes: [4] },
      );
      const taken = build.op('MatMul', [flip(oneHot(best.codes, present)), best.rows]);
      sums = build.op('Sub', [sums, taken]);
    }
    parts.push(summaries(build, inBlocks(sums), { D, E, codes }));
  }
  return {
    parts,
    state: {
      globals: best ? atEnd(best.rows, chosen, width) : '',
      scores: best ? atEnd(best.scores, chosen) : '',
      codes: best ? atEnd(best.codes, chosen) : '',
      sums: sums ? atEnd(sums, codes, width) : '',
    },
  };
}

/** Per group of evicted keys the best of it by static score, behind what was best before the call. */
function ranked(
  build: Builder,
  stream: Stream,
  { keys, inputs, options, constants, state }: Given & { readonly keys: string; readonly inputs: Inputs },
) {
  const { chosen } = sizes(options);
  const heads = inputs.heads.length;
  const none = build.float([nothing], []);
  const shape3 = build.op('Slice', [build.op('Shape', [keys]), build.int64([0]), build.int64([3])]);
  const score =
    numberOption(options, 'globals') > 0
      ? build.op('Reshape', [build.op('MatMul', [keys, constants('query')]), build.int64([0, 0, -1])])
      : build.op('Expand', [none, shape3]);
  const lifted = build.op('Where', [stream.evicted.sink, build.float([1e9], []), score]);
  const counted = build.op('Where', [stream.evicted.present, lifted, none]);
  const grouped = build.op('Reshape', [counted, build.int64([0, 0, -1, queryBlock])]);
  const most = Math.min(chosen, queryBlock);
  const [scores, at = ''] = build.ops('TopK', [grouped, build.int64([most])], 2, { axis: 3 });
  const first = state ? chosen : 0;
  const numbers = build.op('Range', [
    build.int64([0], []),
    build.op('Reshape', [stream.count, build.int64([], [0])]),
    build.int64([1], []),
  ]);
  const offset = build.op('Add', [build.op('Mul', [numbers, build.int64([queryBlock])]), build.int64([first])]);
  const items = build.op('Add', [at, build.op('Reshape', [offset, build.int64([-1, 1])])]);
  const lead = build.op('Concat', [sizeOf(build, keys, 0), build.int64([heads])], { axis: 0 });
  const filled = (value: string, fill: string) => {
    if (most === chosen) return value;
    const rest = build.op('Concat', [lead, stream.count, build.int64([chosen - most])], { axis: 0 });
    return build.op('Concat', [value, build.op('Expand', [fill, rest])], { axis: 3 });
  };
  const row = build.op('Concat', [lead, build.int64([1, chosen])], { axis: 0 });
  const before = state
    ? build.op('Reshape', [state.scores, build.int64([0, 0, 1, -1])])
    : build.op('Expand', [none, row]);
  const places = build.int64(Array.from({ length: chosen }, (_, i) => (state ? i : 0)));
  return {
    scores: build.op('Concat', [before, filled(scores, none)], { axis: 2 }),
    items: build.op('Concat', [build.op('Expand', [places, row]), filled(items, build.int64([0], []))], { axis: 2 }),
  };
}

/** Code of every key [B,H,X,D] → int64 [B,H,X]. */
function codesOf(build: Builder, keys: string, constants: Constants, options: Options): string {
  const name = `keys${options.codes}`;
  const products = build.op('MatMul', [keys, constants(`${name}.weights`)]);
  const affinity = build.op('Add', [products, constants(`${name}.offsets`)]);
  return build.op('ArgMax', [affinity], { axis: 3, keepdims: 0 });
}

/** Pseudo-keys of sums [B,H,n,C,D+E+1]; a code with less than half a key left is none (far-field.ts). */
function summaries(build: Builder, sums: string, { D, E, codes }: { D: number; E: number; codes: number }): Part {
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
    bias: build.op('Reshape', [bias, build.int64([0, 0, -1, 1, codes])]),
  };
}

/** Part of the last axis of [.,.,.,.,·]. */
function columns(build: Builder, value: string, from: number, to: number): string {
  return build.op('Slice', [value, build.int64([from]), build.int64([to]), build.int64([4])]);
}
