/**
 * The chains between Softmax and the two products: from the probabilities down to P·V, from the scores up to Q·Kᵀ.
 * What a chain does to the scores is gathered; what makes it something else than attention is a reason to refuse.
 */
import type { Expr } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { isOp, producerOf } from '../../onnx/graph.js';
import { maskedBelow } from '../prove/cases.js';
import { constantFactor, isTransparent, scalarOf } from '../trace.js';
import { lessItsMaximum } from './normalisation.js';
import type { Outcome, Scope } from './pattern.js';
import { isTensorProduct } from './products.js';

/** One step of a chain, in the direction of the data. */
export interface Step {
  readonly node: NodeProto;
  /** What it multiplies the scores by. */
  readonly factor?: number;
  /** What it adds to them. */
  readonly addend?: Expr;
  /** The scores are raised to this where they are lower. */
  readonly floor?: number;
}

export interface ScoreChain {
  readonly scores: NodeProto;
  readonly steps: readonly Step[];
}

export interface ContextChain {
  readonly context: NodeProto;
  /** Which input of it the probabilities are. */
  readonly at: number;
  readonly steps: readonly NodeProto[];
  /** Rows of NaN are made zeros. */
  readonly guarded: boolean;
}

const isView = (node: NodeProto) => isOp(node, 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze', 'Flatten');

const noProduct = 'its scores are no product of queries and keys';

/** From the probabilities down to the product with V, through what changes nothing at inference. */
export function findContext(node: NodeProto, scope: Scope): Outcome<ContextChain> {
  const { graph } = scope;
  let value = node.output[0] ?? '';
  let guarded = false;
  const steps: NodeProto[] = [];
  for (;;) {
    const readers = [...new Set(graph.consumers(value))].filter((reader) => !isOp(reader, 'Shape', 'Size'));
    const product = readers.find((reader) => isTensorProduct(graph, reader) && reader.input[0] !== reader.input[1]);
    if (graph.isOutput(value)) {
      const what = product
        ? `the probabilities are a graph output (${value}): a rewrite would have to drop or recompute them`
        : `its result is a graph output (${value}) and weighs no values: a classifier or a map of scores`;
      return { refused: what };
    }
    const guard = readers.length === 2 ? nanGuard(value, readers) : undefined;
    const [reader] = guard ? [guard] : readers;
    if (!reader) return { refused: 'its result is not used' };
    if (!guard && readers.length > 1) {
      const others = readers.filter((other) => other !== product).map(nameOf);
      return {
        refused: `its result is read by ${product ? `others than P·V: ${others.join(', ')}` : others.join(', ')}`,
      };
    }
    if (reader === product) return { found: { context: product, at: product.input.indexOf(value), steps, guarded } };
    const training = trains(reader, scope);
    if (training) return { refused: training };
    if (!guard && !isTransparent(reader) && !isView(reader)) return { refused: notValues(reader) };
    steps.push(reader);
    guarded ||= guard !== undefined;
    value = reader.output[0] ?? '';
  }
}

function notValues(reader: NodeProto): string {
  const what = isOp(reader, 'Slice')
    ? 'a part of its result is sliced off before the values: an attention sink'
    : 'its result meets no product with values';
  return `${what} (${nameOf(reader)})`;
}

const nameOf = (node: NodeProto) => `${node.opType} ${node.name || node.output[0]}`;

/** Dropout that drops: a graph exported for training. */
function trains(node: NodeProto, scope: Scope): string | undefined {
  if (!isOp(node, 'Dropout')) return undefined;
  const [, ratio, training] = node.input;
  const off = !training || scalarOf(scope, training) === 0 || (ratio && scalarOf(scope, ratio) === 0);
  return off ? undefined : `dropout in training mode (${nameOf(node)})`;
}

/** Where(IsNaN(p), 0, p): what SDPA exports put behind a softmax whose rows may be fully masked. */
function nanGuard(value: string, readers: readonly NodeProto[]): NodeProto | undefined {
  const test = readers.find((reader) => isOp(reader, 'IsNaN'));
  const where = readers.find((reader) => isOp(reader, 'Where'));
  return test && where && where.input[0] === test.output[0] && where.input[2] === value ? where : undefined;
}

/** From the Softmax up to the product of Q and K, gathering factors and masks on the way. */
export function findScores(start: string, scope: Scope, depth = 24): Outcome<ScoreChain> {
  const steps: Step[] = [];
  let value = start;
  for (;;) {
    const node = producerOf(scope.graph, value);
    if (!node || steps.length > depth) return { refused: `${noProduct} (${value})` };
    if (isTensorProduct(scope.graph, node)) return { found: { scores: node, steps } };
    const up = stepUp(node, scope, depth);
    if ('refused' in up) return up;
    steps.unshift(up.step);
    value = up.from;
  }
}

type Up = { readonly step: Step; readonly from: string } | { readonly refused: string };

/** One node up the chain of the scores. */
function stepUp(node: NodeProto, scope: Scope, depth: number): Up {
  const [first = '', second = ''] = node.input;
  const plain = (from: string, step: Omit<Step, 'node'> = {}): Up => ({ step: { node, ...step }, from });
  const leads = (input: string) => depth > 0 && 'found' in findScores(input, scope, depth - 4);
  const training = trains(node, scope);
  if (training) return { refused: training };
  if (isTransparent(node) || isView(node)) return plain(first);
  if (isOp(node, 'Mul', 'Div')) {
    const factor = constantFactor(scope, node);
    if (factor && isOp(producerOf(scope.graph, factor.data), 'Tanh'))
      return { refused: `scores are soft-capped: Tanh and ${nameOf(node)} between the product and the Softmax` };
    if (factor) return plain(factor.data, { factor: factor.factor });
    return { refused: `its scores are ${isOp(node, 'Mul') ? 'multiplied' : 'divided'} by a tensor (${nameOf(node)})` };
  }
  if (isOp(node, 'Tanh')) return { refused: `scores are soft-capped: ${nameOf(node)} before the Softmax` };
  if (isOp(node, 'Add', 'Sub')) {
    if (lessItsMaximum(node, scope)) return plain(first);
    const sides = isOp(node, 'Add') ? [first, second] : [first];
    const ways = sides.map((input) => (depth > 0 ? findScores(input, scope, depth - 4) : undefined));
    const side = ways.findIndex((way) => way && 'found' in way);
    if (side < 0) {
      const reasons = ways.flatMap((way) => (way && 'refused' in way ? [way.refused] : []));
      return { refused: reasons.find((reason) => !reason.startsWith(noProduct)) ?? `${noProduct} (${nameOf(node)})` };
    }
    const other: Expr = { value: side === 0 ? second : first };
    return plain(side === 0 ? first : second, { addend: isOp(node, 'Sub') ? times(other, -1) : other });
  }
  if (isOp(node, 'Where')) {
    const masked = whereMask(node, scope, leads);
    if (masked) return plain(masked.scores, { addend: masked.bias });
    return { refused: `expected Where(mask, score, a very negative constant), found other operands (${nameOf(node)})` };
  }
  if (isOp(node, 'Max', 'Clip')) {
    const floor = floorOf(node, scope);
    if (floor !== undefined && floor <= maskedBelow) return plain(first, { floor });
  }
  if (isOp(node, 'Concat') && node.input.some(leads))
    return { refused: `attention sink: a column is joined to the scores before the Softmax (${nameOf(node)})` };
  if (isOp(node, 'TopK'))
    return { refused: `router: Softmax over the highest scores (${nameOf(node)}), not over keys` };
  return { refused: `${noProduct} (${nameOf(node)})` };
}

function floorOf(node: NodeProto, scope: Scope): number | undefined {
  if (node.opType === 'Max') return scalarOf(scope, node.input[1] ?? '');
  const attribute = node.attribute.find(({ name }) => name === 'min');
  const unbounded = !node.input[2] && !node.attribute.some(({ name }) => name === 'max');
  return unbounded ? (attribute?.f ?? scalarOf(scope, node.input[1] ?? '')) : undefined;
}

export function times(expr: Expr, factor: number): Expr {
  return factor === 1 ? expr : { op: 'Mul', inputs: [expr, { constant: { type: 'float', dims: [], data: [factor] } }] };
}

/** Where(c, -big, x) and Where(c, x, -big) as an addend: softmax gives masked keys no weight either way. */
function whereMask(
  node: NodeProto,
  scope: Scope,
  leads: (value: string) => boolean,
): { bias: Expr; scores: string } | undefined {
  const [condition = '', then = '', otherwise = ''] = node.input;
  const zero: Expr = { constant: { type: 'float', dims: [], data: [0] } };
  const isLow = (value: string) => (scalarOf(scope, value) ?? 0) <= maskedBelow;
  // A finite constant takes the place of the score: added, it must be large enough to swallow it.
  const infinite = [then, otherwise].some((value) => scalarOf(scope, value) === -Infinity);
  const low = infinite ? -Infinity : -3.4028234663852886e38;
  const lowest: Expr = { constant: { type: 'float', dims: [], data: [low] } };
  if (isLow(then) && leads(otherwise))
    return { bias: { op: 'Where', inputs: [{ value: condition }, lowest, zero] }, scores: otherwise };
  if (isLow(otherwise) && leads(then))
    return { bias: { op: 'Where', inputs: [{ value: condition }, zero, lowest] }, scores: then };
  return undefined;
}
