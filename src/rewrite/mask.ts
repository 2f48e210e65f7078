import { type Dim, equal, toNumber } from '../onnx/dims.js';
import type { AttributeValue, Expr } from '../onnx/expr.js';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type NodeProto,
} from '../onnx/gen/onnx.js';
import { isOp, producerOf } from '../onnx/graph.js';
import type { Scope } from './patterns/pattern.js';
import { isTransparent, isWeight } from './trace.js';

/** Scores at or below this are meant as "not attended": exporters use -1e4, -3.4e38 (or -65504) and -Infinity. */
export const maskedBelow = -5000;

/**
 * The part of a bias that depends on the key alone, shape [B or 1, 1, 1, S], or undefined when that can't be proven.
 *
 * Proof by structure: a tensor whose query and head axes have size 1 depends on the key alone; so does Expand of
 * one, and an elementwise function of such tensors. The expression recomputes the function below the Expand, so
 * that the [N, S] table of a mask is never built.
 */
export function keyOnly(scope: Scope, bias: Expr): Expr | undefined {
  if ('constant' in bias) return bias;
  if ('op' in bias) {
    // A key mask [B,S] laid out as [B,1,1,S] (fused.ts) is what we look for already.
    if (bias.op === 'Reshape') return bias;
    const inputs = bias.inputs.map((input) => input && keyOnly(scope, input));
    return inputs.every((input) => input !== undefined) ? { ...bias, inputs } : undefined;
  }
  return reduce(scope, bias.value, 24);
}

/** The addends of the scores as one expression; none of none. */
export function sumOf(addends: readonly Expr[]): Expr | undefined {
  return addends.length > 0 ? addends.reduce((a, b) => ({ op: 'Add', inputs: [a, b] })) : undefined;
}

function reduce(scope: Scope, value: string, depth: number): Expr | undefined {
  if (depth === 0) return undefined;
  const shape = scope.shapes(scope.graph, value).shape;
  const isOne = (dim: Dim | undefined) => !dim || toNumber(dim) === 1;
  if (shape && isOne(shape.at(-3)) && isOne(shape.at(-2))) return { value };
  const node = producerOf(scope.graph, value);
  if (!node) return undefined;
  if (isOp(node, 'Reshape')) {
    const before = sameBefore(scope, value);
    return before === undefined ? undefined : reduce(scope, before, depth - 1);
  }
  if (isOp(node, 'Expand')) return reduce(scope, node.input[0] ?? '', depth - 1);
  // onnxruntime's optimiser repeats a mask for every head.
  if (isOp(node, 'Concat') && new Set(node.input).size === 1) return reduce(scope, node.input[0] ?? '', depth - 1);
  if (isTransparent(node) || isOp(node, ...elementwise)) {
    const inputs = node.input.map((input) => reduce(scope, input, depth - 1));
    if (inputs.every((input) => input !== undefined))
      return { op: node.opType ?? '', inputs, attributes: plainAttributes(node) };
  }
  return undefined;
}

/**
 * A value further up a chain of Reshapes with the very shape of this one, which is then the same tensor: exporters of
 * nn.MultiheadAttention fold batch and heads and unfold them again.
 */
function sameBefore(scope: Scope, value: string): string | undefined {
  const shape = scope.shapes(scope.graph, value).shape;
  if (!shape) return undefined;
  for (let node = producerOf(scope.graph, value); node && isOp(node, 'Reshape'); ) {
    const input = node.input[0] ?? '';
    const before = scope.shapes(scope.graph, input).shape;
    if (before?.length === shape.length && before.every((dim, axis) => equal(dim, shape[axis]))) return input;
    node = producerOf(scope.graph, input);
  }
  return undefined;
}

const elementwise = [
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Where',
  'Not',
  'And',
  'Or',
  'Equal',
  'Less',
  'LessOrEqual',
  'Greater',
  'GreaterOrEqual',
  'Max',
  'Min',
  'Neg',
];

/** Attributes of an elementwise node or a Transpose, for an expression. */
export function plainAttributes(node: NodeProto): Record<string, AttributeValue> {
  return Object.fromEntries(node.attribute.map((a): [string, AttributeValue] => [a.name ?? '', attributeValue(a)]));
}

function attributeValue(a: AttributeProto): AttributeValue {
  if (a.type === AttributeType.FLOAT) return { float: a.f ?? 0 };
  return a.type === AttributeType.INTS ? a.ints.map(Number) : Number(a.i ?? 0);
}

/** True when the values come, in the end, from constants and shapes alone: such a mask hides nothing that is padded. */
export function isInputFree(scope: Scope, value: string, depth = 24): boolean {
  if (depth === 0) return false;
  if (scope.shapes(scope.graph, value).data?.every((dim) => dim !== undefined) || isWeight(scope.graph, value))
    return true;
  const node = producerOf(scope.graph, value);
  if (!node) return false;
  return isOp(node, 'Shape', 'Size') || node.input.every((input) => !input || isInputFree(scope, input, depth - 1));
}
