/** How many tokens a decoder has positions for, where a table in the graph says so. */

import type { NodeProto } from '../onnx/gen/onnx.js';
import {
  allGraphs,
  constantOf,
  domainOf,
  type Graph,
  intAttribute,
  isOp,
  type Model,
  tensorOf,
} from '../onnx/graph.js';

/**
 * Rows of the shortest table that positions look up: angles of a rotary embedding (RotaryEmbedding, GroupQueryAttention),
 * or learned positions gathered by what comes of `position_ids` or `attention_mask`. Undefined where positions are
 * computed, and end nowhere that the graph knows.
 */
export function positionLimit(model: Model): number | undefined {
  const limits = allGraphs(model.graph).flatMap((graph) => graph.nodes.flatMap((node) => anglesOf(graph, node) ?? []));
  // The largest position of T tokens is T − 1; a sum over the mask of T tokens is T.
  for (const [input, largest] of [
    ['position_ids', -1],
    ['attention_mask', undefined],
  ] as const)
    if (model.graph.isInput(input)) limits.push(...lookups(model.graph, input, largest));
  return limits.length > 0 ? Math.min(...limits) : undefined;
}

/** What a model was trained on, by its config.json: as many positions as transformers says, under the names it has had for them. */
export function trainedPositions(config: Readonly<Record<string, unknown>> = {}): number | undefined {
  const found = [config.max_position_embeddings, config.n_positions].find((value) => Number.isInteger(value));
  return found === undefined ? undefined : Number(found);
}

function anglesOf(graph: Graph, node: NodeProto): number | undefined {
  if (node.opType === 'GroupQueryAttention')
    return intAttribute(node, 'do_rotary') === 1 ? rowsOf(graph, node.input[7]) : undefined;
  if (node.opType !== 'RotaryEmbedding') return undefined;
  return rowsOf(graph, node.input[domainOf(node) === '' ? 1 : 2]);
}

/** Rows of a constant table [P,·]. */
function rowsOf(graph: Graph, value = ''): number | undefined {
  const { dims = [] } = tensorOf(graph, value) ?? {};
  return dims.length === 2 ? dims[0] : undefined;
}

const passing = ['Cast', 'Reshape', 'Unsqueeze', 'Squeeze', 'Slice', 'Gather', 'Identity', 'Expand', 'Mul', 'Where'];

/**
 * Tokens that tables gathered by `value` have room for.
 *
 * @param largest what is added to the number of tokens in the largest element; undefined before a mask is summed
 */
function lookups(graph: Graph, value: string, largest: number | undefined, depth = 0): number[] {
  if (depth > 12) return [];
  return graph.consumers(value).flatMap((node): number[] => {
    if (isOp(node, 'Gather') && node.input[1] === value) {
      const rows = rowsOf(graph, node.input[0]);
      return rows === undefined || largest === undefined ? [] : [rows - 1 - largest];
    }
    const next = (moved: number | undefined) =>
      node.output.flatMap((output) => lookups(graph, output, moved, depth + 1));
    if (isOp(node, 'CumSum')) return next(0);
    if (isOp(node, 'Add', 'Sub')) {
      const [left = '', right = ''] = node.input;
      const { data = [] } = constantOf(graph, left === value ? right : left, 1) ?? {};
      if (data.length !== 1 || largest === undefined || (isOp(node, 'Sub') && left !== value)) return [];
      return next(largest + (isOp(node, 'Add') ? data[0] : -data[0]));
    }
    return isOp(node, ...passing) ? next(largest) : [];
  });
}
