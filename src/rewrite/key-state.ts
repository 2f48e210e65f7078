/**
 * A key cache of constant size, for an unmodified generate(): the graph takes in and gives out what it did, under the same
 * names, with another content.
 *
 *   past.key, present.key       [B,1,P,0]: no bytes, only the number of tokens, which is what the rest of the graph and
 *                               the caller read of a cache
 *   past.value, present.value   [B,G,R,E]: the state of every linear head (lower/hybrid-causal.ts), behind it the keys
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
import type { Builder } from '../onnx/build.js';
import { bindInputs } from './bind.js';
import { counting } from './lower/blocks.js';
import { sizeOf } from './lower/exact-blocked.js';
import { attendStream, type State, stateShape } from './lower/hybrid-causal.js';
import { excluded } from './lower/key-set.js';
import type { Constants, Inputs, Lowering } from './lower/lowering.js';
import { nothing } from './lower/prefix-top.js';
import { lowerings } from './lower/registry.js';
import { formatPlan, type HeadGroup, type SitePlan } from './plan.js';
import type { KeyCache, Site } from './site.js';

/** True for a plan that keeps a state in the place of its site's key cache. */
export function keepsState({ site, groups }: Pick<SitePlan, 'site' | 'groups'>): boolean {
  return site.operands.cache !== undefined && groups.some(isLinear);
}

const isLinear = ({ plan }: HeadGroup) => plan.name === 'hybrid-causal';

/** Numbers of a row of the batch that do not grow, and those that every token adds. */
export function stateSize({ site, groups }: Pick<SitePlan, 'site' | 'groups'>): { constant: number; perToken: number } {
  const linear = groups
    .filter(isLinear)
    .flatMap(({ heads, plan }) => Object.values(stateShape(site, heads.length, plan.options)));
  const constant = linear.reduce((sum, shape) => sum + product(shape), header);
  const kept = keptHeads(site, groups).length;
  return {
    constant: roundUp(constant, site.kvHeads * site.valueDim),
    perToken: kept === 0 ? 0 : kept * (site.headDim + site.valueDim) + 1,
  };
}

const header = 2;
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const roundUp = (size: number, step: number) => Math.ceil(size / step) * step;

/** Key heads that some exact head reads. */
function keptHeads({ heads, kvHeads }: Site, groups: readonly HeadGroup[]): number[] {
  const exact = groups.filter((group) => !isLinear(group)).flatMap((group) => group.heads);
  return [...new Set(exact.map((head) => Math.floor((head * kvHeads) / heads)))].sort((a, b) => a - b);
}

/** Contexts of the groups in their order; gives out the state. `constantsOf` are those of a group. */
export function lowerWithState(
  build: Builder,
  { site, groups }: SitePlan,
  constantsOf: (group: HeadGroup) => Constants,
): string[] {
  const { cache } = site.operands;
  if (!cache) throw new TypeError(`site ${site.output} has no cache`);
  const fresh: Site = {
    ...site,
    operands: { ...site.operands, k: cache.k, v: cache.v, keyBias: cache.keyBias, bias: undefined, near: undefined },
  };
  const before = unpack(build, fresh, cache, groups);
  const parts: string[] = [];
  const contexts: string[] = [];
  let length = before.length;
  const exactHeads = keepExact(build, fresh, groups, before);
  for (const group of groups) {
    const inputs = bindInputs(build, fresh, group.heads);
    if (!isLinear(group)) {
      const lowering: Lowering = lowerings[group.plan.name];
      contexts.push(lowering.lower(build, exactHeads(inputs), group.plan.options, constantsOf(group)));
      continue;
    }
    const { context, state } = attendStream(build, inputs, {
      options: group.plan.options,
      constants: constantsOf(group),
      state: before.states[parts.length],
    });
    contexts.push(context);
    length = state.length;
    parts.push(flatState(build, state));
  }
  pack(build, fresh, cache, { length, mark: before.mark, parts, kept: exactHeads.kept });
  return contexts;
}

