/**
 * The last matrix of the MLP behind an attention, by structure alone:
 *
 *   s = residual + context W_o …        the first sum of two activations behind the context
 *   t = skip + f(skip) W …              the first sum behind s of a value and what a constant matrix made of it; skip is s, or its norm
 *
 * W is what is looked for. f reads s and constants only and has no attention in it, so that W is the one matrix between
 * the stream and what the MLP makes of it. Seen so: ViT and Llama (skip = s), BERT (skip = norm of s), with bias, layer scale and
 * fused norms in between or not.
 */

import { toNumber } from '../../onnx/dims.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { constantOf, type Graph, isOp, operatorName } from '../../onnx/graph.js';
import { type Product, productOf, type ShapedGraph } from '../../rewrite/correction.js';
import type { Site } from '../../rewrite/site.js';
import { isTransparent, isWeight } from '../../rewrite/trace.js';

export interface MlpProduct extends Product {
  /** The value that the product computes. */
  readonly value: string;
  /** The two values whose sum is the stream behind the layer. */
  readonly sum: readonly [string, string];
  /** What computes that sum gives: it, its norm, or both. */
  readonly stream: readonly string[];
  /** The same of the sum behind the attention, which the MLP reads. */
  readonly read: readonly string[];
  /** What the result is multiplied by on its way to the sum [M] (layer scale), where it is. */
  readonly scale?: readonly number[];
}

/** Nodes that are looked at behind an attention: an MLP with its norms, written out, has some 40. */
const reach = 200;
const fusedSums = ['com.microsoft.SkipLayerNormalization', 'com.microsoft.SkipSimplifiedLayerNormalization'];

/** The product, or why there is none that is proven to be it. */
export function lastMlpProduct(scope: ShapedGraph, site: Site): MlpProduct | { readonly refused: string } {
  const { graph } = scope;
  if (site.subgraph !== '') return { refused: `it lies in the subgraph ${site.subgraph}` };
  if (site.kind !== 'self') return { refused: 'it is cross-attention' };
  const first = sumBehind(graph, site.operands.context.value);
  if ('refused' in first) return first;
  const stream = new Set(first.output.filter(Boolean));
  const cone = new Set(stream);
  let looked = 0;
  let why: string | undefined;
  for (const node of graph.sorted.slice(graph.sorted.indexOf(first) + 1)) {
    if (!node.input.some((input) => cone.has(input)) || isOp(node, 'Shape', 'Size')) continue;
    if (++looked > reach) break;
    const found = isSum(graph, node) ? branchOf(scope, node, stream) : undefined;
    if (found && 'value' in found) return found;
    why ??= found?.refused;
    for (const output of node.output) cone.add(output);
  }
  return { refused: why ?? 'no sum of the stream and what a constant matrix made of it follows the attention' };
}

