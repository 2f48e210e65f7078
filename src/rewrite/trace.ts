import { toNumber } from '../onnx/dims.js';
import { TensorProto_DataType as DataType, type NodeProto } from '../onnx/gen/onnx.js';
import { constantOf, definer, type Graph, isOp, producerOf, tensorOf } from '../onnx/graph.js';
import type { Scope } from './patterns/pattern.js';

/** The number behind a value when it is proven to be one: a constant, or computed from shapes and constants. */
export function scalarOf(scope: Scope, value: string): number | undefined {
  const known = scope.shapes(scope.graph, value);
  if (known.data?.length === 1) return toNumber(known.data[0]);
  const constant = constantOf(scope.graph, value, 1);
  return constant?.data[0];
}

/** True for weights, also behind the nodes that unpack them (Cast, Mul by a scale, DequantizeLinear, Transpose …). */
export function isWeight(graph: Graph, value: string, depth = 8): boolean {
  if (tensorOf(graph, value)) return true;
  const home = definer(graph, value);
  const node = home?.producer(value);
  if (!home || !node || depth === 0 || node.input.length === 0) return false;
  const unpacking = [
    'Cast',
    'Mul',
    'Sub',
    'Div',
    'Add',
    'DequantizeLinear',
    'Transpose',
    'Reshape',
    'Identity',
    'Unsqueeze',
    'Squeeze',
    'QuantizeLinear',
    'Gather',
  ];
  return isOp(node, ...unpacking) && node.input.every((input) => !input || isWeight(home, input, depth - 1));
}

/** Operators that leave a tensor's numbers as they are, up to number format; the data is their first input. */
export function isTransparent(node: NodeProto | undefined): boolean {
  return isOp(node, 'Cast', 'CastLike', 'Identity', 'Dropout', 'QuantizeLinear', 'DequantizeLinear');
}

/** Operators that only move elements about. */
function isLayout(node: NodeProto | undefined): boolean {
  return isOp(
    node,
    'Transpose',
    'Reshape',
    'Unsqueeze',
    'Squeeze',
    'Flatten',
    'Split',
    'Slice',
    'Gather',
    'Expand',
    'Tile',
  );
}

/** A linear map by weights: the projections that make q, k and v. */
function isProjection(graph: Graph, node: NodeProto): boolean {
  if (isOp(node, 'MatMul', 'Gemm', 'Conv', 'MatMulInteger', 'Einsum'))
    return node.input.some((input) => isWeight(graph, input));
  return (
    node.domain === 'com.microsoft' &&
    ['MatMulNBits', 'MatMulBnb4', 'FusedMatMul', 'DynamicQuantizeMatMul', 'MatMulIntegerToFloat', 'QGemm'].includes(
      node.opType ?? '',
    )
  );
}

/** How a query or key came about, read upwards from the score product to its projection. */
export interface Origin {
  /** Values the projections read, seen through casts and quantisers: equal for q and k in self-attention. */
  readonly sources: ReadonlySet<string>;
  /** Product of the constant factors applied on the way. */
  readonly scale: number;
  readonly rotary: boolean;
  /** Graph inputs joined in on the way: a key cache. */
  readonly past: boolean;
}

/** A projection is some 60 values away at most, a rotation on the way; a chain of thousands leads to none. */
const reach = 1000;

export function originOf(scope: Scope, value: string): Origin {
  const sources = new Set<string>();
  const seen = new Set<string>();
  let rotary = false;
  let past = false;
  const visit = (graph: Graph, name: string) => {
    if (!name || seen.has(name)) return;
    if (seen.size >= reach) {
      sources.add(name);
      return;
    }
    seen.add(name);
    const home = definer(graph, name);
    const node = home?.producer(name);
    if (!home || !node) {
      if (home?.isInput(name)) {
        sources.add(name);
        past ||= isCache(scope, home, name);
      }
      return;
    }
    if (isProjection(home, node)) {
      for (const input of node.input) if (input && !isWeight(home, input)) sources.add(sourceName(home, input));
      return;
    }
    // Scales computed from the head width read a Shape, which is no way for activations to take.
    if (isOp(node, 'DynamicQuantizeLinear', 'Shape', 'Size')) return;
    if (isOp(node, 'Sin', 'Cos')) rotary = true;
    const data = isLayout(node) || isTransparent(node) ? node.input.slice(0, 1) : node.input;
    for (const input of data) if (input && !isWeight(home, input)) visit(home, input);
    rotary ||= isOp(node, 'Neg') || node.opType === 'RotaryEmbedding' || isRotation(home, node);
  };
  visit(scope.graph, value);
  return { sources, scale: scaleAlong(scope, value), rotary, past };
}

/**
 * Self-attention: keys come from what the queries come from, or from something computed from it nearby (SegFormer
 * shrinks its keys with a strided convolution first), or both from one picture by convolutions of their own (CvT).
 */
