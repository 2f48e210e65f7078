/**
 * Corrections of weights: what healing adds to the constant matrix of a product, of low rank so that files stay small.
 *
 *   x W + c  →  x (W + D U) + b + c        W [K,M], D [K,r], U [r,M], b [M]
 *
 * W stays in the file: it is what inputs use that are short enough to be attended exactly, and what restore() brings back.
 * W, D and U are constants, so runtimes add them up when they load the model, and a corrected product costs what it did
 * but for b.
 */
import { PerformersError } from '../errors.js';
import type { Builder } from '../onnx/build.js';
import { equal, toNumber } from '../onnx/dims.js';
import { TensorProto_DataType as DataType, type NodeProto } from '../onnx/gen/onnx.js';
import { floatAttribute, intAttribute, isOp, type Model } from '../onnx/graph.js';
import { inferShapes } from '../onnx/shapes.js';
import { axisOf } from './layout.js';
import type { Scope } from './patterns/pattern.js';
import type { Correction, SitePlan } from './plan.js';
import type { Site } from './site.js';
import { isWeight } from './trace.js';

/** A graph with the shapes that are proven of its values. */
export type ShapedGraph = Pick<Scope, 'graph' | 'shapes'>;

/** A product x W with constant W, as a MatMul or Gemm of the main graph computes it. */
export interface Product {
  readonly node: NodeProto;
  /** The value x [.., K]. */
  readonly data: string;
  readonly weight: string;
  /** The file has Wᵀ [M,K]. */
  readonly transposed: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly elemType: DataType;
}

/** The product that computes a value, or why what computes it cannot be corrected. */
export function productOf({ graph, shapes }: ShapedGraph, value: string): Product | { readonly refused: string } {
  const node = graph.producer(value);
  if (!node) return { refused: `the main graph computes no value ${value}` };
  const [data = '', weight = ''] = node.input;
  if (!isOp(node, 'MatMul', 'Gemm')) return { refused: `${value} is computed by ${node.opType}, no MatMul or Gemm` };
  if (!isWeight(graph, weight)) return { refused: `the weight of ${value} is no constant` };
  const { elemType, shape } = shapes(graph, weight);
  const dims = shape?.map(toNumber);
  const [down, across] = dims ?? [];
  if (dims?.length !== 2 || !down || !across || !(elemType === DataType.FLOAT || elemType === DataType.FLOAT16))
    return { refused: `the weight of ${value} is no matrix of floating-point numbers` };
  const plain = isOp(node, 'MatMul') || (factor(node, 'alpha') === 1 && intAttribute(node, 'transA') !== 1);
  if (!plain) return { refused: `${value} is computed by a Gemm with alpha or transA` };
  const transposed = intAttribute(node, 'transB') === 1;
  const [rows, columns] = transposed ? [across, down] : [down, across];
  return { node, data, weight, transposed, rows, columns, elemType };
}

function factor(node: NodeProto, name: 'alpha' | 'beta'): number {
  return floatAttribute(node, name) ?? 1;
}

/** The main graph with the shapes of its values; these are inferred only where a plan corrects something. */
export function scopeOf(model: Model, plans: readonly Pick<SitePlan, 'corrections'>[]): ShapedGraph {
  const { graph } = model;
  const some = plans.some(({ corrections = [] }) => corrections.length > 0);
  return { graph, shapes: some ? inferShapes(model) : () => ({ elemType: 0 }) };
}

/** @throws PerformersError PF502 where a plan corrects what the model does not have, PF202 where a correction is damaged */
export function checkCorrections(model: Model, plans: readonly SitePlan[]): void {
  const scope = scopeOf(model, plans);
  for (const { product: value, rank, down, up, bias } of plans.flatMap(({ corrections = [] }) => corrections)) {
    const product = productOf(scope, value);
    if ('refused' in product) {
      throw new PerformersError('PF502', `the plan was made for another model: ${product.refused}`, {
        at: 'plan',
        mend: 'calibrate this model: performers linearize MODEL -o OUT --budget 176 --data FILE',
      });
    }
    const { rows, columns } = product;
    const fits = down.length === rows * rank && up.length === rank * columns && bias.length === columns;
    if (fits) continue;
    throw new PerformersError('PF202', `the correction of ${value} does not fit its weight [${rows},${columns}]`, {
      at: 'plan',
      mend: 'restore the file, or calibrate again',
    });
  }
}

