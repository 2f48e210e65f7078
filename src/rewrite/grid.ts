/**
 * Where the tokens of a vision model lie: which convolution cut the image into patches, and how many tokens (class,
 * registers) stand before them. Proven from the graph for any image size, or there is no grid:
 *
 *   Conv [B,D,R,C] → flattened in row-major order, axes swapped, maybe normalised and added to → Concat behind p tokens
 *
 * A site belongs to the grid when the number of its tokens is p + R·C as polynomials in the unknown sizes.
 */
import { type Dim, equal, multiply, product, toNumber } from '../onnx/dims.js';
import type { NodeProto } from '../onnx/gen/onnx.js';
import { type Graph, intAttribute, intsAttribute, isOp } from '../onnx/graph.js';
import type { Shapes } from '../onnx/shapes.js';
import { axisOf } from './layout.js';
import type { PatchGrid, Site } from './site.js';

/** A grid with the number of tokens it makes. */
interface ProvenGrid extends PatchGrid {
  readonly tokens: Dim;
}

/** Grids of the main graph: every sequence that a convolution's patches become. */
export function findGrids(graph: Graph, shapes: Shapes): readonly ProvenGrid[] {
  return graph.nodes.filter(isPatchCut).flatMap((node) => {
    const value = node.output[0] ?? '';
    const [, , rows, columns] = shapes(graph, value).shape ?? [];
    return rows && columns ? followSequence(graph, shapes, value, multiply(rows, columns)) : [];
  });
}

/** The grid that a site's tokens lie on. */
export function gridOf(site: Site, graph: Graph, shapes: Shapes, grids: readonly ProvenGrid[]): PatchGrid | undefined {
  const { context, aligned } = site.operands;
  if (!aligned || site.causal) return undefined;
  const tokens = shapes(graph, context.value).shape?.[axisOf(context.layout, 'n')];
  const grid = grids.find((candidate) => equal(candidate.tokens, tokens));
  return grid && { value: grid.value, prefix: grid.prefix };
}

/** A convolution whose patches touch but do not overlap. */
function isPatchCut(node: NodeProto): boolean {
  const [kernel, strides] = [intsAttribute(node, 'kernel_shape'), intsAttribute(node, 'strides')];
  return (
    isOp(node, 'Conv') && kernel?.length === 2 && strides !== undefined && kernel.every((k, i) => k === strides[i])
  );
}

/** Operators that leave the order of tokens as it is. */
const keeping = ['Add', 'Mul', 'Cast', 'Identity', 'Dropout', 'LayerNormalization', 'Unsqueeze', 'Squeeze'];
const depth = 16;

/**
 * The sequences that a grid of patches becomes, read downwards from the convolution. A table of positions may fix the
 * number of tokens, so that it is noted wherever it is seen.
 */
function followSequence(graph: Graph, shapes: Shapes, start: string, patches: Dim): ProvenGrid[] {
  const found = new Map<string, ProvenGrid>();
  const visit = (value: string, prefix: number | undefined, steps: number) => {
    const shape = shapes(graph, value).shape;
    const tokens = shape?.[1];
    const before = prefix ?? (isSequence(shape, patches) ? 0 : undefined);
    if (before !== undefined && tokens && shape.length === 3)
      found.set(`${before} ${tokens.key}`, { value: start, prefix: before, tokens });
    for (const reader of steps > 0 ? graph.consumers(value) : []) {
      const output = reader.output[0] ?? '';
      if (isOp(reader, 'Concat')) {
        const added = before === undefined ? undefined : tokensBefore(graph, shapes, reader, value);
        if (added !== undefined) visit(output, (before ?? 0) + added, steps - 1);
      } else if (isOp(reader, ...keeping)) visit(output, prefix === undefined ? undefined : before, steps - 1);
      else if (prefix === undefined && keepsOrder(graph, shapes, reader, patches)) visit(output, undefined, steps - 1);
    }
  };
  visit(start, undefined, depth);
  return [...found.values()];
}

/** [B,R·C,D] */
function isSequence(shape: readonly Dim[] | undefined, patches: Dim): boolean {
  return shape?.length === 3 && equal(shape[1], patches);
}

/**
 * Reshape, Flatten and Transpose as patches become a sequence: rows and columns stay beside each other, rows first, and
 * where they have become one axis, that axis stays whole.
 */
function keepsOrder(graph: Graph, shapes: Shapes, node: NodeProto, patches: Dim): boolean {
  const [before, after] = [node.input[0], node.output[0]].map((value) => shapes(graph, value ?? '').shape);
  if (!before || !after) return false;
  if (isOp(node, 'Transpose')) {
    if (before.length === 3) return true;
    const perm = intsAttribute(node, 'perm') ?? [];
    return before.length === 4 && perm.indexOf(3) === perm.indexOf(2) + 1;
  }
  if (!isOp(node, 'Reshape', 'Flatten')) return false;
  const at = after.findIndex((dim) => equal(dim, patches));
  if (at < 0) return false;
  // The elements before and after the joined axis are the same ones on both sides.
  const leading = product(after.slice(0, at));
  return before.some((_, axis) => equal(product(before.slice(0, axis)), leading));
}

/** Tokens that a Concat puts before `value`, when there are none behind it. */
function tokensBefore(graph: Graph, shapes: Shapes, node: NodeProto, value: string): number | undefined {
  const rank = shapes(graph, value).shape?.length ?? 0;
  const axis = ((intAttribute(node, 'axis') ?? 0) + rank) % Math.max(rank, 1);
  if (rank !== 3 || axis !== 1 || node.input.at(-1) !== value) return undefined;
  const counts = node.input.slice(0, -1).map((input) => toNumber(shapes(graph, input).shape?.[1]));
  return counts.every((count) => count !== undefined) ? counts.reduce<number>((a, b) => a + (b ?? 0), 0) : undefined;
}
