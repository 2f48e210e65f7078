/**
 * What the fused forms share: what of an operator is understood at all, expressions for masks and key caches, and the
 * site itself. An input, attribute or output that is not understood is a refusal that names it, never a guess.
 */
import { add, constant, type Dim, equal, multiply, toNumber } from '../../onnx/dims.js';
import { call, type Expr, float, ints } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { axisOf } from '../layout.js';
import { proveMask, sumOf } from '../mask.js';
import { index } from '../prove/affine.js';
import type { KeyCache, Operand, Operands } from '../site.js';
import { isSelf, originOf, sharesSource } from '../trace.js';
import { ungrouped } from './heads.js';
import { freshBias, keyCacheOf } from './key-cache.js';
import type { CheckedSite, Outcome, Scope } from './pattern.js';

const [float32, bool, int64] = [1, 9, 7];
const hidden = float(Number.NEGATIVE_INFINITY);

/** What a pattern reads of its operator. */
export interface Understood {
  /** Names of the inputs in order; from `reads` on, an input that is given is refused. */
  readonly inputs: readonly string[];
  readonly reads: number;
  /** Attributes with the one value that is understood, or undefined for any. Those not listed are refused. */
  readonly attributes: Readonly<Record<string, number | string | undefined>>;
  /** Outputs that a rewrite reproduces; further ones are refused where something reads them. */
  readonly outputs: number;
}

/** The first thing about a node that is not understood, as a refusal; undefined of none. */
export function beyond(node: NodeProto, { graph }: Scope, known: Understood): { refused: string } | undefined {
  const input = node.input.findIndex((value, i) => value && i >= known.reads);
  if (input >= 0) return { refused: `input ${known.inputs[input] ?? input} (${node.input[input]}) is not supported` };
  for (const { name = '', f, i, s } of node.attribute) {
    const value = f ?? (s?.length ? new TextDecoder().decode(s) : Number(i ?? 0));
    const fits = Object.hasOwn(known.attributes, name) && [undefined, value].includes(known.attributes[name]);
    if (!fits) return { refused: `attribute ${name} = ${value} is not supported: no longer softmax(q·k + bias)·v` };
  }
  const output = node.output.find(
    (value, i) => i >= known.outputs && (graph.isOutput(value) || graph.consumers(value).length > 0),
  );
  return output ? { refused: `output ${output} is read: a rewrite would have to drop or recompute it` } : undefined;
}

/** Length of an axis, int64 []. */
export const sizeOf = (expr: Expr | string, axis: number) => call('Gather', [call('Shape', [expr]), axis], { axis: 0 });
/** 0 … count − 1 */
export const iota = (count: Expr) => call('Range', [0, count, 1]);
/**
 * Whole numbers of any type as int64. Lengths that a graph has as int64, and casts for its operator, are taken before that: onnxruntime has
 * such casts on a GPU, and would read back what they give.
 */
export function toInts({ graph, shapes }: Scope, value: string, dims: readonly number[]): Expr {
  const [source = ''] = graph.producer(value)?.opType === 'Cast' ? (graph.producer(value)?.input ?? []) : [];
  const own = source && shapes(graph, source).elemType === int64 ? { value: source } : undefined;
  return call('Reshape', [own ?? call('Cast', [value], { to: int64 }), ints(dims)]);
}

export function slice(expr: Expr | string, axis: number, start: number | Expr, end: number | Expr): Expr {
  const vector = (at: number | Expr) => (typeof at === 'number' ? ints([at]) : call('Reshape', [at, ints([-1])]));
  return call('Slice', [expr, vector(start), vector(end), ints([axis])]);
}

/** [B,H,N,D] of a tensor in another layout. */
export function headsFirst({ expr, layout }: Operand, heads: number, width: number): Expr {
  if (layout === 'bhnd') return expr;
  const split = layout === 'bnhd' ? expr : call('Reshape', [expr, ints([0, 0, heads, width])]);
  return call('Transpose', [split], { perm: [0, 2, 1, 3] });
}

/** Keys or values with a cache before them, by heads where there is one or one is `wanted` of them. */
export function cached(
  side: Operand,
  { heads, width, past, wanted }: { heads: number; width: number; past?: Expr | string; wanted?: string },
): Operand {
  if (!past && !wanted) return side;
  const fresh = headsFirst(side, heads, width);
  return { expr: past ? call('Concat', [past, fresh], { axis: 2 }) : fresh, layout: 'bhnd' };
}

/** Keys once a cache [B,H,P,D] or [2,B,H,P,D] is joined before them, as far as it is proven. */
export function joined(scope: Scope, past: string | undefined, fresh: Dim | undefined): Dim | undefined {
  const before = past ? scope.shapes(scope.graph, past).shape?.at(-2) : constant(0);
  return before && fresh && add(before, fresh);
}

