/**
 * A row of a state in the place of a key cache (key-state.ts): what is read from it and written to it.
 *
 *   [ mark | tokens | state of each group of linear heads | zeros ]    constant
 *   [ hidden | keys | values ] of P tokens, [ zeros ]                  of the exact heads
 *
 * In a cache of float16 each number of the constant part is two halves (halves.ts); keys and values that were halves stay such.
 * The mark is a number made of the plans: a state of another plan fails in a Gather whose index is out of range.
 */
import type { Builder, MadeOnce } from '../onnx/build.js';
import { madeOnce } from '../onnx/build.js';
import { keepsState } from './assign-plans.js';
import { foreignState } from './foreign-state.js';
import { joinHalves, splitHalves } from './halves.js';
import type { Kept } from './kept-keys.js';
import { sizeOf } from './lower/exact-blocked.js';
import { excluded } from './lower/key-set.js';
import type { Lowering } from './lower/lowering.js';
import { lowerings } from './lower/registry.js';
import { isStreamLowering, type StreamLowering, type Streams } from './lower/stream-attention.js';
import type { State } from './lower/stream-state.js';
import { formatGroup, type HeadGroup, type SitePlan } from './plan.js';
import { type KeyCache, type KeysAndValues, keyHeadOf, type Site } from './site.js';
import { namesGiven } from './state-interface.js';

/** The lowering of a group that keeps a state, undefined for one that reads keys. */
export function streamOf({ plan }: HeadGroup): StreamLowering | undefined {
  const lowering: Lowering = lowerings[plan.name];
  return isStreamLowering(lowering) ? lowering : undefined;
}

