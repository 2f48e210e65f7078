/**
 * What becomes of the keys that leave a stream's window: globals, and sums by code (hybrid-causal.ts).
 *
 * Both go through stages, one before the call and one after each of its blocks. All of them are made at once: sums by
 * CumSum, globals by prefix-top.ts. Rows of keys are [k | v | 1 | score | code] of width W = D + E + 3 on the way.
 */

import type { Builder } from '../../onnx/build.js';
import { type Options, queryBlock } from '../plan-options.js';
import { counting, reduceOver, unsqueeze } from './blocks.js';
import { pseudoKeys } from './far-field.js';
import { hideUnless } from './key-set.js';
import type { Constants, Inputs } from './lowering.js';
import { nothing } from './prefix-scan.js';
import { prefixTop } from './prefix-top.js';
import { rowsAt, type Stream } from './stream.js';
import { flip } from './stream-attention.js';
import { type State, sizes } from './stream-state.js';
import { unlessIdle } from './unless-idle.js';

const [float32, int32] = [1, 6];

export interface Part {
  /** [B,H,n,p,D] */
  readonly keys: string;
  /** [B,H,n,p,E] */
  readonly values: string;
  /** [B or 1,H or 1,n,b or 1,p] */
  readonly bias: string;
}

/** What evict() reads: the new tokens, what is known of those before them, and the rows of both. */
export interface Evicting {
  readonly options: Options;
  readonly constants: Constants;
  readonly state?: State;
  readonly recent: { readonly keys: string; readonly values: string };
  readonly inputs: Pick<Inputs, 'site' | 'heads'>;
}

/** Globals and summaries of what blocks evict, as each block finds them and as the call leaves them. */
export function evict(
  build: Builder,
  stream: Stream,
  given: Evicting,
): { parts: Part[]; globals: string; sums: string } {
  const { chosen, codes } = sizes(given.options);
  const { headDim: D, valueDim: E } = given.inputs.site;
  const width = D + E + 3;
  const inBlocks = (value: string) => build.op('Slice', [value, build.int64([0]), stream.count, build.int64([2])]);
  /** What the call leaves: of [B,H,stages,r,W], for each row the stage after the last block it ended. */
  const atEnd = (value: string, rows: number) =>
    build.op('Reshape', [rowsAt(build, value, stream.ended, rows * width), build.int64([0, 0, rows, width])]);
  const { best, sums } = stagesOf(build, stream, { ...given, width });
  const parts: Part[] = [];
  const mine = best && inBlocks(best);
  const isHeld = mine && isGlobal(build, mine, width);
  if (mine && isHeld)
    parts.push({
      keys: columns(build, mine, 0, D),
      values: columns(build, mine, D, D + E),
      bias: flip(build, hideUnless(build, isHeld)),
    });
  if (sums) {
    let far = inBlocks(sums);
    if (mine && isHeld) {
      const held = build.op('Cast', [isHeld], { to: float32 });
      const taken = build.op('Mul', [oneHot(build, mine, { width, codes, axis: 4 }), held]);
      far = build.op('Sub', [far, build.op('MatMul', [flip(build, taken), mine])]);
    }
    parts.push(summaries(build, far, { D, E }));
  }
  return { parts, globals: best ? atEnd(best, chosen) : '', sums: sums ? atEnd(sums, codes) : '' };
}

interface Stages {
  /** Globals of every stage as rows, best first [B,H,stages,c,W]; a place that is free has score `nothing`. */
  readonly best?: string;
  /** Sums of everything evicted [B,H,stages,C,W]. */
  readonly sums?: string;
}

/** Where calls follow each other, an idle one goes on with what the state holds. */
function stagesOf(build: Builder, stream: Stream, given: Evicting & { readonly width: number }): Stages {
  const { state, options, inputs, width } = given;
  const { chosen, codes } = sizes(options);
  const tables = tablesOf(build, stream, given);
  if (!state) return evolve(build, stream, { ...given, tables });
  const heads = inputs.heads.length;
  const before = { ...(chosen > 0 && { best: state.globals }), ...(codes > 0 && { sums: state.sums }) };
  const begun: Stages = { ...before, ...(before.best && { best: build.op('Add', [before.best, tables.first()]) }) };
  const names = (['best', 'sums'] as const).filter((name) => begun[name] !== undefined);
  const rows = names.map((name) => ({ best: chosen, sums: codes })[name]);
  const inOrder = (stages: Stages) => names.map((name) => stages[name] ?? '');
  const outputs = unlessIdle(
    build,
    stream,
    { heads, rows, width },
    {
      idle: (body) => inOrder(begun).map((value) => unsqueeze(body, value, 2)),
      evict: (body) =>
        inOrder(evolve(body, stream, { ...given, state: { ...state, globals: begun.best ?? '' }, tables })),
    },
  );
  return Object.fromEntries(names.map((name, i) => [name, outputs[i]]));
}