/** True for keys that are hidden, [B,S] → an addend [B,1,1,S]. */
export function keyBias(isHidden: Expr, low: Expr = hidden): Expr {
  return call('Reshape', [call('Where', [isHidden, low, float(0)]), ints([0, 1, 1, -1])]);
}

/**
 * Hides keys beyond the position of a query, and those `window` and more before it.
 *
 * @param positions of the queries, [B or 1, 1, N, 1]
 * @param keys how many, []
 */
export function causalBias(positions: Expr, keys: Expr, window?: number): Expr {
  const key = iota(keys);
  const later = call('Less', [positions, key]);
  const outside = window && call('Or', [later, call('Less', [call('Add', [key, window - 1]), positions])]);
  return call('Where', [outside || later, hidden, float(0)]);
}

/** Positions i + S − N of N queries before S keys, as the argument of causalBias. */
export function lastPositions(queries: Expr, keys: Expr): Expr {
  return call('Reshape', [call('Range', [call('Sub', [keys, queries]), keys, 1]), ints([1, 1, -1, 1])]);
}

/**
 * A padding mask of com.microsoft operators as an addend: [B,S] of 0 and 1, lengths [B] (padding on the right), or ends
 * and starts [2B]. Undefined for other forms.
 */
export function paddingBias(scope: Scope, mask: string, batch: Dim | undefined, keys: Expr, low: number) {
  const shape = scope.shapes(scope.graph, mask).shape;
  if (shape?.length === 2) return keyBias(call('Not', [call('Cast', [mask], { to: bool })]), float(low));
  const parts = [1, 2].find((n) => shape?.length === 1 && batch && equal(shape[0], multiply(batch, constant(n))));
  if (!parts) return undefined;
  const bounds = toInts(scope, mask, [parts, -1, 1]);
  const bound = (i: number) => call('Gather', [bounds, i], { axis: 0 });
  const seen = call('Less', [iota(keys), bound(0)]);
  const started = parts === 1 ? seen : call('And', [seen, call('Not', [call('Less', [iota(keys), bound(1)])])]);
  return keyBias(call('Not', [started]), float(low));
}

/** A mask [B,N,S] of 0 and 1 of com.microsoft operators as an addend [B,1,N,S]. */
export function pairBias(mask: string, low: number): Expr {
  const sizes = call('Shape', [mask]);
  const shape = call('Concat', [slice(sizes, 0, 0, 1), ints([1]), slice(sizes, 0, 1, 3)], { axis: 0 });
  return call('Where', [call('Cast', [call('Reshape', [mask, shape])], { to: bool }), float(0), float(low)]);
}

export interface FusedSite {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** Values that q and k are read back from to tell self- from cross-attention. */
  readonly origins: { readonly q: string; readonly k: string };
  /** How many queries and keys there are, as far as it is proven. */
  readonly tokens: { readonly queries: Dim | undefined; readonly keys: Dim | undefined };
  /** Masks and biases that the operator adds, values of the graph or made from such, still to be proven. */
  readonly added?: readonly (string | Expr)[];
  /** Addend [B,1,1,S] that hides padded keys. */
  readonly padding?: Expr;
  /** Addend that hides later keys, and those outside of `window`. */
  readonly causal?: Expr;
  readonly window?: number;
  /** The operator gives zeros where a query may look at no key. */
  readonly guarded?: boolean;
  /** A cache is joined in by the operator itself. */
  readonly past: boolean;
  /** Keys are of the queries' own sequence by what the operator is. */
  readonly self?: boolean;
  /** There is one query, which stands behind all of its cache. */
  readonly single?: boolean;
  readonly rotary?: boolean;
  readonly heads: number;
  readonly kvHeads?: number;
  readonly headDim: number | undefined;
  readonly valueDim: number | undefined;
  readonly scale: number | undefined;
  readonly context: Operands['context'];
  /** Names and contents of the caches that come out; those without a name are not asked for. */
  readonly present?: readonly (readonly [value: string | undefined, expr: Expr])[];
  /** The cache, where a state can take its place. */
  readonly cache?: KeyCache;
}