/** How a row of the batch is laid out, in numbers. */
export function rowOf({ site, groups }: Pick<SitePlan, 'site' | 'groups'>) {
  const states = groups.flatMap((group) => {
    const { heads, plan } = group;
    return streamOf(group)?.stateShape(site, heads.length, plan.options) ?? [];
  });
  const parts = states.flatMap((state) => Object.values(state).map(product)).filter((size) => size > 0);
  const used = [...header, ...parts].reduce((a, b) => a + b);
  const step = site.kvHeads * site.valueDim;
  const constant = Math.ceil(used / step) * step;
  const kept = keptHeads(site, groups);
  const half = site.operands.elemType === float16;
  return {
    half,
    /** Numbers in the cache that the constant part takes. */
    room: half ? 2 * constant : constant,
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
  const { cache } = plan.site.operands;
  if (!cache || cache.begins) return undefined;
  const perTokenBefore = keyBytes(plan.site);
  if (!keepsState(plan)) return { constant: 0, perToken: perTokenBefore, perTokenBefore };
  return { ...stateSize(plan), perTokenBefore };
}

/** Bytes that cross-attention reads from a cache for each token of its memory; undefined where it reads none. */
export function memorySize(site: Site): { perToken: number } | undefined {
  return site.kind === 'cross' && site.pastKeyValues ? { perToken: keyBytes(site) } : undefined;
}

/** Of the key and value of one token in all key heads. */
function keyBytes({ kvHeads, headDim, valueDim, operands }: Site): number {
  return kvHeads * (headDim + valueDim) * (operands.elemType === float16 ? 2 : 4);
}

/** Bytes of a site's state for one row of the batch, as it is or would be in the place of a cache. */
export function stateSize(plan: Pick<SitePlan, 'site' | 'groups'>): { constant: number; perToken: number } {
  const { half, room, perToken } = rowOf(plan);
  const bytes = half ? 2 : 4;
  return { constant: bytes * room, perToken: bytes * perToken };
}

const [float32, int64, float16] = [1, 7, 10];

/** The mark and the number of tokens. */
const header = [2];
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

/** The mark differs from plan to plan (FNV-1a), and is below 2²⁴, or 2²⁰ where two halves hold it. */
export function sharedState(plans: readonly Pick<SitePlan, 'site' | 'groups'>[], prefix: string): SharedState {
  // Branches may call their values what they like, and have them in any order.
  const nameOf = ({ subgraph, output, operands }: Site) => (subgraph ? operands.cache?.past.key : output);
  const layers = plans.map(({ site, groups }) => [nameOf(site), ...groups.map(formatGroup)].join('; '));
  const text = (plans.some(({ site }) => site.subgraph) ? layers.sort() : layers).join('; ');
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  const most = plans.some(({ site }) => site.operands.elemType === float16) ? 0xffffe : 0xfffffe;
  return { mark: 1 + (hash % most), streams: new Map(), once: madeOnce(), prefix };
}

export interface Before {
  readonly length: string;
  readonly states: readonly State[];
  /** Tokens in the cache, padding among them [1]. */
  readonly past: string;
  /** Absent where no head is exact. */
  readonly kept?: Kept;
}
export interface Packing {
  readonly cache: KeyCache;
  readonly past: KeysAndValues;
  readonly row: ReturnType<typeof rowOf>;
  readonly shared: SharedState;
}

export function unpack(build: Builder, site: Site, { past, row, shared }: Packing): Before {
  const { half, room, states, sizes, rest, constant, kept, perToken } = row;
  const tokens = shared.once('tokens', () => sizeOf(build, past.key, 2));
  const given = build.op('Reshape', [past.value, build.int64([0, -1])]);
  const numbers = half ? build.op('Cast', [given], { to: float32 }) : given;
  const zeros = shared.once(`zeros ${room}`, () => zerosFor(build, past.key, room));
  // What grows is not copied along.
  const own = perToken > 0 ? build.op('Slice', [numbers, ...[0, room, 1].map((at) => build.int64([at]))]) : numbers;
  const filled = build.op('Concat', [own, zeros], { axis: 1 });
  const part = (from: number) =>
    build.op('Slice', [filled, build.int64([from]), build.int64([from + constant]), build.int64([1])]);
  const whole = half ? joinHalves(build, part(0), part(constant)) : part(0);
  const [head = '', ...flat] = splitInto(build, whole, rest > 0 ? [...sizes, rest] : sizes);
  const length = shared.once('length', () => checkedLength(build, { head, mark: shared.mark, tokens }));
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
  let from = build.int64([room]);
  const grown = (each: number, shape: readonly number[]) => {
    const end = build.op('Add', [from, build.op('Mul', [tokens, build.int64([each])])]);
    const part = build.op('Slice', [numbers, from, end, build.int64([1])]);
    from = end;
    return build.op('Reshape', [part, build.int64(shape)]);
  };
  const hidden = grown(1, [0, 1, 1, -1]);
  return {
    ...before,
    kept: {
      // A half is −∞ where a bias hides a key.
      hidden: half ? build.op('Max', [hidden, build.float([excluded], [])]) : hidden,
      keys: grown(kept.length * site.headDim, [0, kept.length, -1, site.headDim]),
      values: grown(kept.length * site.valueDim, [0, kept.length, -1, site.valueDim]),
    },
  };
}

/** What a text begins with, for as many rows as there are new tokens for. */
export function emptyPast(
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

/**
 * Tokens of each row, int64 [B,1], as `head` [B,2] says; where a state that is not empty bears another mark, onnxruntime stops at this
 * Gather. It is all that a call reads back of a state that lies on a GPU, at once: how many blocks there are, and whether one ends, is
 * made of it.
 */
function checkedLength(build: Builder, { head, mark, tokens }: { head: string; mark: number; tokens: string }): string {
  const numbers = build.op('Cast', [head], { to: int64 });
  const column = (at: number) => build.op('Gather', [numbers, build.int64([at])], { axis: 1 });
  const distance = build.op('Mul', [build.op('Sub', [column(0), build.int64([mark])]), tokens]);
  const ours = build.op('Equal', [distance, build.int64([0])]);
  const index = build.op('Where', [ours, build.int64([0]), build.int64([foreignState])]);
  return build.op('Mul', [column(1), build.op('Gather', [build.int64([1]), index], { axis: 0 })]);
}

export function pack(
  build: Builder,
  site: Site,
  given: Packing & { readonly length: string; readonly parts: readonly string[]; readonly kept?: Kept },
): void {
  const { cache, past, row, shared, length, parts, kept } = given;
  const { half, rest, step } = row;
  const count = shared.once('count', () => build.op('Cast', [length], { to: 1 }));
  const marked = shared.once('marked', () =>
    build.op('Add', [build.op('Mul', [count, build.float([0], [])]), build.float([shared.mark], [])]),
  );
  const zeros = rest > 0 ? [shared.once(`zeros ${rest}`, () => zerosFor(build, past.key, rest))] : [];
  const whole = build.op('Concat', [marked, count, ...parts, ...zeros], { axis: 1 });
  const flat = (value: string) => build.op('Reshape', [value, build.int64([0, -1])]);
  const growing = kept && [kept.hidden, kept.keys, kept.values].map(flat);
  const fixed = half ? splitHalves(build, whole) : whole;
  const numbers = growing ? joinTo(build, [fixed, ...growing], { like: past.key, step }) : fixed;
  const state = build.op('Reshape', [numbers, build.int64([0, site.kvHeads, -1, site.valueDim])]);
  build.rename(typed(build, site, state), namesGiven(site, cache, shared.prefix).value);
}

/** Rows [B,·] behind one another, and zeros up to a multiple of `step`; rows of the batch as in `like`. */
function joinTo(build: Builder, rows: readonly string[], { like, step }: { like: string; step: number }): string {
  const size = rows.map((row) => sizeOf(build, row, 1)).reduce((a, b) => build.op('Add', [a, b]));
  const over = build.op('Mod', [size, build.int64([step])]);
  const missing = build.op('Mod', [build.op('Sub', [build.int64([step]), over]), build.int64([step])]);
  const shape = build.op('Concat', [sizeOf(build, like, 0), missing], { axis: 0 });
  const zeros = build.op('Expand', [build.float([0], [1, 1]), shape]);
  return build.op('Concat', [...rows, zeros], { axis: 1 });
}

/** Float32 in the type of the cache. */
export function typed(build: Builder, { operands: { elemType } }: Site, value: string): string {
  return elemType === float32 ? value : build.op('Cast', [value], { to: elemType });
}
