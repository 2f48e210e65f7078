/**
 * A key cache of constant size, for an unmodified generate(): the graph takes in and gives out what it did, under the same
 * names, with another content.
 *
 *   past.key, present.key       [B,1,P,0]: no bytes, only the number of tokens, which is what the rest of the graph and
 *                               the caller read of a cache
 *   past.value, present.value   [B,G,R,E]: the state of every linear head (lower/stream-state.ts), behind it the keys
 *                               and values of key heads that some exact head reads, which go on growing
 *
 * A row of the batch is one list of numbers, cut into G·E so that every axis but the rows is what it was: callers that
 * make the first, empty cache from the declared sizes make one that fits, callers that reorder rows for beam search do.
 *
 *   [ mark | tokens | state of each group of linear heads | zeros ]    constant
 *   [ hidden | keys | values ] of P tokens, [ zeros ]                  of the exact heads
 *
 * The mark is a number made of the plans: a state of another plan fails in a Gather whose index is out of range.
 */
import { type Builder, type MadeOnce, madeOnce } from '../onnx/build.js';
import { bindInputs } from './bind.js';
import { bindKept, type Kept, withFresh } from './kept-keys.js';
import { sizeOf } from './lower/exact-blocked.js';
import type { Constants, Lowering } from './lower/lowering.js';
import { lowerings } from './lower/registry.js';
import { isStreamLowering, type StreamLowering, type Streams } from './lower/stream-attention.js';
import type { State } from './lower/stream-state.js';
import { formatGroup, type HeadGroup, keepsState, type SitePlan } from './plan.js';
import { type KeyCache, type KeysAndValues, keyHeadOf, type Site } from './site.js';
import { namesGiven } from './state-interface.js';

/** The lowering of a group that keeps a state, undefined for one that reads keys. */
function streamOf({ plan }: HeadGroup): StreamLowering | undefined {
  const lowering: Lowering = lowerings[plan.name];
  return isStreamLowering(lowering) ? lowering : undefined;
}

/** How a row of the batch is laid out, in numbers. */
function rowOf({ site, groups }: Pick<SitePlan, 'site' | 'groups'>) {
  const states = groups.flatMap((group) => {
    const { heads, plan } = group;
    return streamOf(group)?.stateShape(site, heads.length, plan.options) ?? [];
  });
  const parts = states.flatMap((state) => Object.values(state).map(product)).filter((size) => size > 0);
  const used = [...header, ...parts].reduce((a, b) => a + b);
  const step = site.kvHeads * site.valueDim;
  const constant = Math.ceil(used / step) * step;
  const kept = keptHeads(site, groups);
  return {
    states,
    /** Mark, tokens and the parts of all states, and the zeros behind them. */
    sizes: [...header, ...parts],
    rest: constant - used,
    constant,
    kept,
    perToken: kept.length === 0 ? 0 : kept.length * (site.headDim + site.valueDim) + 1,
    step,
  };
}

/** Bytes of a site's cache for one row of the batch; undefined where it has none in plain sight, or another branch says it. */
export function cacheSize(plan: Pick<SitePlan, 'site' | 'groups'>) {
  const { cache, elemType } = plan.site.operands;
  if (!cache || cache.begins) return undefined;
  const { kvHeads, headDim, valueDim } = plan.site;
  const perTokenBefore = kvHeads * (headDim + valueDim) * (elemType === 10 ? 2 : 4);
  if (!keepsState(plan)) return { constant: 0, perToken: perTokenBefore, perTokenBefore };
  const { constant, perToken } = rowOf(plan);
  return { constant: 4 * constant, perToken: 4 * perToken, perTokenBefore };
}

/** The mark and the number of tokens. */
const header = [1, 1];
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Key heads that some exact head reads. */
function keptHeads(site: Site, groups: readonly HeadGroup[]): number[] {
  const exact = groups.filter((group) => !streamOf(group)).flatMap((group) => group.heads);
  return [...new Set(exact.map((head) => keyHeadOf(site, head)))].sort((a, b) => a - b);
}

/**
 * What the layers of one decoder share: they have the same tokens before them, which the first of them says, and one mark. The
 * branches of an If have the mark in common, and no values.
 */
export interface SharedState {
  readonly mark: number;
  readonly streams: Streams;
  readonly once: MadeOnce;
  /** Begins the names of what a branch gives out. */
  readonly prefix: string;
}

