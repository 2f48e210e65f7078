/**
 * The two products of attention, Q·Kᵀ and P·V, however they are written: MatMul of any rank from 2 to 5, onnxruntime's
 * FusedMatMul, or Einsum with its axes in any order. Read as an einsum, a letter is what it is contracted with: scores keep
 * one axis of each side (the tokens) and lose one of both (the width); P·V loses the keys. Which side of the scores the
 * keys are is known only where they are normalised: K·Qᵀ and V·Pᵀ are attention too.
 */
import { toNumber } from '../../onnx/dims.js';
import { type AttributeValue, type Expr, hole } from '../../onnx/expr.js';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type NodeProto,
} from '../../onnx/gen/onnx.js';
import {
  floatAttribute,
  type Graph,
  intAttribute,
  intsAttribute,
  isOp,
  producerOf,
  stringAttribute,
} from '../../onnx/graph.js';
import { spelled } from '../../onnx/shape-rules/products.js';
import { type Layout, type Sizes, sizesIn } from '../layout.js';
import type { NearSteps } from '../site.js';
import { constantFactor, isWeight } from '../trace.js';
import type { Scope } from './pattern.js';

export interface Side {
  readonly value: string;
  readonly layout: Layout;
}

/** Q·Kᵀ. `alpha` is a factor the product applies itself; `axes` are the axes of the scores: b, h, …, i queries, j keys. */
export interface ScoreProduct {
  readonly q: Side;
  readonly k: Side;
  readonly alpha: number;
  readonly axes: readonly string[];
}

/** P·V, and the layout of its result. */
export interface ContextProduct {
  readonly v: Side;
  readonly context: Layout;
}

/** A product of two tensors neither of which is a weight: scores, or context. */
export function isTensorProduct(graph: Graph, node: NodeProto): boolean {
  const kind = isOp(node, 'MatMul', 'Einsum') || (node.domain === 'com.microsoft' && node.opType === 'FusedMatMul');
  return kind && node.input.length === 2 && node.input.every((input) => !isWeight(graph, input));
}

/** Reads a node as Q·Kᵀ, or as K·Qᵀ where `keysFirst`, or says what does not fit. */
export function readScores(node: NodeProto, scope: Scope, keysFirst = false): ScoreProduct | string {
  const terms = termsOf(node, scope);
  if (typeof terms === 'string') return terms;
  const { left, right, out } = terms;
  const [query, key] = keysFirst ? [right, left] : [left, right];
  const only = (mine: string, other: string) => [...out].filter((axis) => mine.includes(axis) && !other.includes(axis));
  const [ofQuery, ofKey] = [only(query, key), only(key, query)];
  const contracted = [...left].filter((axis) => right.includes(axis) && !out.includes(axis));
  const [i = '', j = ''] = [ofQuery.at(-1), ofKey.at(-1)];
  const odd = `axes ${left}, ${right} → ${out}`;
  if (contracted.length !== 1 || ofKey.length !== 1 || ofQuery.length > 2 || ofQuery.length === 0) return odd;
  const lead = [...out].filter((axis) => axis !== i && axis !== j);
  const sizeOf = (input: number, axis: string) =>
    toNumber(scope.shapes(scope.graph, node.input[input] ?? '').shape?.[[left, right][input]?.indexOf(axis) ?? -1]);
  const [queryInput, keyInput] = keysFirst ? [1, 0] : [0, 1];
  // A third leading axis that keys lack, or have only one of, counts the query heads of a key head.
  const isShared = (axis = '') =>
    !key.includes(axis) || (sizeOf(keyInput, axis) === 1 && sizeOf(queryInput, axis) !== 1);
  const names = [[], ['(bh)'], ['b', 'h'], isShared(lead[2]) ? ['b', 'g', 'r'] : ['b', 'p', 'h']][lead.length];
  const shared = names?.length === 3 || names?.length === 2 ? lead.at(-1) : undefined;
  if (!names || lead.some((axis) => !query.includes(axis) || (!key.includes(axis) && axis !== shared))) return odd;
  const role = (axis: string) => names[lead.indexOf(axis)];
  const spell = (letters: string, tokens: string, rename: (axis: string) => string | undefined): Layout =>
    [...letters].map((axis) => (axis === tokens ? 'n' : axis === contracted[0] ? 'd' : rename(axis))).join('');
  return {
    q: { value: node.input[queryInput] ?? '', layout: spell(query, i, role) },
    k: { value: node.input[keyInput] ?? '', layout: spell(key, j, (axis) => ofKeys(role(axis))) },
    alpha: alphaOf(node),
    axes: [...out].map((axis) => (axis === i ? 'i' : axis === j ? 'j' : (role(axis) ?? ''))),
  };
}

