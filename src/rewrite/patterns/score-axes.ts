/**
 * Where batch, heads, queries and keys are on the way from Q·Kᵀ over the Softmax to P·V, and what is added to the scores
 * there. An element of the scores is followed by its indices @b, @h, @i, @j (and those of further axes in layout.ts).
 */
import { add, constant, type Dim, multiply, substitute, toNumber } from '../../onnx/dims.js';
import { call, type Expr, ints } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { intsAttribute, isOp } from '../../onnx/graph.js';
import { broadcastShapes } from '../../onnx/shape-rules/rule.js';
import { isInOrder } from '../layout.js';
import { type Addend, sumOf } from '../mask.js';
import { index, reindex } from '../prove/affine.js';
import { type Step, times } from './chain.js';
import type { Scope } from './pattern.js';

/** The axes of a product, slowest first, and the heads there are: batch and heads may share an axis. */
export interface ScoreAxes {
  readonly axes: readonly string[];
  readonly heads: number;
}

export interface ReadScores {
  readonly gain: number;
  readonly addends: readonly Addend[];
  /** The addends as tensors of rank 4, in order. */
  readonly biases: readonly Expr[];
  /** Scores and addends are raised to this. */
  readonly floor?: number;
  /** The indices at the Softmax, which may have all but the keys in one axis. */
  readonly at: readonly Dim[];
}

/** Follows the scores from the product to the Softmax. */
export function readSteps(steps: readonly Step[], { axes, heads }: ScoreAxes, scope: Scope): ReadScores | string {
  let at: readonly Dim[] | undefined = axes.map((axis) => indexOf(axis, heads));
  let gain = 1;
  let floor: number | undefined;
  const added: { expr: Expr; at: readonly Dim[]; rank4: Expr | undefined }[] = [];
  for (const step of steps) {
    at = indicesAfter(step.node, at, heads, scope);
    if (!at)
      return `its scores are regrouped before something is added to them (${step.node.opType} ${step.node.name}), as in shifted windows`;
    if (step.factor !== undefined) {
      const { factor } = step;
      gain *= factor;
      for (const addend of added) {
        addend.expr = times(addend.expr, factor);
        addend.rank4 = addend.rank4 && times(addend.rank4, factor);
      }
    }
    if (step.addend) {
      const names = at.map((place) => nameOf(place, heads));
      added.push({ expr: step.addend, at, rank4: toRank4(step.addend, names, heads, scope) });
    }
    floor = step.floor ?? floor;
  }
  const biases = added.map(({ rank4 }) => rank4);
  if (!biases.every((bias) => bias !== undefined))
    return 'a mask is added to scores in other axes than batch, heads, queries and keys';
  const addends = added.map(({ expr, at: places }) => ({
    expr,
    at: (head: Dim) => places.map((place) => substitute(place, (name) => (name === '@h' ? head : undefined))),
  }));
  return { gain, addends, biases, floor, at };
}

/** The axes of the probabilities at P·V, from those at the Softmax; undefined where they are regrouped on the way. */
export function axesAfter(
  steps: readonly NodeProto[],
  start: readonly Dim[],
  heads: number,
  scope: Scope,
): readonly string[] | undefined {
  let at: readonly Dim[] | undefined = start;
  for (const step of steps) at = at && indicesAfter(step, at, heads, scope);
  const names = at?.map((place) => nameOf(place, heads));
  return names?.every((name) => name !== undefined) ? names : undefined;
}

/** The letter of an axis that is one index alone, be it of queries or of keys. */
export function axisName(place: Dim | undefined): string | undefined {
  return ['i', 'j'].find((axis) => index(`@${axis}`).key === place?.key);
}

/** All that is added to the scores, float32. */
export function wholeBias({ biases, floor }: ReadScores, elemType: number): Expr | undefined {
  const typed = biases.map((bias): Expr => (elemType === 1 ? bias : call('Cast', [bias], { to: 1 })));
  const sum = sumOf(typed);
  if (!sum || floor === undefined) return sum;
  return { op: 'Max', inputs: [sum, { constant: { type: 'float', dims: [], data: [floor] } }] };
}

