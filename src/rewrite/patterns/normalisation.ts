/**
 * What makes probabilities of scores: a Softmax, or what it consists of, as exporters of JAX models write it:
 * exp(x − max x) ÷ Σ exp(x − max x), the sum with or without its axis, spread over it again or left to broadcasting.
 */
import { equal, toNumber } from '../../onnx/dims.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { constantOf, intAttribute, intsAttribute, isOp, producerOf } from '../../onnx/graph.js';
import { resolveAxis } from '../../onnx/shape-rules/rule.js';
import { maskedBelow } from '../prove/cases.js';
import { scalarOf } from '../trace.js';
import type { Scope } from './pattern.js';

export interface Normalisation {
  /** Value that is normalised, and the axis; −1 where it is none, or several. */
  readonly scores: string;
  readonly axis: number;
}

/** How a node normalises; undefined for a division that does not. */
export function normalisationOf(node: NodeProto, scope: Scope): Normalisation | undefined {
  if (!isOp(node, 'Div')) return { scores: node.input[0] ?? '', axis: softmaxAxis(node, scope) };
  const exp = producerOf(scope.graph, node.input[0] ?? '');
  if (!isOp(exp, 'Exp') || !exp) return undefined;
  const axis = reducedAxis(node.input[1] ?? '', exp.output[0] ?? '', 'ReduceSum', scope);
  return axis === undefined ? undefined : { scores: exp.input[0] ?? '', axis };
}

/** x − max x, which a softmax over the axis of that maximum, the last one, does not see. */
export function lessItsMaximum(node: NodeProto, scope: Scope): boolean {
  const [from = '', most = ''] = node.input;
  if (!isOp(node, 'Sub')) return false;
  const axis = reducedAxis(most, from, 'ReduceMax', scope);
  return axis !== undefined && axis + 1 === scope.shapes(scope.graph, from).shape?.length;
}

/** The one axis that `value` is `source` reduced over; it may be spread over that axis again. */
function reducedAxis(value: string, source: string, reduction: string, scope: Scope): number | undefined {
  const { graph, shapes } = scope;
  const whole = shapes(graph, source).shape;
  let at = value;
  // The shape in which the result first has all axes, read upwards.
  let kept: ReturnType<typeof shapes>['shape'];
  for (let steps = 0; steps < 8; steps++) {
    const node = producerOf(graph, at);
    const shape = shapes(graph, at).shape;
    if (!node || !whole || !shape) return undefined;
    if (shape.length === whole.length && !isOp(node, 'Expand')) kept = shape;
    if (isOp(node, reduction) && node.input[0] === source) {
      const axes = axesOf(node, scope)?.map((axis) => resolveAxis(axis, whole.length));
      const [axis] = axes ?? [];
      if (axis === undefined || axes?.length !== 1) return undefined;
      const fits = kept?.every((dim, i) => (i === axis ? toNumber(dim) === 1 : equal(dim, whole[i])));
      return fits ? axis : undefined;
    }
    // JAX raises a maximum to −∞, in case there is nothing to take it of.
    const raised = isOp(node, 'Max') && node.input.findIndex((input) => (scalarOf(scope, input) ?? 0) <= maskedBelow);
    if (typeof raised === 'number' && raised >= 0 && node.input.length === 2) at = node.input[1 - raised] ?? '';
    else if (isOp(node, 'Expand', 'Reshape', 'Unsqueeze', 'Identity', 'Cast')) at = node.input[0] ?? '';
    else return undefined;
  }
  return undefined;
}

function axesOf(node: NodeProto, { graph }: Scope): readonly number[] | undefined {
  return intsAttribute(node, 'axes') ?? (node.input[1] ? constantOf(graph, node.input[1], 8)?.data : undefined);
}

/** The axis that is normalised. Before opset 13, that and all behind it: −1 where these are several. */
function softmaxAxis(node: NodeProto, { model, graph, shapes }: Scope): number {
  const rank = shapes(graph, node.input[0] ?? '').shape?.length ?? 4;
  const one = (model.opsets.get('') ?? 1) >= 13;
  const axis = resolveAxis(intAttribute(node, 'axis') ?? (one ? -1 : 1), rank);
  return one || axis === rank - 1 ? axis : -1;
}