/** Builds the choice between a product as it was and as it is corrected; `counted` has the tokens as its second axis. */
export type ShortGate = (
  original: (branch: Builder) => string,
  corrected: (branch: Builder) => string,
  counted?: string,
) => string;

/**
 * The nodes in the place of a product. `whenShort` is for inputs that the site attends exactly; absent where every input is
 * attended by the plan.
 */
export function correctProduct(
  build: Builder,
  scope: ShapedGraph,
  { correction, site, whenShort }: { correction: Correction; site: Site; whenShort?: ShortGate },
): void {
  const { product: value, rank, down, up, bias } = correction;
  const product = productOf(scope, value);
  if ('refused' in product) throw new TypeError(product.refused);
  const { node, data, weight, transposed, rows, columns, elemType } = product;
  const typed = (float: string) => (elemType === DataType.FLOAT ? float : build.op('Cast', [float], { to: elemType }));
  const factors = [build.float(down, [rows, rank]), build.float(up, [rank, columns])];
  const added = build.op('MatMul', factors);
  const delta = transposed ? build.op('Transpose', [added], { perm: [1, 0] }) : added;
  const healed = build.op('Add', [weight, typed(delta)]);
  const shift = typed(build.float(bias));
  const multiply = (branch: Builder, matrix: string) =>
    isOp(node, 'MatMul')
      ? branch.op('MatMul', [data, matrix])
      : branch.op('Gemm', [data, matrix, ...node.input.slice(2)], {
          transB: transposed ? 1 : 0,
          beta: { float: factor(node, 'beta') },
        });
  const corrected = (branch: Builder) => branch.op('Add', [multiply(branch, healed), shift]);
  const counted = countsTokens(scope, site, product) ? data : undefined;
  const result = whenShort ? whenShort((branch) => multiply(branch, weight), corrected, counted) : corrected(build);
  build.rename(result, value);
}

/** Two corrections of one product as one. */
export function joinCorrections(a: Correction, b: Correction): Correction {
  const rank = a.rank + b.rank;
  const rows = a.down.length / a.rank;
  const down = new Float32Array(rows * rank);
  for (let k = 0; k < rows; k++) {
    down.set(a.down.subarray(k * a.rank, (k + 1) * a.rank), k * rank);
    down.set(b.down.subarray(k * b.rank, (k + 1) * b.rank), k * rank + a.rank);
  }
  const up = new Float32Array(a.up.length + b.up.length);
  up.set(a.up);
  up.set(b.up, a.up.length);
  return { product: a.product, rank, down, up, bias: a.bias.map((x, m) => x + b.bias[m]) };
}

/** True where the second axis of what a product reads is as long as the queries are many: tokens can be counted there. */
export function countsTokens({ graph, shapes }: ShapedGraph, site: Site, { data }: Product): boolean {
  const { expr, layout } = site.operands.q;
  const read = shapes(graph, data).shape;
  const queries = 'value' in expr ? shapes(graph, expr.value).shape : undefined;
  return read?.length === 3 && equal(read[1], queries?.[axisOf(layout, 'n')]);
}

/** What a report says of the parameters that healing has changed. */
export interface TouchedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly how: string;
}

/** Every parameter of a plan that healing has set or changed. */
export function touchedParameters(
  scope: ShapedGraph,
  { site, constants = {}, corrections = [] }: Pick<SitePlan, 'site' | 'constants' | 'corrections'>,
): TouchedParameter[] {
  const within = `within the attention of ${site.output}`;
  const { heads, valueDim } = site;
  return [
    ...(constants.gain ? [{ name: 'gain', shape: [heads], how: `added ${within}` }] : []),
    ...(constants.bias ? [{ name: 'bias', shape: [heads, valueDim], how: `added ${within}` }] : []),
    ...corrections.flatMap(({ product: value, rank }) => {
      const product = productOf(scope, value);
      if ('refused' in product) return [];
      const { weight: name, rows, columns, transposed } = product;
      return [
        {
          name,
          shape: transposed ? [columns, rows] : [rows, columns],
          how: `kept, and a matrix of rank ${rank} and a bias of ${columns} added beside it`,
        },
      ];
    }),
  ];
}