/** A number below 2²⁴ that differs from plan to plan (FNV-1a). */
export function sharedState(plans: readonly Pick<SitePlan, 'site' | 'groups'>[], prefix: string): SharedState {
  const text = plans
    .map(({ site, groups }) => [site.operands.cache?.past.key, ...groups.map(formatGroup)].join('; '))
    .sort()
    .join('; ');
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return { mark: 1 + (hash % 0xfffffe), streams: new Map(), once: madeOnce(), prefix };
}

/** Contexts of the groups in their order; gives out the state. `constantsOf` are those of a group. */
export function lowerWithState(
  build: Builder,
  { site, groups }: SitePlan,
  { constantsOf, shared }: { constantsOf: (group: HeadGroup) => Constants; shared: SharedState },
): string[] {
  const { cache } = site.operands;
  if (!cache) throw new TypeError(`site ${site.output} has no cache`);
  const fresh: Site = {
    ...site,
    operands: { ...site.operands, k: cache.k, v: cache.v, keyBias: cache.keyBias, bias: undefined, near: undefined },
  };
  const row = rowOf({ site, groups });
  const past = cache.begins ? emptyPast(build, fresh, cache.given, shared) : cache.past;
  const before = unpack(build, fresh, { cache, past, row, shared });
  const parts: string[] = [];
  const contexts: string[] = [];
  let length = '';
  let next = 0;
  const kept = before.kept && withFresh(build, fresh, { before: before.kept, heads: row.kept });
  for (const group of groups) {
    const inputs = bindInputs(build, fresh, group.heads);
    const stream = streamOf(group);
    if (!stream) {
      if (!kept) throw new TypeError(`site ${site.output} keeps no keys for ${group.plan.name}`);
      const lowering: Lowering = lowerings[group.plan.name];
      const all = bindKept(build, inputs, { kept, heads: row.kept, past: before.past });
      contexts.push(lowering.lower(build, all, group.plan.options, constantsOf(group)));
      continue;
    }
    const left = stream.attendStream(build, inputs, {
      options: group.plan.options,
      constants: constantsOf(group),
      streams: shared.streams,
      before: before.length,
      state: before.states[next++],
    });
    contexts.push(left.context);
    length = left.length;
    const { keys, values, globals, sums } = left.state;
    for (const value of [keys, values, globals, sums])
      if (value) parts.push(build.op('Reshape', [value, build.int64([0, -1])]));
  }
  pack(build, fresh, { cache, past, row, shared, length, parts, kept });
  return contexts;
}

interface Before {
  readonly length: string;
  readonly states: readonly State[];
  /** Tokens in the cache, padding among them [1]. */
  readonly past: string;
  /** Absent where no head is exact. */
  readonly kept?: Kept;
}
interface Packing {
  readonly cache: KeyCache;
  readonly past: KeysAndValues;
  readonly row: ReturnType<typeof rowOf>;
  readonly shared: SharedState;
}

function unpack(build: Builder, site: Site, { past, row, shared }: Packing): Before {
  const { states, sizes, rest, constant, kept, perToken } = row;
  const tokens = shared.once('tokens', () => sizeOf(build, past.key, 2));
  const numbers = build.op('Reshape', [past.value, build.int64([0, -1])]);
  const zeros = shared.once(`zeros ${constant}`, () => zerosFor(build, past.key, constant));
  const filled = build.op('Concat', [numbers, zeros], { axis: 1 });
  const whole = build.op('Slice', [filled, build.int64([0]), build.int64([constant]), build.int64([1])]);
  const [marked = '', counted = '', ...flat] = splitInto(build, whole, rest > 0 ? [...sizes, rest] : sizes);
  const length = shared.once('length', () => {
    const fits = checked(build, { marked, mark: shared.mark, tokens });
    return build.op('Mul', [build.op('Cast', [counted], { to: 7 }), fits]);
  });
  let next = 0;
  const read = (shape: readonly number[]) =>
    product(shape) > 0 ? build.op('Reshape', [flat[next++], build.int64([0, ...shape])]) : '';
  const before = {
    length,
    states: states.map(({ keys, values, globals, sums }) => ({
      keys: read(keys),
      values: read(values),
      globals: read(globals),
      sums: read(sums),
    })),
    past: tokens,
  };
  if (perToken === 0) return before;
  let from = build.int64([constant]);
  const grown = (each: number, shape: readonly number[]) => {
    const end = build.op('Add', [from, build.op('Mul', [tokens, build.int64([each])])]);
    const part = build.op('Slice', [numbers, from, end, build.int64([1])]);
    from = end;
    return build.op('Reshape', [part, build.int64(shape)]);
  };
  return {
    ...before,
    kept: {
      hidden: grown(1, [0, 1, 1, -1]),
      keys: grown(kept.length * site.headDim, [0, kept.length, -1, site.headDim]),
      values: grown(kept.length * site.valueDim, [0, kept.length, -1, site.valueDim]),
    },
  };
}

