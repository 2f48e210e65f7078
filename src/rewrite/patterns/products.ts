/**
 * The two products of attention, Q·Kᵀ and P·V, however they are written: MatMul of rank 4 or of rank 3 with batch and
 * heads in one axis, onnxruntime's FusedMatMul, or Einsum with the axes in any order that a layout has a name for.
 */
import { type Dim, toNumber } from '../../onnx/dims.js';
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
import type { Layout, NearSteps } from '../site.js';
import { constantFactor, isWeight } from '../trace.js';
import type { Scope } from './pattern.js';

export interface Side {
  readonly value: string;
  readonly layout: Layout;
}

/** Q·Kᵀ. `alpha` is a factor the product applies itself. */
export interface ScoreProduct {
  readonly q: Side;
  readonly k: Side;
  readonly alpha: number;
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

/** Reads a node as Q·Kᵀ, or says what does not fit. */
export function readScores(node: NodeProto, scope: Scope): ScoreProduct | string {
  const [q = '', k = ''] = node.input;
  const terms = termsOf(node, scope);
  if (typeof terms === 'string') return terms;
  const { left, right, out } = terms;
  // Scores end in [queries, keys]; what q shares with k but not with the scores is the head width.
  const [queries = '', keys = ''] = out.slice(-2);
  const width = [...left].find((axis) => right.includes(axis) && !out.includes(axis)) ?? '';
  const [qLayout, kLayout] = [name(left, queries, width), name(right, keys, width)];
  if (!qLayout || !kLayout) return `axes ${left}, ${right} → ${out}`;
  return { q: { value: q, layout: qLayout }, k: { value: k, layout: kLayout }, alpha: alphaOf(node) };
}

/** Reads a node as P·V. */
export function readContext(node: NodeProto, scope: Scope): ContextProduct | string {
  const terms = termsOf(node, scope);
  if (typeof terms === 'string') return terms;
  const { left, right, out } = terms;
  const [queries = '', keys = ''] = left.slice(-2);
  const width = [...right].find((axis) => out.includes(axis) && !left.includes(axis)) ?? '';
  const [vLayout, context] = [name(right, keys, width), name(out, queries, width)];
  if (!vLayout || !context || alphaOf(node) !== 1) return `axes ${left}, ${right} → ${out}`;
  return { v: { value: node.input[1] ?? '', layout: vLayout }, context };
}

interface Terms {
  readonly left: string;
  readonly right: string;
  readonly out: string;
}

/** The product as an einsum with one letter an axis. */
function termsOf(node: NodeProto, { graph, shapes }: Scope): Terms | string {
  const ranks = node.input.map((input) => shapes(graph, input).shape?.length);
  if (isOp(node, 'Einsum')) {
    const equation = stringAttribute(node, 'equation') ?? '';
    const { terms: [left = '', right = ''] = [], out } = spelled(equation, ranks) ?? {};
    return out ? { left, right, out } : `Einsum ${equation}`;
  }
  const batch = ranks[0] === 4 ? 'bh' : ranks[0] === 3 ? 'f' : undefined;
  if (!batch || ranks[1] !== ranks[0]) return `ranks ${ranks.map((rank) => rank ?? 'unknown').join(' and ')}`;
  const flipped = (axes: string, flip: boolean) => batch + (flip ? [...axes].reverse().join('') : axes);
  return {
    left: flipped('ic', intAttribute(node, 'transA') === 1),
    right: flipped('cj', intAttribute(node, 'transB') === 1),
    out: `${batch}ij`,
  };
}

/** Names a layout by where its token and width axes stand. Batch and heads come in this order in all of them. */
function name(axes: string, tokens: string, width: string): Layout | undefined {
  const letters = [...axes].map((axis) => (axis === tokens ? 'n' : axis === width ? 'd' : '_')).join('');
  const layouts: Readonly<Record<string, Layout>> = {
    __nd: 'bhnd',
    __dn: 'bhdn',
    _n_d: 'bnhd',
    _nd: '(bh)nd',
    _dn: '(bh)dn',
  };
  return layouts[letters];
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

/** Sizes of a tensor in a layout. `folded` is batch times heads where they share an axis. */
export interface Sizes {
  readonly heads?: Dim;
  readonly folded?: Dim;
  readonly tokens?: Dim;
  readonly width?: Dim;
}

export function sizesOf({ value, layout }: Side, { graph, shapes }: Scope): Sizes {
  const shape = shapes(graph, value).shape;
  if (!shape) return {};
  const [a, b, c, d] = shape;
  switch (layout) {
    case 'bhnd':
      return { heads: b, tokens: c, width: d };
    case 'bhdn':
      return { heads: b, tokens: d, width: c };
    case 'bnhd':
      return { heads: c, tokens: b, width: d };
    case '(bh)nd':
      return { folded: a, tokens: b, width: c };
    case '(bh)dn':
      return { folded: a, tokens: c, width: b };
    case 'bn(hd)':
      return { tokens: b };
  }
}

/**
 * Heads of a context [B·H, N, E]: where it is next laid out with the heads side by side, the last axis is H·E.
 * Undefined when no such axis is found within a few layout nodes.
 */
export function foldedHeads(context: string, width: number, { graph, shapes }: Scope): number | undefined {
  let value = context;
  for (let step = 0; step < 6; step++) {
    const last = toNumber(shapes(graph, value).shape?.at(-1));
    if (step > 0 && last !== undefined && last !== width && last % width === 0) return last / width;
    const [reader, ...others] = graph.consumers(value);
    const data = others.length === 0 || isOp(reader, 'Reshape', 'Transpose') ? reader : undefined;
    const next = [reader, ...others].find((node) => isOp(node, 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze')) ?? data;
    if (!next || !isOp(next, 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze')) return undefined;
    value = next.output[0] ?? '';
  }
  return undefined;
}