export function isSelf({ graph }: Scope, q: Origin, k: Origin): boolean {
  const targets = new Set([...q.sources].flatMap((source) => beforeConvolutions(graph, source)));
  return sharesSource(q, k) || [...k.sources].some((source) => leadsTo(graph, source, targets, 10));
}

/** A value, and what convolutions and changes of layout made it from. */
function beforeConvolutions(graph: Graph, value: string): string[] {
  const passed = [value];
  for (const at of passed) {
    const node = producerOf(graph, at);
    const local = isLayout(node) || isOp(node, 'Conv', 'BatchNormalization', 'AveragePool', 'MaxPool');
    const inputs = isOp(node, 'Concat') ? node?.input : local ? node?.input.slice(0, 1) : undefined;
    if (inputs && passed.length < 24) passed.push(...inputs);
  }
  return passed;
}

export function sharesSource(q: Origin, k: Origin): boolean {
  return [...q.sources].some((source) => k.sources.has(source));
}

function leadsTo(graph: Graph, value: string, targets: ReadonlySet<string>, depth: number): boolean {
  if (targets.has(value)) return true;
  const home = definer(graph, value);
  const node = home?.producer(value);
  if (!home || !node || depth === 0 || isOp(node, 'Shape', 'Size')) return false;
  return node.input.some((input) => input && !isWeight(home, input) && leadsTo(home, input, targets, depth - 1));
}

/** A float input of rank 3 or more that reaches a key without a projection; ids, masks and positions are integers. */
function isCache({ shapes }: Scope, graph: Graph, value: string): boolean {
  const { elemType, shape } = shapes(graph, value);
  return [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16].includes(elemType) && (shape?.length ?? 0) >= 3;
}

/** One name for an activation however it reaches a projection: casts, reshapes and quantisers are looked through. */
function sourceName(graph: Graph, value: string): string {
  const home = definer(graph, value);
  const node = home?.producer(value);
  const through =
    isTransparent(node) ||
    isOp(node, 'Reshape', 'Flatten', 'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'Transpose');
  const [input] = node?.input ?? [];
  return home && through && input ? sourceName(home, input) : value;
}

/** a·cos − b·sin, the cosines and sines from a table: one half of a rotated pair. */
function isRotation(graph: Graph, node: NodeProto): boolean {
  return isOp(node, 'Sub') && node.input.every((input) => isOp(producerOf(graph, input), 'Mul'));
}

/** Constant factors between a projection, or a cache, and the score product; a rotation scales as what it rotates. */
function scaleAlong(scope: Scope, value: string): number {
  const seen = new Map<string, number | undefined>();
  const visit = (name: string): number | undefined => {
    if (!seen.has(name)) {
      seen.set(name, undefined);
      seen.set(name, scaleOf(name));
    }
    return seen.get(name);
  };
  const scaleOf = (name: string): number | undefined => {
    const home = definer(scope.graph, name);
    const node = home?.producer(name);
    if (!home || !node || isProjection(home, node)) return isWeight(scope.graph, name) ? undefined : 1;
    if (isLayout(node) || isTransparent(node)) return isWeight(home, name) ? undefined : visit(node.input[0] ?? '');
    const factor = isOp(node, 'Mul', 'Div') ? constantFactor(scope, node) : undefined;
    const own = factor && visit(factor.data);
    if (factor) return own === undefined ? undefined : own * factor.factor;
    if (isOp(node, 'Sin', 'Cos', 'Shape', 'Range', 'Constant', 'ConstantOfShape')) return undefined;
    if (!isOp(node, 'Add', 'Sub', 'Mul', 'Neg', 'Concat') && node.opType !== 'RotaryEmbedding') return 1;
    const data = node.opType === 'RotaryEmbedding' ? node.input.slice(0, 1) : node.input;
    const scales = data.map(visit).filter((scale) => scale !== undefined);
    return scales.every((scale) => scale === scales[0]) ? scales[0] : 1;
  };
  return visit(value) ?? 1;
}

/** For x·c, c·x and x÷c: the factor and x. */
export function constantFactor(scope: Scope, node: NodeProto): { factor: number; data: string } | undefined {
  const [a = '', b = ''] = node.input;
  const right = scalarOf(scope, b);
  if (right !== undefined && isScalar(scope, b)) return { factor: isOp(node, 'Div') ? 1 / right : right, data: a };
  const left = isOp(node, 'Mul') && isScalar(scope, a) ? scalarOf(scope, a) : undefined;
  return left === undefined ? undefined : { factor: left, data: b };
}

function isScalar(scope: Scope, value: string): boolean {
  const { shape } = scope.shapes(scope.graph, value);
  return shape?.every((dim) => toNumber(dim) === 1) ?? false;
}
