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
    tokens: given.tokens,
    k,
    v,
    ...(given.keyBias && { keyBias: given.keyBias }),
  };
}

/** Operators that leave every element where it is. */
const elementwise = new Set([
  'Cast',
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

/** That of keys and values [B,G,S,·] that are Concat(graph input, new ones), and what of their bias is the new tokens'. */
export function keyCacheOf(
  scope: Scope,
  { k, v, keyBias }: { readonly k: Operand; readonly v: Operand; readonly keyBias?: Expr },
): KeyCache | undefined {
  const [key, value] = [joinOf(scope, k), joinOf(scope, v)];
  if (!key || !value) return undefined;
  const past = { key: key.past, value: value.past };
  return {
    past,
    present: { key: key.present, value: value.present },
    tokens: call('Gather', [call('Shape', [key.fresh]), 2], { axis: 0 }),
    k: freshOf(key),
    v: freshOf(value),
    ...(keyBias && { keyBias: freshBias(keyBias, { past }) }),
  };
}

interface Join {
  readonly past: string;
  /** The new keys or values [B,G,N,·], and the factor that the graph puts on all of them before the product. */
  readonly fresh: string;
  readonly factor: number;
  readonly present: string;
}

/** Follows keys or values through what exporters put between a cache and a product: a transposition, a factor. */
function joinOf(scope: Scope, { expr, layout }: Operand): Join | undefined {
  const { graph, shapes } = scope;
  if (!('value' in expr) || (layout !== 'bhnd' && layout !== 'bhdn') || graph.path !== '') return undefined;
  let [value, transposed, factor] = [expr.value, layout === 'bhdn', 1];
  for (let steps = 0; steps < 8; steps++) {
    const node = graph.producer(value);
    if (!node) return undefined;
    const [input = ''] = node.input;
    const scaled = isOp(node, 'Mul', 'Div') ? constantFactor(scope, node) : undefined;
    if (isOp(node, 'Concat')) return transposed ? undefined : joinAt(scope, node, factor);
    if (isOp(node, 'Transpose') && intsAttribute(node, 'perm')?.join() === '0,1,3,2') transposed = !transposed;
    else if (scaled) factor *= scaled.factor;
    else if (isOp(node, 'Cast') && shapes(graph, input).elemType !== shapes(graph, value).elemType) return undefined;
    else if (!isOp(node, 'Identity', 'Cast')) return undefined;
    value = scaled?.data ?? input;
  }
  return undefined;
}

function joinAt({ graph }: Scope, node: NodeProto, factor: number): Join | undefined {
  if (node.input.length !== 2 || ![2, -2].includes(intAttribute(node, 'axis') ?? 0)) return undefined;
  const [past = '', fresh = ''] = node.input;
  const joined = node.output[0] ?? '';
  const given = [
    joined,
    ...graph.consumers(joined).flatMap((reader) => (isOp(reader, 'Identity') ? reader.output : [])),
  ];
  const present = given.find((value) => graph.isOutput(value));
  return present && graph.isInput(past) && onlyLengthElse(graph, past, node)
    ? { past, fresh, factor, present }
    : undefined;
}

/** New keys or values as the product sees them. */
function freshOf({ fresh, factor }: Join): Operand {
  const expr: Expr = factor === 1 ? { value: fresh } : call('Mul', [fresh, float(factor)]);
  return { expr, layout: 'bhnd' };
}