function indexOf(axis: string, heads: number): Dim {
  if (axis === '1') return constant(0);
  if (axis !== '(bh)') return index(`@${axis}`);
  return heads === 1 ? index('@b') : add(multiply(index('@b'), constant(heads)), index('@h'));
}

const axisNames = ['b', 'p', '(bh)', 'h', 'g', 'r', '1', 'i', 'j'];

function nameOf(place: Dim, heads: number): string | undefined {
  return axisNames.find((axis) => indexOf(axis, heads).key === place.key);
}

/** The indices of an element after a node, from those before it. */
function indicesAfter(
  node: NodeProto,
  at: readonly Dim[],
  heads: number,
  { graph, shapes }: Scope,
): readonly Dim[] | undefined {
  if (isOp(node, 'Transpose')) {
    const perm = intsAttribute(node, 'perm') ?? at.map((_, axis) => at.length - 1 - axis);
    return perm.map((axis) => at[axis] ?? constant(0));
  }
  if (!isOp(node, 'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten')) return at;
  const [from, to] = [node.input[0], node.output[0]].map((value) => shapes(graph, value ?? '').shape);
  return from && to && reindex(at, from, to, new Map([['@h', constant(heads)]]));
}

/**
 * A bias as a tensor of rank 4, or undefined where it is none of batch, heads, queries and keys: where it differs along an
 * axis that these do not have, or where an axis of the scores is not one of theirs.
 */
function toRank4(expr: Expr, names: readonly (string | undefined)[], heads: number, scope: Scope): Expr | undefined {
  const [shape, rank] = [shapeOf(expr, scope), names.length];
  const order = axisNames.map((name) => names.indexOf(name)).filter((axis) => axis >= 0 && !isToken(names[axis]));
  const permutation = [...order, names.indexOf('i'), names.indexOf('j')];
  if (permutation.length !== rank || permutation.includes(-1)) return undefined;
  const [lead, moved] = [order.map((axis) => names[axis]).join(), !isInOrder(permutation)];
  if (!shape) return lead === 'b,h' && !moved ? call('Expand', [expr, ones(4)]) : undefined;
  const ordered = moved ? call('Transpose', [call('Expand', [expr, ones(rank)])], { perm: permutation }) : expr;
  const inner = call('Slice', [call('Shape', [ordered]), ints([-2]), ints([rank])]);
  // Axes that a bias has not are one of size 1 before the others.
  const isShort = !moved && shape.length < rank;
  const withLead = (...sizes: number[]) =>
    isShort || rank < 3
      ? call('Expand', [ordered, ones(4)])
      : call('Reshape', [ordered, call('Concat', [ints(sizes), inner], { axis: 0 })]);
  const isOne = (axis: number) => toNumber(shape[(order[axis] ?? 0) - rank + shape.length] ?? constant(1)) === 1;
  switch (lead) {
    case '':
      return withLead();
    case 'b':
      return withLead(-1, 1);
    case 'b,h':
    case 'b,1':
      return isShort ? withLead() : ordered;
    case '(bh)':
      return isOne(0) ? withLead(1, 1) : withLead(-1, heads);
    case 'b,g,r':
      return isOne(1) && isOne(2) ? withLead(-1, 1) : undefined;
    case 'b,p,h':
      return isOne(0) && isOne(1) ? withLead(1, -1) : undefined;
    default:
      return undefined;
  }
}

const isToken = (name: string | undefined) => name === 'i' || name === 'j';
const ones = (rank: number) => ints(Array.from({ length: rank }, () => 1));

/** Shape of a value, or of an elementwise expression over values. */
function shapeOf(expr: Expr, scope: Scope): readonly Dim[] | undefined {
  if ('value' in expr) return scope.shapes(scope.graph, expr.value).shape;
  if ('constant' in expr) return expr.constant.dims.map(constant);
  const shapes = expr.inputs.map((input) => input && shapeOf(input, scope));
  return shapes.every((shape) => shape !== undefined) ? broadcastShapes(shapes) : undefined;
}
