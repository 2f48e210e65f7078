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
import { attendStream, type Streams } from './lower/hybrid-causal.js';
import { excluded } from './lower/key-set.js';
import type { Constants, Inputs, Lowering } from './lower/lowering.js';
import { lowerings } from './lower/registry.js';
import { type State, stateShape } from './lower/stream-state.js';
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

/** Bytes of a site's cache for one row of the batch; undefined where it has none in plain sight. */
export function cacheSize(plan: Pick<SitePlan, 'site' | 'groups'>) {
  const { cache, elemType } = plan.site.operands;
  if (!cache) return undefined;
  const { kvHeads, headDim, valueDim } = plan.site;
  const perTokenBefore = kvHeads * (headDim + valueDim) * (elemType === 10 ? 2 : 4);
  if (!keepsState(plan)) return { constant: 0, perToken: perTokenBefore, perTokenBefore };
  const { constant, perToken } = stateSize(plan);
  return { constant: 4 * constant, perToken: 4 * perToken, perTokenBefore };
}

const header = 2;
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const roundUp = (size: number, step: number) => Math.ceil(size / step) * step;

/** Key heads that some exact head reads. */
function keptHeads({ heads, kvHeads }: Site, groups: readonly HeadGroup[]): number[] {
  const exact = groups.filter((group) => !isLinear(group)).flatMap((group) => group.heads);
  return [...new Set(exact.map((head) => Math.floor((head * kvHeads) / heads)))].sort((a, b) => a - b);
}

/**
 * What the layers of one decoder share: they have the same tokens before them, which the first of them says, and one mark.
 */
export interface SharedState {
  readonly mark: number;
  readonly streams: Streams;
  /** What makes the shared values, at the first layer that needs them. */
  readonly made: Map<string, string>;
}

/** A number below 2²⁴ that differs from plan to plan (FNV-1a). */
export function sharedState(plans: readonly Pick<SitePlan, 'site' | 'groups'>[]): SharedState {
  const text = plans
    .flatMap(({ site, groups }) => [site.output, ...groups.map(({ heads, plan }) => `${heads} ${formatPlan(plan)}`)])
    .join('; ');
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return { mark: 1 + (hash % 0xfffffe), streams: new Map(), made: new Map() };
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
  const before = unpack(build, fresh, { cache, groups, shared });
  const parts: string[] = [];
  const contexts: string[] = [];
  let length = '';
  let next = 0;
  const exactHeads = keepExact(build, fresh, groups, before);
  for (const group of groups) {
    const inputs = bindInputs(build, fresh, group.heads);
    if (!isLinear(group)) {
      const lowering: Lowering = lowerings[group.plan.name];
      contexts.push(lowering.lower(build, exactHeads(inputs), group.plan.options, constantsOf(group)));
      continue;
    }
    const { context, state, stream } = attendStream(build, inputs, {
      options: group.plan.options,
      constants: constantsOf(group),
      streams: shared.streams,
      before: before.length,
      state: before.states[next++],
    });
    contexts.push(context);
    length = stream.length;
    for (const value of [state.keys, state.values, state.globals, state.sums])
      if (value) parts.push(build.op('Reshape', [value, build.int64([0, -1])]));
  }
  pack(build, fresh, { cache, groups, shared, length, parts, kept: exactHeads.kept });
  return contexts;
}