/** What all layers of a stream share: made when it is first asked for, outside of the branches that read it. */
function tablesOf(build: Builder, stream: Stream, { inputs, options, state, width }: Evicting & { width: number }) {
  const { chosen, codes } = sizes(options);
  const heads = inputs.heads.length;
  const once = (key: string, make: () => string) => () => stream.once(key, make);
  // Candidates by number, as floats: what becomes of them depends on keys, and onnxruntime has no whole numbers of 64 bits on a GPU.
  const items = (numbers: string) => build.op('Cast', [numbers], { to: float32 });
  const sized = (key: string, make: () => string) => once(`${key} ${chosen} ${codes} ${width}`, make);
  const lead = once('lead', () =>
    build.op('Slice', [build.op('Shape', [stream.evicted]), build.int64([0]), build.int64([2])]),
  );
  const shaped = (value: string, ...sizes: string[]) =>
    build.op('Expand', [value, build.op('Concat', [lead(), ...sizes], { axis: 0 })]);
  // A row like any other, but for its score: what the places are filled with that hold nothing yet.
  const score = build.float(
    Float32Array.from({ length: width }, (_, i) => (i === width - 2 ? nothing : 0)),
    [width],
  );
  const none = () => build.float([nothing], [1]);
  const row = build.int64([1, chosen]);
  const missing = () => [stream.count, build.int64([chosen - queryBlock])];
  const places = Array.from({ length: chosen }, (_, i) => (state ? i + 1 : 0));
  // Candidates before the evicted ones: the free row, and what was best before the call.
  const ahead = build.int64([state ? chosen + 1 : 1]);
  return {
    ones: once('ones', () => {
      const shape = build.op('Concat', [build.op('Shape', [stream.evicted]), build.int64([1])], { axis: 0 });
      return build.op('Expand', [build.float([1], []), shape]);
    }),
    weight: once('weight', () => build.op('Cast', [stream.present], { to: float32 })),
    free: sized('free', () => shaped(score, build.int64([1, width]))),
    first: sized('first', () => build.op('Mul', [stream.begins, score])),
    noScores: sized('no scores', () => shaped(none(), row)),
    noSums: sized('no sums', () => shaped(build.float([0], [1]), build.int64([1, codes, width]))),
    firstItems: sized('first items', () => items(shaped(build.int64(places), row))),
    missingScores: sized('missing scores', () => shaped(none(), ...missing())),
    missingItems: sized('missing items', () => items(shaped(build.int64([0]), ...missing()))),
    // The candidates that each block evicts [n,b].
    evicted: sized('evicted', () => {
      const all = counting(build, build.op('Mul', [stream.count, build.int64([queryBlock])]));
      return items(build.op('Reshape', [build.op('Add', [all, ahead]), build.int64([-1, queryBlock])]));
    }),
    base: sized('base', () => {
      const evicted = build.op('Mul', [stream.count, build.int64([queryBlock])]);
      const length = build.op('Add', [evicted, ahead]);
      const first = build.op('Reshape', [stream.base(build, length), build.int64([-1, heads, 1, 1])]);
      return build.op('Cast', [first], { to: int32 });
    }),
  };
}

type Evolving = Evicting & { readonly width: number; readonly tables: ReturnType<typeof tablesOf> };

/** All stages of globals and sums from what every block evicts. */
function evolve(build: Builder, stream: Stream, given: Evolving): Stages {
  const { options, state, width, tables } = given;
  const { chosen, codes } = sizes(options);
  const fresh = evictedRows(build, stream, given);
  const best = chosen > 0 ? bestOfPrefixes(build, { ...given, stream, fresh }) : undefined;
  if (codes === 0) return { best };
  const blocks = (value: string, size: number) =>
    build.op('Reshape', [value, build.int64([0, 0, -1, queryBlock, size])]);
  const hits = build.op('Mul', [oneHot(build, fresh, { width, codes, axis: 3 }), tables.weight()]);
  const added = build.op('MatMul', [flip(build, blocks(hits, codes)), blocks(fresh, width)]);
  const start = state ? unsqueeze(build, state.sums, 2) : tables.noSums();
  const sums = build.op('CumSum', [build.op('Concat', [start, added], { axis: 2 }), build.int64([2], [])]);
  return { ...(best && { best }), sums };
}

