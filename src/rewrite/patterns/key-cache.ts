/**
 * Key caches in plain sight: graph inputs that new keys and values are joined to, the result given out as it is. Only
 * there can a state take the place of keys (key-state.ts).
 */
import { call, type Expr, float, ints } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { type Graph, intAttribute, intsAttribute, isOp } from '../../onnx/graph.js';
import type { KeyCache, Operand } from '../site.js';
import { constantFactor } from '../trace.js';
import type { Scope } from './pattern.js';

/** That of a fused operator which joins it itself; undefined where it is not in plain sight. */
export function operatorCache(
  { graph }: Scope,
  node: NodeProto,
  given: {
    readonly past: readonly (string | undefined)[];
    readonly present: readonly (string | undefined)[];
    readonly fresh: readonly Operand[];
    readonly tokens: Expr;
    readonly keyBias?: Expr;
  },
): KeyCache | undefined {
  const [pastKey, pastValue] = given.past;
  const [presentKey, presentValue] = given.present;
  const [k, v] = given.fresh;
  if (graph.path !== '' || !pastKey || !pastValue || !presentKey || !presentValue || !k || !v) return undefined;
  const taken = [pastKey, pastValue].every((value) => graph.isInput(value) && onlyLengthElse(graph, value, node));
  if (!taken || !graph.isOutput(presentKey) || !graph.isOutput(presentValue)) return undefined;
  return {
    past: { key: pastKey, value: pastValue },
    present: { key: presentKey, value: presentValue },
    given: { key: presentKey, value: presentValue },
    tokens: given.tokens,
    k,
    v,
    ...(given.keyBias && { keyBias: given.keyBias }),
  };
}

/** Operators that leave every element where it is. */
const elementwise = new Set([
  'Cast',
  'Abs',
  'Not',
  'Equal',
  'Less',
  'Greater',
  'Where',
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Max',
  'Min',
]);

/**
 * The part of a key bias [B or 1,1,1,S] that is the new tokens'. Cut out before what is computed of one mask and numbers, so that a token
 * does not cost more the longer the text is.
 */
export function freshBias(keyBias: Expr, cache: Pick<KeyCache, 'past'>): Expr {
  if ('op' in keyBias && !keyBias.domain && elementwise.has(keyBias.op)) {
    const [whole, ...more] = keyBias.inputs.filter((input) => input && !isNumber(input));
    if (whole && more.length === 0) {
      const fresh = freshBias(whole, cache);
      return { ...keyBias, inputs: keyBias.inputs.map((input) => (input === whole ? fresh : input)) };
    }
  }
  const before = call('Slice', [call('Shape', [cache.past.key]), ints([2]), ints([3])]);
  return call('Slice', [keyBias, before, ints([Number.MAX_SAFE_INTEGER]), ints([3])]);
}

/** A constant that takes the shape of whatever it meets. */
function isNumber(expr: Expr): boolean {
  return 'constant' in expr && expr.constant.data.length === 1 && expr.constant.dims.length <= 1;
}

function onlyLengthElse(graph: Graph, value: string, node: NodeProto): boolean {
  return graph.consumers(value).every((reader) => reader === node || isOp(reader, 'Shape'));
}

/**
 * That of keys and values [B,G,S,·] that are Concat(input of the model, new ones), and what of their bias is the new tokens'.
 * In a merged decoder one branch of an If joins them, and the other gives out new ones alone.
 */
export function keyCacheOf(
  scope: Scope,
  { k, v, keyBias }: { readonly k: Operand; readonly v: Operand; readonly keyBias?: Expr },
): KeyCache | undefined {
  const [key, value] = [joinOf(scope, k), joinOf(scope, v)];
  if (!key || !value || key.begins !== value.begins) return undefined;
  const past = { key: key.past, value: value.past };
  return {
    past,
    present: { key: key.present, value: value.present },
    given: { key: key.given, value: value.given },
    ...(key.begins && { begins: true }),
    tokens: call('Gather', [call('Shape', [key.fresh]), 2], { axis: 0 }),
    k: freshOf(key),
    v: freshOf(value),
    ...(keyBias && { keyBias: key.begins ? keyBias : freshBias(keyBias, { past }) }),
  };
}

interface Join {
  readonly past: string;
  /** The new keys or values [B,G,N,·], and the factor that the graph puts on all of them before the product. */
  readonly fresh: string;
  readonly factor: number;
  readonly given: string;
  readonly present: string;
  readonly begins: boolean;
}