interface Before {
  readonly mark: string;
  readonly length: string;
  readonly states: readonly State[];
  /** Tokens in the cache, padding among them [1]. */
  readonly past: string;
  /** hidden [B,1,1,P], keys [B,K,P,D], values [B,K,P,E]; absent where no head is exact. */
  readonly kept?: Kept;
}
interface Kept {
  readonly hidden: string;
  readonly keys: string;
  readonly values: string;
}

function unpack(build: Builder, site: Site, { past }: KeyCache, groups: readonly HeadGroup[]): Before {
  const { constant, perToken } = stateSize({ site, groups });
  const batch = sizeOf(build, past.key, 0);
  const tokens = sizeOf(build, past.key, 2);
  const row = build.op('Reshape', [past.value, build.int64([0, -1])]);
  const zeros = build.op('Expand', [
    build.float([0], [1, 1]),
    build.op('Concat', [batch, build.int64([constant])], { axis: 0 }),
  ]);
  const filled = build.op('Concat', [row, zeros], { axis: 1 });
  const take = (from: number, size: number) =>
    build.op('Slice', [filled, build.int64([from]), build.int64([from + size]), build.int64([1])]);
  const mark = markOf(site, groups);
  const [marked, counted] = [take(0, 1), take(1, 1)];
  const fits = checked(build, { marked, mark, tokens });
  const length = build.op('Mul', [build.op('Cast', [counted], { to: 7 }), fits]);
  let at = header;
  const states = groups.filter(isLinear).map(({ heads, plan }): State => {
    const parts = Object.entries(stateShape(site, heads.length, plan.options)).map(([name, shape]) => {
      const size = product(shape);
      const value = size > 0 ? build.op('Reshape', [take(at, size), build.int64([0, ...shape])]) : '';
      at += size;
      return [name, value] as const;
    });
    const state = Object.fromEntries(parts) as Omit<State, 'length'>;
    // A first state is all zeros, and 0 is a score like any other.
    const empty = build.op('Equal', [build.op('Reshape', [length, build.int64([-1, 1, 1])]), build.int64([0])]);
    const scores = state.scores && build.op('Where', [empty, build.float([nothing], []), state.scores]);
    return { ...state, length, scores, codes: state.codes && build.op('Cast', [state.codes], { to: 7 }) };
  });
  if (perToken === 0) return { mark: build.float([mark], [1, 1]), length, states, past: tokens };
  const heads = keptHeads(site, groups).length;
  let from = build.int64([constant]);
  const next = (each: number, shape: readonly number[]) => {
    const end = build.op('Add', [from, build.op('Mul', [tokens, build.int64([each])])]);
    const part = build.op('Slice', [row, from, end, build.int64([1])]);
    from = end;
    return build.op('Reshape', [part, build.int64(shape)]);
  };
  const kept = {
    hidden: next(1, [0, 1, 1, -1]),
    keys: next(heads * site.headDim, [0, heads, -1, site.headDim]),
    values: next(heads * site.valueDim, [0, heads, -1, site.valueDim]),
  };
  return { mark: build.float([mark], [1, 1]), length, states, past: tokens, kept };
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

/** A number below 2²⁴ that differs from plan to plan (FNV-1a). */
function markOf({ output }: Site, groups: readonly HeadGroup[]): number {
  const text = output + groups.map(({ heads, plan }) => `${heads.join()} ${formatPlan(plan)}`).join('; ');
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return 1 + (hash % 0xfffffe);
}

function flatState(build: Builder, { length: _, ...parts }: State): string {
  const flat = Object.entries(parts)
    .filter(([, value]) => value)
    .map(([name, value]) => {
      const float = name === 'codes' ? build.op('Cast', [value], { to: 1 }) : value;
      return build.op('Reshape', [float, build.int64([0, -1])]);
    });
  return build.op('Concat', flat, { axis: 1 });
}

/** What exact heads attend: the kept keys with the new ones behind them. */
function keepExact(build: Builder, site: Site, groups: readonly HeadGroup[], before: Before) {
  const heads = keptHeads(site, groups);
  let all: Kept | undefined;
  const joined = (): Kept => {
    if (all || !before.kept) return all ?? { hidden: '', keys: '', values: '' };
    const own = bindInputs(build, { ...site, heads: site.kvHeads }, heads);
    const hidden = own.keyBias ?? noneHidden(build, own.k);
    const batch = build.op('Concat', [sizeOf(build, own.k, 0), build.int64([1, 1]), sizeOf(build, own.k, 2)], {
      axis: 0,
    });
    all = {
      hidden: build.op('Concat', [before.kept.hidden, build.op('Expand', [hidden, batch])], { axis: 3 }),
      keys: build.op('Concat', [before.kept.keys, own.k], { axis: 2 }),
      values: build.op('Concat', [before.kept.values, own.v], { axis: 2 }),
    };
    return all;
  };
  const bind = (inputs: Inputs): Inputs => {
    const { hidden, keys, values } = joined();
    const own = build.int64(inputs.heads.map((head) => heads.indexOf(Math.floor((head * site.kvHeads) / site.heads))));
    const [k, v] = [keys, values].map((value) => build.op('Gather', [value, own], { axis: 1 }));
    const tokens = sizeOf(build, inputs.q, 2);
    return {
      ...inputs,
      k,
      v,
      kT: () => build.op('Transpose', [k], { perm: [0, 1, 3, 2] }),
      keyBias: hidden,
      bias: (inner, rows) => {
        const places = inner.op('Add', [rows ?? counting(inner, tokens), before.past]);
        const keyPlaces = counting(inner, inner.op('Add', [before.past, tokens]));
        const later = inner.op('Less', [inner.op('Reshape', [places, inner.int64([-1, 1])]), keyPlaces]);
        const causal = inner.op('Where', [later, inner.float([excluded], []), inner.float([0], [])]);
        return inner.op('Add', [causal, hidden]);
      },
    };
  };
  return Object.assign(bind, {
    get kept() {
      return before.kept && joined();
    },
  });
}

/** Zeros [1,1,1,N] for keys [B,G,N,D]. */
function noneHidden(build: Builder, k: string): string {
  const one = build.op('Slice', [k, build.int64([0, 0]), build.int64([1, 1]), build.int64([1, 3])]);
  const zero = build.op('Cast', [build.op('Less', [one, one])], { to: 1 });
  return build.op('Transpose', [zero], { perm: [0, 1, 3, 2] });
}

function pack(
  build: Builder,
  site: Site,
  { present }: KeyCache,
  given: { length: string; mark: string; parts: readonly string[]; kept?: Kept },
): void {
  const { length, mark, parts, kept } = given;
  const step = site.kvHeads * site.valueDim;
  const count = build.op('Cast', [length], { to: 1 });
  const marks = build.op('Add', [build.op('Mul', [count, build.float([0], [])]), mark]);
  const constant = padTo(build, build.op('Concat', [marks, count, ...parts], { axis: 1 }), step);
  const flat = (value: string) => build.op('Reshape', [value, build.int64([0, -1])]);
  const row = kept
    ? padTo(
        build,
        build.op('Concat', [constant, flat(kept.hidden), flat(kept.keys), flat(kept.values)], { axis: 1 }),
        step,
      )
    : constant;
  build.rename(build.op('Reshape', [row, build.int64([0, site.kvHeads, -1, site.valueDim])]), present.value);
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
export function lengthCarrier(build: Builder, cache: KeyCache): void {
  const tokens = build.op('Add', [sizeOf(build, cache.past.key, 2), build.emit(cache.tokens)]);
  const shape = build.op('Concat', [sizeOf(build, cache.past.key, 0), build.int64([1]), tokens, build.int64([0])], {
    axis: 0,
  });
  build.rename(build.op('ConstantOfShape', [shape]), cache.present.key);
}