/** [k | v | 1 | score | code] of everything that blocks evict [B,H,n·b,W]. */
function evictedRows(build: Builder, stream: Stream, { recent, inputs, options, constants, tables }: Evolving): string {
  const { globals, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const none = build.float([nothing], []);
  const keys = rowsAt(build, recent.keys, stream.evicted, D);
  const values = rowsAt(build, recent.values, stream.evicted, E);
  const scored = globals > 0 ? build.op('MatMul', [keys, constants('query')]) : build.op('Mul', [tables.ones(), none]);
  const lifted = build.op('Where', [stream.sink, build.float([1e9], []), scored]);
  const score = build.op('Where', [stream.present, lifted, none]);
  const code = codes > 0 ? codesOf(build, keys, constants, codes) : tables.ones();
  return build.op('Concat', [keys, values, tables.ones(), score, code], { axis: 3 });
}

/**
 * Code of every key [B,H,X,D] → float32 [B,H,X,1]: the first of those it is nearest to. Not by ArgMax, whose whole numbers onnxruntime
 * takes off a GPU to make floats of them.
 */
function codesOf(build: Builder, keys: string, constants: Constants, codes: number): string {
  const products = build.op('MatMul', [keys, constants(`keys${codes}.weights`)]);
  const affinity = build.op('Add', [products, constants(`keys${codes}.offsets`)]);
  const nearest = build.op('Equal', [affinity, reduceOver(build, 'ReduceMax', affinity, 3)]);
  const which = build.op('Where', [nearest, numbered(build, codes), build.float([codes], [])]);
  return reduceOver(build, 'ReduceMin', which, 3);
}

/** 0, 1, … [C] */
function numbered(build: Builder, codes: number): string {
  return build.float(
    Float32Array.from({ length: codes }, (_, c) => c),
    [codes],
  );
}

function bestOfPrefixes(
  build: Builder,
  { fresh, stream, width, options, state, tables }: Evolving & { readonly fresh: string; readonly stream: Stream },
): string {
  const { chosen } = sizes(options);
  const before = state ? [state.globals] : [];
  const candidates = build.op('Concat', [tables.free(), ...before, fresh], { axis: 2 });
  const scoreOf = (value: string, size: number) => {
    const column = columns(build, value, width - 2, width - 1, 3);
    return build.op('Reshape', [column, build.int64([0, 0, -1, size])]);
  };
  const most = Math.min(chosen, queryBlock);
  const scores = scoreOf(fresh, queryBlock);
  const [top, at = ''] = build.ops('TopK', [scores, build.int64([most])], 2, { axis: 3 });
  const evicted = build.op('Expand', [tables.evicted(), build.op('Shape', [scores])]);
  const items = build.op('GatherElements', [evicted, at], { axis: 3 });
  const filled = (value: string, missing: () => string) =>
    most === chosen ? value : build.op('Concat', [value, missing()], { axis: 3 });
  const first = state ? scoreOf(state.globals, chosen) : tables.noScores();
  const best = prefixTop(
    build,
    {
      scores: build.op('Concat', [first, filled(top, tables.missingScores)], { axis: 2 }),
      items: build.op('Concat', [tables.firstItems(), filled(items, tables.missingItems)], { axis: 2 }),
    },
    { runs: stream.runs(), size: chosen },
  );
  const rows = build.op('Add', [build.op('Cast', [best.items], { to: int32 }), tables.base()]);
  return rowsAt(build, candidates, rows, width);
}

/** bool [.,.,.,c,1] of rows [.,.,.,c,W] */
function isGlobal(build: Builder, rows: string, width: number): string {
  return build.op('Greater', [columns(build, rows, width - 2, width - 1), build.float([nothing / 2], [])]);
}

/** [..,C] of the codes of rows [..,W]. */
function oneHot(build: Builder, rows: string, given: { width: number; codes: number; axis: number }): string {
  const { width, codes, axis } = given;
  const code = columns(build, rows, width - 1, width, axis);
  return build.op('Cast', [build.op('Equal', [code, numbered(build, codes)])], { to: float32 });
}

/** Pseudo-keys of sums [B,H,n,C,W]. */
function summaries(build: Builder, sums: string, { D, E }: { D: number; E: number }): Part {
  const { keys, values, bias } = pseudoKeys(build, {
    keys: columns(build, sums, 0, D),
    values: columns(build, sums, D, D + E),
    count: columns(build, sums, D + E, D + E + 1),
  });
  return { keys, values, bias: flip(build, bias) };
}

/** Part of the last axis, which is `axis`. */
function columns(build: Builder, value: string, from: number, to: number, axis = 4): string {
  return build.op('Slice', [value, build.int64([from]), build.int64([to]), build.int64([axis])]);
}