/** What a text begins with, for as many rows as there are new tokens for. */
function emptyPast(
  build: Builder,
  { kvHeads, valueDim }: Site,
  given: KeysAndValues,
  { once }: SharedState,
): KeysAndValues {
  const none = (sizes: readonly number[]) =>
    once(`none ${sizes}`, () => {
      const rows = once('rows', () => sizeOf(build, given.key, 0));
      return build.op('ConstantOfShape', [build.op('Concat', [rows, build.int64(sizes)], { axis: 0 })]);
    });
  return { key: none([1, 0, 0]), value: none([kvHeads, 0, valueDim]) };
}

/** Zeros [B,count] for the rows of `like`. */
function zerosFor(build: Builder, like: string, count: number): string {
  const shape = build.op('Concat', [sizeOf(build, like, 0), build.int64([count])], { axis: 0 });
  return build.op('Expand', [build.float([0], [1, 1]), shape]);
}

/** [B,X] in pieces of these sizes. */
function splitInto(build: Builder, value: string, sizes: readonly number[]): string[] {
  return build.opset >= 13
    ? build.ops('Split', [value, build.int64(sizes)], sizes.length, { axis: 1 })
    : build.ops('Split', [value], sizes.length, { axis: 1, split: sizes });
}

/** 1 [B,1]; where a state that is not empty bears another mark, onnxruntime stops at this Gather. */
function checked(build: Builder, { marked, mark, tokens }: { marked: string; mark: number; tokens: string }): string {
  const ours = build.op('Equal', [build.op('Sub', [marked, build.float([mark], [])]), build.float([0], [])]);
  const first = build.op('Equal', [tokens, build.int64([0])]);
  const index = build.op('Where', [build.op('Or', [ours, first]), build.int64([0]), build.int64([foreignState])]);
  return build.op('Gather', [build.int64([1]), index], { axis: 0 });
}

/** The index onnxruntime names when it is handed a state that another plan or model made. */
export const foreignState = 20190117;

function pack(
  build: Builder,
  site: Site,
  given: Packing & { readonly length: string; readonly parts: readonly string[]; readonly kept?: Kept },
): void {
  const { cache, past, row, shared, length, parts, kept } = given;
  const { rest, step } = row;
  const count = shared.once('count', () => build.op('Cast', [length], { to: 1 }));
  const marked = shared.once('marked', () =>
    build.op('Add', [build.op('Mul', [count, build.float([0], [])]), build.float([shared.mark], [])]),
  );
  const zeros = rest > 0 ? [shared.once(`zeros ${rest}`, () => zerosFor(build, past.key, rest))] : [];
  const whole = build.op('Concat', [marked, count, ...parts, ...zeros], { axis: 1 });
  const flat = (value: string) => build.op('Reshape', [value, build.int64([0, -1])]);
  const growing = kept && [kept.hidden, kept.keys, kept.values].map(flat);
  const numbers = growing ? padTo(build, build.op('Concat', [whole, ...growing], { axis: 1 }), step) : whole;
  const state = build.op('Reshape', [numbers, build.int64([0, site.kvHeads, -1, site.valueDim])]);
  build.rename(state, namesGiven(site, cache, shared.prefix).value);
}

/** Zeros behind [B,X] up to a multiple of `step`. */
function padTo(build: Builder, row: string, step: number): string {
  const size = sizeOf(build, row, 1);
  const whole = build.op('Mul', [
    build.op('Div', [build.op('Add', [size, build.int64([step - 1])]), build.int64([step])]),
    build.int64([step]),
  ]);
  const pads = build.op('Concat', [build.int64([0, 0, 0]), build.op('Sub', [whole, size])], { axis: 0 });
  return build.op('Pad', [row, pads]);
}

/** Gives out the number of tokens: [B,1,P + N,0]. */
export function lengthCarrier(build: Builder, site: Site, { prefix }: SharedState): void {
  const { cache } = site.operands;
  if (!cache) throw new TypeError(`site ${site.output} has no cache`);
  const { begins, past, given } = cache;
  const tokens = begins
    ? sizeOf(build, given.key, 2)
    : build.op('Add', [sizeOf(build, past.key, 2), build.emit(cache.tokens)]);
  const rows = sizeOf(build, begins ? given.key : past.key, 0);
  const shape = build.op('Concat', [rows, build.int64([1]), tokens, build.int64([0])], { axis: 0 });
  build.rename(build.op('ConstantOfShape', [shape]), namesGiven(site, cache, prefix).key);
}