interface Before {
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
interface Packing {
  readonly cache: KeyCache;
  readonly groups: readonly HeadGroup[];
  readonly shared: SharedState;
}

function once({ made }: SharedState, key: string, make: () => string): string {
  const value = made.get(key) ?? make();
  made.set(key, value);
  return value;
}

function unpack(build: Builder, site: Site, { cache: { past }, groups, shared }: Packing): Before {
  const { constant, perToken } = stateSize({ site, groups });
  const tokens = once(shared, 'tokens', () => sizeOf(build, past.key, 2));
  const row = build.op('Reshape', [past.value, build.int64([0, -1])]);
  const zeros = once(shared, `zeros ${constant}`, () => {
    const shape = build.op('Concat', [sizeOf(build, past.key, 0), build.int64([constant])], { axis: 0 });
    return build.op('Expand', [build.float([0], [1, 1]), shape]);
  });
  const filled = build.op('Concat', [row, zeros], { axis: 1 });
  const whole = build.op('Slice', [filled, build.int64([0]), build.int64([constant]), build.int64([1])]);
  const shapes = groups
    .filter(isLinear)
    .map(({ heads, plan }) => Object.entries(stateShape(site, heads.length, plan.options)));
  const sizes = [
    1,
    1,
    ...shapes.flatMap((parts) => parts.map(([, shape]) => product(shape))).filter((size) => size > 0),
  ];
  const rest = constant - sizes.reduce((a, b) => a + b, 0);
  const all = rest > 0 ? [...sizes, rest] : sizes;
  const [marked = '', counted = '', ...flat] = splitInto(build, whole, all);
  const length = once(shared, 'length', () => {
    const fits = checked(build, { marked, mark: shared.mark, tokens });
    return build.op('Mul', [build.op('Cast', [counted], { to: 7 }), fits]);
  });
  let next = 0;
  const states = shapes.map((parts): State => {
    const read = parts.map(([name, shape]) => {
      const value = product(shape) > 0 ? build.op('Reshape', [flat[next++], build.int64([0, ...shape])]) : '';
      return [name, value] as const;
    });
    return Object.fromEntries(read) as unknown as State;
  });
  if (perToken === 0) return { length, states, past: tokens };
  const heads = keptHeads(site, groups).length;
  let from = build.int64([constant]);
  const grown = (each: number, shape: readonly number[]) => {
    const end = build.op('Add', [from, build.op('Mul', [tokens, build.int64([each])])]);
    const part = build.op('Slice', [row, from, end, build.int64([1])]);
    from = end;
    return build.op('Reshape', [part, build.int64(shape)]);
  };
  const kept = {
    hidden: grown(1, [0, 1, 1, -1]),
    keys: grown(heads * site.headDim, [0, heads, -1, site.headDim]),
    values: grown(heads * site.valueDim, [0, heads, -1, site.valueDim]),
  };
  return { length, states, past: tokens, kept };
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
  given: Packing & { readonly length: string; readonly parts: readonly string[]; readonly kept?: Kept },
): void {
  const { cache, groups, shared, length, parts, kept } = given;
  const { constant } = stateSize({ site, groups });
  const count = once(shared, 'count', () => build.op('Cast', [length], { to: 1 }));
  const marked = once(shared, 'marked', () =>
    build.op('Add', [build.op('Mul', [count, build.float([0], [])]), build.float([shared.mark], [])]),
  );
  const used = groups
    .filter(isLinear)
    .flatMap(({ heads, plan }) => Object.values(stateShape(site, heads.length, plan.options)).map(product))
    .reduce((a, b) => a + b, header);
  const rest = constant - used;
  const zeros = once(shared, `rest ${rest}`, () => {
    const shape = build.op('Concat', [sizeOf(build, count, 0), build.int64([rest])], { axis: 0 });
    return build.op('Expand', [build.float([0], [1, 1]), shape]);
  });
  const whole = build.op('Concat', [marked, count, ...parts, ...(rest > 0 ? [zeros] : [])], { axis: 1 });
  const flat = (value: string) => build.op('Reshape', [value, build.int64([0, -1])]);
  const row = kept
    ? padTo(
        build,
        build.op('Concat', [whole, flat(kept.hidden), flat(kept.keys), flat(kept.values)], { axis: 1 }),
        site.kvHeads * site.valueDim,
      )
    : whole;
  build.rename(build.op('Reshape', [row, build.int64([0, site.kvHeads, -1, site.valueDim])]), cache.present.value);
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
