/**
 * How the axes of a tensor lie, slowest first, one letter an axis:
 *
 *   b batch   p another batch axis (windows, frames)   h heads   g key heads, r the query heads that share one
 *   n tokens   d head width   1 an axis of size 1   (bh) batch and heads in one axis   (hd) heads and width in one axis
 *
 * What a layout has no letter for is of size 1: `nd` is one head of one sequence.
 */
import { constant, type Dim, multiply } from '../onnx/dims.js';

export type Layout = string;

/** The order of [batch, heads, tokens, width]; what comes before n is batch and heads. */
const order = ['b', 'p', '(bh)', 'h', 'g', 'r', '1', 'n', 'd', '(hd)'];

/** The axes of a layout, one string each. */
export function axesOf(layout: Layout): string[] {
  return layout.match(/\(\w+\)|\w/g) ?? [];
}

/** Where an axis stands; −1 where the layout has none of it. */
export function axisOf(layout: Layout, axis: string): number {
  return axesOf(layout).indexOf(axis);
}

/** The permutation that brings a layout's axes into the order batch, heads, tokens, width. */
export function orderOf(layout: Layout): number[] {
  const axes = axesOf(layout);
  return axes.map((_, axis) => axis).sort((a, b) => order.indexOf(axes[a] ?? '') - order.indexOf(axes[b] ?? ''));
}

export const isInOrder = (permutation: readonly number[]) => permutation.every((from, to) => from === to);

/** Axes before tokens and width, in order. */
export function leadingAxes(layout: Layout): string[] {
  const axes = axesOf(layout);
  return orderOf(layout)
    .map((axis) => axes[axis] ?? '')
    .slice(0, -2);
}

/** Sizes of a tensor in a layout. `folded` is batch times heads where they share an axis. */
export interface Sizes {
  readonly heads?: Dim;
  readonly folded?: Dim;
  readonly tokens?: Dim;
  readonly width?: Dim;
}

export function sizesIn(layout: Layout, shape: readonly Dim[] | undefined): Sizes {
  if (!shape) return {};
  const at = (axis: string) => shape[axisOf(layout, axis)];
  const [groups, repeats] = [at('g'), at('r')];
  const heads = groups && repeats ? multiply(groups, repeats) : (at('h') ?? constant(1));
  const tokens = at('n');
  if (layout.includes('(hd)')) return { tokens };
  const folded = at('(bh)');
  return { ...(folded ? { folded } : { heads }), tokens, width: at('d') };
}