/** The site of a fused operator, once its masks are proven. `scale` undefined means 1/√D, the operators' default. */
export function fusedSite(scope: Scope, given: FusedSite): Outcome<CheckedSite> {
  const site = (given.kvHeads ?? given.heads) === given.heads ? regrouped(scope, given) : given;
  const { heads, kvHeads = heads, headDim, valueDim, added = [], padding, causal, window } = site;
  if (!isCount(heads) || !isCount(kvHeads) || heads % kvHeads !== 0)
    return {
      refused: `${heads || 'unknown'} query heads on ${kvHeads || 'unknown'} key heads: not a whole number each`,
    };
  if (!isCount(headDim) || !isCount(valueDim))
    return { refused: `head widths ${headDim ?? 'unknown'} of Q and K, ${valueDim ?? 'unknown'} of V: not proven` };
  const exprs = added.map((value) => (typeof value === 'string' ? addend(scope, value) : value));
  const place = {
    addends: exprs.map((expr) => ({ expr, at: places })),
    keyTensor: { expr: site.k.expr, axis: axisOf(site.k.layout, 'n') },
  };
  const proven = proveMask(scope, { heads, ...site.tokens, ...place });
  const known = 'found' in proven ? proven.found : undefined;
  const keys = [...(padding ? [padding] : []), ...(known?.keyBias ? [known.keyBias] : [])];
  const [q, k] = [originOf(scope, site.origins.q), originOf(scope, site.origins.k)];
  const same = site.self || site.origins.q === site.origins.k || sharesSource(q, k);
  const gain = site.scale ?? 1 / Math.sqrt(headDim);
  const past = site.past || (k.past && !site.self);
  const lengthOf = (value: string) => scope.shapes(scope.graph, value).shape?.at(-2);
  const sliding = window ? { left: window - 1, right: 0 } : known?.sliding;
  const names = new Set([
    ...(known?.mask ?? 'bias').split('+'),
    window && 'sliding',
    causal && 'causal',
    padding && 'padding',
  ]);
  const terms = ['bias', 'alibi', 'sliding', 'causal', 'padding'].filter((name) => names.has(name));
  const plain = terms.every((term) => term === 'padding');
  const whole = [...(causal ? [causal] : []), ...(padding ? [padding] : []), ...exprs.map(toRank4)];
  const onKeys = keys.length > 0 ? sumOf(keys) : undefined;
  const own = site.cache && { keyBias: onKeys && freshBias(onKeys, site.cache), ...site.cache };
  const cache = own ?? keyCacheOf(scope, { k: site.k, v: site.v, keyBias: onKeys });
  const operands: Operands = {
    q: site.q,
    k: site.k,
    v: site.v,
    gain,
    scaled: { q: q.scale, k: k.scale },
    aligned: !past && (same || equal(lengthOf(site.origins.q), lengthOf(site.origins.k))),
    ...(onKeys && { keyBias: onKeys }),
    ...(!plain && { bias: sumOf(whole) }),
    ...(!plain && site.guarded && { guarded: true }),
    ...(sliding && { sliding }),
    ...(known?.slopes && { slopes: known.slopes }),
    context: site.context,
    ...(cache && { cache }),
    present: site.present?.flatMap(([value, expr]) => (value ? [{ value, expr }] : [])),
    elemType: scope.shapes(scope.graph, site.origins.q).elemType || float32,
  };
  const checked: CheckedSite = {
    kind: same || isSelf(scope, q, k) ? 'self' : 'cross',
    causal: Boolean(causal || known?.causal || (site.single && site.past)),
    mask: terms.join('+') || 'none',
    heads,
    kvHeads,
    headDim,
    valueDim,
    scale: gain * q.scale * k.scale,
    positional: known?.slopes ? 'alibi' : site.rotary || (q.rotary && k.rotary) ? 'rope' : 'none',
    pastKeyValues: past,
    operands,
  };
  return 'found' in proven ? { found: checked } : { refused: proven.refused, site: checked };
}

/** Keys and values as they are before the graph repeats them for every head of a group. */
function regrouped(scope: Scope, site: FusedSite): FusedSite {
  const [k, v] = [site.k, site.v].map(({ expr, layout }) =>
    'value' in expr && layout === 'bhnd' ? ungrouped({ value: expr.value, layout }, site.heads, scope) : undefined,
  );
  const same = k && v && k.heads === v.heads && k.factor === 1 && v.factor === 1;
  return same ? { ...site, k: k.operand, v: v.operand, kvHeads: k.heads } : site;
}

const places = (head: Dim) => [index('@b'), head, index('@i'), index('@j')];

/** Opset 23's Attention takes masks of lower rank. */
const toRank4 = (expr: Expr): Expr => call('Expand', [expr, ints([1, 1, 1, 1])]);

/** A mask as the operator adds it: a boolean one lets a query look where it is true. */
function addend(scope: Scope, value: string): Expr {
  const { elemType } = scope.shapes(scope.graph, value);
  if (elemType === bool) return call('Where', [value, float(0), hidden]);
  return elemType === float32 ? { value } : call('Cast', [value], { to: float32 });
}

const isCount = (n: number | undefined): n is number => Number.isInteger(n) && Number(n) > 0;

/** Width of one of `heads` heads that lie side by side on an axis. */
export function headWidth(dim: Dim | undefined, heads: number): number | undefined {
  const width = toNumber(dim);
  return width === undefined ? undefined : width / heads;
}