/** Follows keys or values through what exporters put between a cache and a product: transpositions, a factor. */
function joinOf(scope: Scope, { expr, layout }: Operand): Join | undefined {
  const { graph, shapes } = scope;
  if (!('value' in expr) || (layout !== inOrder && layout !== 'bhdn')) return undefined;
  let [value, axes, factor]: [string, string | undefined, number] = [expr.value, layout, 1];
  for (let steps = 0; steps < 8 && axes !== undefined; steps++) {
    const node = graph.producer(value);
    const join = axes === inOrder ? joinAt(graph, value, factor) : undefined;
    const found = join ?? beginningOf(graph, { value, axes, factor });
    if (found || !node) return found;
    const [input = ''] = node.input;
    const scaled = isOp(node, 'Mul', 'Div') ? constantFactor(scope, node) : undefined;
    if (isOp(node, 'Transpose')) axes = transposed(node, axes, 'back');
    else if (scaled) factor *= scaled.factor;
    else if (isOp(node, 'Cast') && shapes(graph, input).elemType !== shapes(graph, value).elemType) return undefined;
    else if (!isOp(node, 'Identity', 'Cast')) return undefined;
    value = scaled?.data ?? input;
  }
  return undefined;
}

const inOrder = 'bhnd';

/** The axes of what a Transpose gives for those of what it is given, or `back`; undefined for another rank. */
function transposed(node: NodeProto, axes: string, direction: 'on' | 'back'): string | undefined {
  const perm = intsAttribute(node, 'perm') ?? [];
  if (perm.length !== axes.length) return undefined;
  const at = direction === 'on' ? perm : axes.split('').map((_, axis) => perm.indexOf(axis));
  return at.map((axis) => axes[axis]).join('');
}

/** New keys or values that are given out, or a transposition of them is: exporters merge it with the one before the product. */
function beginningOf(
  graph: Graph,
  { value, axes, factor }: { value: string; axes: string; factor: number },
): Join | undefined {
  if (!graph.outer) return undefined;
  if (axes === inOrder) return beginningAt(graph, value, factor);
  for (const node of graph.consumers(value)) {
    const [output = ''] = node.output;
    const other = isOp(node, 'Transpose') && transposed(node, axes, 'on') === inOrder;
    const join = other ? beginningAt(graph, output, factor) : undefined;
    if (join) return join;
  }
  return undefined;
}

/** Concat(input of the model, new ones), given out. */
function joinAt(graph: Graph, joined: string, factor: number): Join | undefined {
  const node = graph.producer(joined);
  if (!node || !isOp(node, 'Concat') || node.input.length !== 2) return undefined;
  if (![2, -2].includes(intAttribute(node, 'axis') ?? 0)) return undefined;
  const [past = '', fresh = ''] = node.input;
  const given = givenAs(graph, joined);
  const present = given && modelOutput(graph, given);
  return present && isPast(graph, past, node) ? { past, fresh, factor, given, present, begins: false } : undefined;
}

/** The output of a graph that a value is, by its own name or another. */
function givenAs(graph: Graph, value: string): string | undefined {
  const renamed = graph.consumers(value).flatMap((reader) => (isOp(reader, 'Identity') ? reader.output : []));
  return [value, ...renamed].find((name) => graph.isOutput(name));
}

/** New ones that a branch gives out where another branch of its If gives out joined ones. */
function beginningAt(graph: Graph, fresh: string, factor: number): Join | undefined {
  const given = givenAs(graph, fresh);
  const present = given && modelOutput(graph, given);
  if (!present) return undefined;
  const at = graph.proto.output.findIndex(({ name }) => name === given);
  for (const other of branchesBeside(graph)) {
    const beside = other.proto.output[at]?.name ?? '';
    const node = other.producer(beside);
    const joined = joinAt(other, isOp(node, 'Identity') ? (node?.input[0] ?? '') : beside, 1);
    if (joined?.given === beside) return { past: joined.past, fresh, factor, given, present, begins: true };
  }
  return undefined;
}

/** An input of the model that nothing but `node` reads, other than for its size. */
function isPast(graph: Graph, value: string, node: NodeProto): boolean {
  const { outer, holder } = graph;
  if (!outer) return graph.isInput(value) && onlyLengthElse(graph, value, node);
  const read = holder && outer.isInput(value) && onlyLengthElse(outer, value, holder);
  return Boolean(read) && branchesBeside(graph).every((branch) => onlyLengthElse(branch, value, node));
}

/** The output of the model that a value of the main graph, or of a branch in it, is given out as. */
function modelOutput(graph: Graph, value: string): string | undefined {
  const { outer, holder, proto } = graph;
  if (!outer) return value;
  if (outer.outer || !isOp(holder, 'If')) return undefined;
  const places = [...proto.output.keys()].filter((i) => proto.output[i]?.name === value);
  const output = places.length === 1 ? holder?.output[places[0]] : undefined;
  return output && outer.isOutput(output) ? output : undefined;
}

/** The branches of the If that a graph is one of; none of the main graph. */
function branchesBeside({ outer, holder }: Graph): readonly Graph[] {
  return outer && holder ? outer.subgraphs(holder) : [];
}

/** New keys or values as the product sees them. */
function freshOf({ fresh, factor }: Join): Operand {
  const expr: Expr = factor === 1 ? { value: fresh } : call('Mul', [fresh, float(factor)]);
  return { expr, layout: 'bhnd' };
}