/** The sum of the context, projected, and the stream that the attention read. */
function sumBehind(graph: Graph, context: string): NodeProto | { readonly refused: string } {
  let value = context;
  for (let steps = 0; steps < 16; steps++) {
    const readers = graph.consumers(value).filter((node) => !isOp(node, 'Shape', 'Size'));
    const [reader] = readers;
    if (!reader || readers.length > 1) return { refused: `what attention gives is read by ${readers.length} nodes` };
    if (isSum(graph, reader)) return reader;
    const weights = reader.input.filter((input) => input && input !== value);
    const passes =
      isOp(reader, 'MatMul', 'Gemm', 'Add', 'Mul', 'Div', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze') ||
      isTransparent(reader) ||
      ['MatMulNBits', 'MatMulBnb4', 'FusedMatMul'].includes(reader.opType ?? '');
    const moves = isOp(reader, 'Reshape', 'Squeeze', 'Unsqueeze');
    if (!passes || !(moves || weights.every((input) => isWeight(graph, input))))
      return { refused: `what attention gives goes into ${operatorName(reader)}, no residual sum` };
    value = reader.output[0] ?? '';
  }
  return { refused: 'no residual sum follows the attention' };
}

/** A sum of two activations. */
function isSum(graph: Graph, node: NodeProto): boolean {
  if (!isOp(node, 'Add') && !fusedSums.includes(operatorName(node))) return false;
  const [a = '', b = ''] = node.input;
  return !isWeight(graph, a) && !isWeight(graph, b);
}

/** The MLP whose result a sum adds to the stream, if that is what it does. */
function branchOf(
  scope: ShapedGraph,
  { input: [a = '', b = ''], output }: NodeProto,
  stream: ReadonlySet<string>,
): MlpProduct | { readonly refused: string } | undefined {
  let refused: string | undefined;
  for (const [skip, branch] of [
    [a, b],
    [b, a],
  ]) {
    const end = productBefore(scope, branch);
    if (end && 'refused' in end) refused = end.refused;
    else {
      const read = end && readBy(scope.graph, end.data, stream);
      if (end && read && (read.has(skip) || stream.has(skip)))
        return { ...end, sum: [a, b], stream: output.filter(Boolean), read: [...stream] };
    }
  }
  return refused === undefined ? undefined : { refused };
}

/** Up from a value through what adds and multiplies by constants to the product that it comes from. */
function productBefore(
  scope: ShapedGraph,
  from: string,
): Omit<MlpProduct, 'sum' | 'stream' | 'read'> | { readonly refused: string } | undefined {
  const { graph } = scope;
  let value = from;
  let scale: number[] | undefined;
  let reshaped: string | undefined;
  const width = (of: string) => toNumber(scope.shapes(graph, of).shape?.at(-1));
  for (let steps = 0; steps < 8; steps++) {
    const product = productOf(scope, value);
    if (!('refused' in product)) {
      const { columns } = product;
      if (reshaped && width(reshaped) !== columns) return undefined;
      const wide = scale && (scale.length === 1 ? new Array<number>(columns).fill(scale[0]) : scale);
      if (wide && wide.length !== columns) return undefined;
      return { ...product, value, ...(wide && { scale: wide }) };
    }
    const node = graph.producer(value);
    if (!node || graph.consumers(value).length !== 1) return undefined;
    const [x = '', y = ''] = node.input;
    if (isOp(node, 'Reshape')) reshaped = value;
    if (isTransparent(node) || isOp(node, 'Reshape')) value = x;
    else if (isOp(node, 'Add', 'Mul')) {
      const [data, constant] = isWeight(graph, y) ? [x, y] : [y, x];
      if (!isWeight(graph, constant)) return undefined;
      if (isOp(node, 'Mul')) {
        const factors = constantOf(graph, constant, 1 << 16)?.data;
        if (!factors || (scale && scale.length !== factors.length)) return undefined;
        scale = factors.map((x, i) => x * (scale?.[i] ?? 1));
      }
      value = data;
    } else return /MatMul|Gemm/.test(node.opType ?? '') ? product : undefined;
  }
  return undefined;
}

/** All values that a value is computed from, back to the stream; undefined where it reads others, or attends. */
function readBy(graph: Graph, value: string, stream: ReadonlySet<string>): Set<string> | undefined {
  const seen = new Set<string>();
  const queue = [value];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next) || isWeight(graph, next)) continue;
    seen.add(next);
    if (stream.has(next)) continue;
    const node = graph.producer(next);
    if (!node || seen.size > reach || mixesTokens(graph, node)) return undefined;
    // Sizes are no activations, wherever they are read.
    const inputs = isOp(node, 'Shape', 'Size')
      ? []
      : isOp(node, 'Reshape', 'Expand')
        ? node.input.slice(0, 1)
        : node.input;
    queue.push(...inputs.filter(Boolean));
  }
  return seen;
}

/** Attention, or what could be: a softmax, a product of two activations, or an operator that is one. */
function mixesTokens(graph: Graph, node: NodeProto): boolean {
  if (isOp(node, 'Softmax') || /Attention/.test(node.opType ?? '')) return true;
  return isOp(node, 'MatMul', 'Gemm', 'Einsum') && node.input.every((input) => !input || !isWeight(graph, input));
}
