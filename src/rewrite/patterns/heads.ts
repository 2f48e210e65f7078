/**
 * Heads of keys and values before the graph repeats them for groups of query heads, however it does: Expand and Reshape,
 * Tile, Concat, Gather (repeat_interleave). Proven by reading the repeated tensor at head g·a + r: an element of a tensor
 * that has an axis for a and knows nothing of r.
 */
import { add, constant, type Dim, multiply, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import { isOp, producerOf } from '../../onnx/graph.js';
import { axesOf, type Layout } from '../layout.js';
import { index } from '../prove/affine.js';
import { makeReader } from '../prove/element.js';
import { factorOf } from '../prove/term.js';
import type { Operand } from '../site.js';
import { isWeight } from '../trace.js';
import type { Scope } from './pattern.js';
import { isTensorProduct, type Side, sizesOf } from './products.js';

export interface Grouped {
  readonly operand: Operand;
  /** Heads before the repetition. */
  readonly heads: number;
  /** A constant factor between it and the product, taken off. */
  readonly factor: number;
}

/** The tensor that a side of a product repeats its heads from, or undefined where every head has its own. */
export function ungrouped(side: Side, heads: number, scope: Scope): Grouped | undefined {
  for (const kvHeads of headCounts(side, heads, scope)) {
    const found = repeatedFrom(side, { heads, kvHeads }, scope);
    if (found) return found;
  }
  return undefined;
}

/** Numbers of heads that there may have been before: sizes along the way up, past a node that repeats elements. */
function headCounts(side: Side, heads: number, { graph, shapes }: Scope): number[] {
  const sizes = new Set<number>();
  let repeats = false;
  let value = side.value;
  for (let step = 0; step < 12; step++) {
    for (const size of shapes(graph, value).shape ?? []) sizes.add(toNumber(size) ?? 0);
    const node = producerOf(graph, value);
    repeats ||= isOp(node, 'Expand', 'Tile', 'Gather', 'Concat');
    const [first = ''] = node?.input ?? [];
    if (!node || isWeight(graph, first) || isTensorProduct(graph, node)) break;
    value = first;
  }
  const smaller = [...sizes].filter((size) => size > 0 && size < heads && heads % size === 0);
  return repeats ? smaller.sort((a, b) => a - b) : [];
}

function repeatedFrom(
  side: Side,
  { heads, kvHeads }: { heads: number; kvHeads: number },
  scope: Scope,
): Grouped | undefined {
  const { tokens, width } = sizesOf(side, scope);
  if (!tokens || !width) return undefined;
  const group = constant(heads / kvHeads);
  const ranges = new Map([
    ['@a', constant(kvHeads)],
    ['@r', group],
    ['@s', tokens],
    ['@w', width],
  ]);
  const head = add(multiply(kvHeads === 1 ? constant(0) : index('@a'), group), index('@r'));
  const axes = indicesIn(side.layout, {
    b: index('@b'),
    h: head,
    '(bh)': add(multiply(index('@b'), constant(heads)), head),
    n: index('@s'),
    d: index('@w'),
  });
  if (!axes) return undefined;
  const { graph, shapes } = scope;
  const layoutAt = (value: string, at: readonly Dim[]): Layout | undefined => {
    const names = at.map(({ key }) => key.replace('1*@', ''));
    const layout = ({ 'b,a,s,w': 'bhnd', 'b,a,w,s': 'bhdn', 'b,s,a,w': 'bnhd' } as const)[
      names.map((name) => (name === '0' ? 'a' : name)).join()
    ];
    const axis = layout === 'bnhd' ? 2 : 1;
    return layout && toNumber(shapes(graph, value).shape?.[axis]) === kvHeads ? layout : undefined;
  };
  const isView = (value: string) =>
    isOp(producerOf(graph, value), 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze', 'Cast', 'Expand', 'Identity');
  // Once the place within the group is out of the indices, only a view can still be between here and the base.
  const reader = makeReader(scope, ranges, (value, at) => {
    const grouped = !at.some((place) => place.terms.has('@s')) || at.some((place) => place.terms.has('@r'));
    return layoutAt(value, at) !== undefined || (!grouped && !isView(value));
  });
  const [factor, leaf] = factorOf(reader.element({ value: side.value }, axes));
  const layout = 'leaf' in leaf ? layoutAt(leaf.leaf, leaf.at) : undefined;
  if (!layout || !('leaf' in leaf)) return undefined;
  const value: Expr = { value: leaf.leaf };
  const [own, wanted] = [shapes(graph, leaf.leaf).elemType, shapes(graph, side.value).elemType];
  const expr: Expr = own === wanted ? value : { op: 'Cast', inputs: [value], attributes: { to: wanted } };
  return { operand: { expr, layout }, heads: kvHeads, factor };
}

/** Indices of a tensor in a layout, in the order of its axes. */
function indicesIn(layout: Layout, places: Readonly<Record<string, Dim>>): Dim[] | undefined {
  const at = axesOf(layout).map((axis) => places[axis]);
  return at.every((place) => place !== undefined) ? at : undefined;
}
