/** The products that make q, k and v of a site, and the one behind its context: the weights that distillation heals. */
import type { Expr } from '../../onnx/expr.js';
import { isOp } from '../../onnx/graph.js';
import { type Product, productOf, type ShapedGraph } from '../../rewrite/correction.js';
import type { Site } from '../../rewrite/site.js';
import { isTransparent, isWeight } from '../../rewrite/trace.js';
import { outputProduct } from '../output-weight.js';

export interface Projection extends Product {
  /** The value that the product computes. */
  readonly value: string;
}

/** From a projection to the heads there are a bias, a change of layout and perhaps a rotation. */
const reach = 40;

/** Each once, where one product makes several of them. */
export function projectionsOf(scope: ShapedGraph, site: Site): Projection[] {
  const { q, k, v, context } = site.operands;
  const values = [q, k, v].flatMap(({ expr }) => valuesIn(expr)).flatMap((value) => productsAbove(scope, value));
  const behind = outputProduct(scope.graph, context.value);
  return [...new Set([...values, ...(behind ? [behind] : [])])].flatMap((value) => {
    const product = productOf(scope, value);
    return 'refused' in product ? [] : [{ ...product, value }];
  });
}

function valuesIn(expr: Expr): string[] {
  if ('value' in expr) return [expr.value];
  return 'op' in expr ? expr.inputs.flatMap((input) => (input ? valuesIn(input) : [])) : [];
}

/** Up through layout, constants added or multiplied, and rotations, to products by constants. */
function productsAbove(scope: ShapedGraph, from: string): string[] {
  const { graph } = scope;
  const seen = new Set<string>();
  const found: string[] = [];
  const queue = [from];
  for (let value = queue.pop(); value !== undefined && seen.size < reach; value = queue.pop()) {
    if (seen.has(value) || isWeight(graph, value)) continue;
    seen.add(value);
    if (!('refused' in productOf(scope, value))) {
      found.push(value);
      continue;
    }
    const node = graph.producer(value);
    if (!node) continue;
    const [first = ''] = node.input;
    if (isTransparent(node) || isOp(node, 'Reshape', 'Transpose', 'Split', 'Slice', 'Squeeze', 'Unsqueeze', 'Gather'))
      queue.push(first);
    else if (isOp(node, 'Add', 'Sub', 'Mul', 'Div', 'Neg', 'Concat')) queue.push(...node.input.filter(Boolean));
  }
  return found;
}
