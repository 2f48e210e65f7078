import type { NodeProto } from '../onnx/gen/onnx.js';
import { allGraphs, type Graph, intAttribute, isOp, type Model, operatorName } from '../onnx/graph.js';
import type { Site } from '../rewrite/site.js';
import { isTransparent, isWeight } from '../rewrite/trace.js';

/** The weight W_o [H·E,Dm] that the heads of a site go through, or its transpose, as a value of the graph. */
export interface OutputWeight {
  readonly value: string;
  readonly transposed: boolean;
  /** Of quantised weights: what stands for 0. */
  readonly zeroPoint?: string;
  /** An operator that unpacks its weight itself: what it makes of the identity is the weight. */
  readonly operator?: NodeProto;
}

const unpacking = ['MatMulNBits', 'MatMulBnb4'];

/**
 * Follows a site's context through what only moves its elements to the product with a weight. Quantised weights stand
 * for themselves up to a factor, which shares of an error do not see. Undefined where the graph has another form.
 */
export function outputWeight(model: Model, site: Site): OutputWeight | undefined {
  const graph = allGraphs(model.graph).find(({ path }) => path === site.subgraph);
  if (!graph) return undefined;
  let { value } = site.operands.context;
  for (let steps = 0; steps < 8; steps++) {
    const [reader] = graph.consumers(value);
    if (!reader) return undefined;
    const [, weight = ''] = reader.input;
    if (isOp(reader, 'MatMul', 'Gemm', 'MatMulInteger') || operatorName(reader) === 'com.microsoft.FusedMatMul') {
      if (!isWeight(graph, weight)) return undefined;
      const zeroPoint = isOp(reader, 'MatMulInteger') ? reader.input[3] : undefined;
      return { value: weight, transposed: intAttribute(reader, 'transB') === 1, ...(zeroPoint && { zeroPoint }) };
    }
    if (reader.domain === 'com.microsoft' && unpacking.includes(reader.opType ?? ''))
      return { value: weight, transposed: false, operator: reader };
    if (!isTransparent(reader) && !isOp(reader, 'Transpose', 'Reshape', 'DynamicQuantizeLinear')) return undefined;
    value = reader.output[0] ?? '';
  }
  return undefined;
}

/** The value that the product behind a context computes, whatever its weight. */
export function outputProduct(graph: Graph, context: string): string | undefined {
  let value = context;
  for (let steps = 0; steps < 8; steps++) {
    const [reader] = graph.consumers(value).filter((node) => !isOp(node, 'Shape'));
    if (!reader) return undefined;
    value = reader.output[0] ?? '';
    if (isOp(reader, 'MatMul', 'Gemm')) return value;
    if (!isTransparent(reader) && !isOp(reader, 'Transpose', 'Reshape')) return undefined;
  }
  return undefined;
}