/** Reads a node as P·V or V·Pᵀ, its input `at` being P with these axes. */
export function readContext(
  node: NodeProto,
  { at, axes }: { readonly at: number; readonly axes: readonly string[] },
  scope: Scope,
): ContextProduct | string {
  const terms = termsOf(node, scope);
  if (typeof terms === 'string') return terms;
  const { left, right, out } = terms;
  const [mine, other] = at === 0 ? [left, right] : [right, left];
  const odd = `axes ${left}, ${right} → ${out}`;
  const roles = new Map([...mine].map((axis, index) => [axis, axes[index] ?? '']));
  const contracted = [...mine].filter((axis) => !out.includes(axis));
  const widths = [...other].filter((axis) => !mine.includes(axis));
  const kept = [...mine].every((axis) => out.includes(axis) || other.includes(axis));
  const fits = contracted.length === 1 && roles.get(contracted[0] ?? '') === 'j' && widths.length === 1 && kept;
  if (!fits || !out.includes(widths[0] ?? '') || mine.length !== axes.length || alphaOf(node) !== 1) return odd;
  const spell = (letters: string, tokens: string, rename: (axis: string | undefined) => string | undefined): Layout =>
    [...letters]
      .map((axis) => (axis === widths[0] ? 'd' : roles.get(axis) === tokens ? 'n' : rename(roles.get(axis))))
      .join('');
  const value = node.input[1 - at] ?? '';
  return { v: { value, layout: spell(other, 'j', ofKeys) }, context: spell(out, 'i', (role) => role) };
}

/** Keys have one head where queries have a group of them. */
function ofKeys(role: string | undefined): string | undefined {
  return role === 'g' ? 'h' : role === 'r' ? '1' : role;
}

/** The size of the axis that a product with the probabilities takes from V, and where it stands in the result. */
export function contextWidth(node: NodeProto, at: number, scope: Scope): { axis: number; size: number } | undefined {
  const terms = termsOf(node, scope);
  if (typeof terms === 'string') return undefined;
  const mine = at === 0 ? terms.left : terms.right;
  const axis = [...terms.out].findIndex((letter) => !mine.includes(letter));
  const size = toNumber(scope.shapes(scope.graph, node.output[0] ?? '').shape?.[axis]);
  return size === undefined ? undefined : { axis, size };
}

interface Terms {
  readonly left: string;
  readonly right: string;
  readonly out: string;
}

/** The product as an einsum with one letter an axis, none of them twice in a tensor. */
function termsOf(node: NodeProto, { graph, shapes }: Scope): Terms | string {
  const ranks = node.input.map((input) => shapes(graph, input).shape?.length);
  if (isOp(node, 'Einsum')) {
    const equation = stringAttribute(node, 'equation') ?? '';
    const { terms: [left = '', right = ''] = [], out } = spelled(equation, ranks) ?? {};
    const single = [left, right, out ?? ''].every((letters) => new Set(letters).size === letters.length);
    return out && single ? { left, right, out } : `Einsum ${equation}`;
  }
  const batch = ['', 'u', 'uv', 'uvw'][(ranks[0] ?? 0) - 2];
  if (batch === undefined || ranks[1] !== ranks[0])
    return `ranks ${ranks.map((rank) => rank ?? 'unknown').join(' and ')}`;
  const flipped = (axes: string, flip: boolean) => batch + (flip ? [...axes].reverse().join('') : axes);
  return {
    left: flipped('ic', intAttribute(node, 'transA') === 1),
    right: flipped('cj', intAttribute(node, 'transB') === 1),
    out: `${batch}ij`,
  };
}

function alphaOf(node: NodeProto): number {
  return node.domain === 'com.microsoft' ? (floatAttribute(node, 'alpha') ?? 1) : 1;
}

/**
 * A key before the Transpose that readies it for the product. onnxruntime folds that Transpose into the product, and
 * a lowering that wants the same rounding must leave it the chance to.
 */
export function untransposed(side: Side, { graph }: Scope): Side {
  const node = producerOf(graph, side.value);
  const swaps = node && isOp(node, 'Transpose') && `${intsAttribute(node, 'perm')}` === '0,1,3,2';
  return side.layout === 'bhdn' && swaps ? { value: node.input[0] ?? '', layout: 'bhnd' } : side;
}

/**
 * The constant factors and Transposes between a tensor and the product, as a function of that tensor.
 * onnxruntime folds them into the product, which rounds differently from computing them apart.
 */
export function nearSteps(side: Side, scope: Scope): NearSteps | undefined {
  const nodes: NodeProto[] = [];
  let value = side.value;
  let swapped = false;
  for (let node = producerOf(scope.graph, value); node; node = producerOf(scope.graph, value)) {
    const factor = isOp(node, 'Mul', 'Div') ? constantFactor(scope, node) : undefined;
    const swaps = isOp(node, 'Transpose') && `${intsAttribute(node, 'perm')}` === '0,1,3,2';
    if (!factor && !swaps) break;
    nodes.unshift(node);
    value = factor ? factor.data : (node.input[0] ?? '');
    if (swaps) swapped = !swapped;
  }
  const base = (side.layout === 'bhdn') === swapped && (side.layout === 'bhnd' || side.layout === 'bhdn');
  return base && nodes.length > 0 ? { base: value, steps: replay(nodes, value) } : undefined;
}

/** The steps once more on another tensor: `hole` stands where the first one read `from`. */
export function replay(steps: readonly NodeProto[], from: string): Expr {
  let previous = from;
  return steps.reduce<Expr>(
    (expr, step) => {
      const inputs = step.input.map((input): Expr | undefined =>
        input === previous ? expr : input ? { value: input } : undefined,
      );
      previous = step.output[0] ?? '';
      return { op: step.opType ?? '', inputs, attributes: plainAttributes(step) };
    },
    { value: hole },
  );
}

/** Attributes of an elementwise node or a Transpose, for an expression. */
function plainAttributes(node: NodeProto): Record<string, AttributeValue> {
  return Object.fromEntries(node.attribute.map((a): [string, AttributeValue] => [a.name ?? '', attributeValue(a)]));
}

function attributeValue(a: AttributeProto): AttributeValue {
  if (a.type === AttributeType.FLOAT) return { float: a.f ?? 0 };
  return a.type === AttributeType.INTS ? a.ints.map(Number) : Number(a.i ?? 0);
}

export function sizesOf({ value, layout }: Side, { graph, shapes }: Scope): Sizes {
  return sizesIn(layout, shapes(graph, value).shape);
}

/**
 * Heads of a context with batch and heads in one axis: where it is next laid out with the heads side by side, the axis
 * of its width (the last, or the second before a picture's rows) is H·E. 1 where it goes on as it is, undefined where
 * neither is seen within a few layout nodes.
 */
export function foldedHeads(
  context: string,
  { axis, size: width }: { readonly axis: number; readonly size: number },
  { graph, shapes }: Scope,
): number | undefined {
  const isView = (node: NodeProto | undefined) => isOp(node, 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze');
  let value = context;
  for (let step = 0; step < 6; step++) {
    const shape = shapes(graph, value).shape;
    const joined = toNumber(shape?.at(axis === 1 ? 1 : -1));
    if (step > 0 && joined !== undefined && joined !== width && joined % width === 0) return joined / width;
    const readers = graph.consumers(value);
    const next = readers.find(isView);
    if (!next) {
      const used = readers.length > 0 && !graph.isOutput(value);
      // Heads may be taken apart in other ways than by a view.
      return used && joined === width && !readers.some((node) => isOp(node, 'Split', 'Slice', 'Gather', 'Concat'))
        ? 1
        : undefined;
    }
    value = next.output[0] ?? '';
  }
  return undefined;
}
