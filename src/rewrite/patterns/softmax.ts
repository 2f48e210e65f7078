/**
 * Attention written out: Softmax(score) · V with score = gain · Q·Kᵀ (+ masks).
 *
 * Variants, and who writes them:
 *  - Softmax < Add(mask) < Div(√d) < MatMul                   BERT, MiniLM eager (TorchScript; optimum, older and newer)
 *  - Softmax < Mul(1/√d) < MatMul                             ViT, DeiT eager
 *  - Softmax < Add(mask) < MatMul(Mul(√s) < q, Mul(√s) < k)   scaled_dot_product_attention by TorchScript and dynamo 18
 *  - Softmax < Mul(1) < MatMul(q scaled after its bias, k)    Whisper, BART encoders
 *  - Softmax < Where(mask, -3.4e38, ·) < MatMul               DistilBERT
 *  - Softmax < Add < FusedMatMul(alpha, transB)               after onnxruntime's own optimiser
 *  - products of rank 3 [B·H,N,D] and Einsum               nn.MultiheadAttention, hand-written models (products.ts)
 *  - between Softmax and V: Cast, Dropout, Identity, Where(IsNaN(p), 0, p)
 */
import { type Dim, equal, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { intAttribute, isOp, producerOf } from '../../onnx/graph.js';
import { isInputFree, keyOnly, maskedBelow, sumOf } from '../mask.js';
import type { Operand, Operands } from '../site.js';
import { constantFactor, isSelf, isTransparent, originOf, scalarOf, sharesSource } from '../trace.js';
import { type CheckedSite, definePattern, type Outcome, type Scope } from './pattern.js';
import {
  foldedHeads,
  isTensorProduct,
  nearSteps,
  readContext,
  readScores,
  replay,
  type Side,
  sizesOf,
  untransposed,
} from './products.js';

interface Match {
  readonly scores: NodeProto;
  readonly context: NodeProto;
  readonly gain: number;
  readonly biases: readonly Expr[];
  /** Nodes between the products and the Softmax that quantise; empty in float models. */
  readonly scoreSteps: readonly NodeProto[];
  readonly probabilitySteps: readonly NodeProto[];
}

export const softmax = definePattern<Match>({
  summary: 'plain Softmax between two products',
  anchors: ['Softmax'],

  pattern(node, scope) {
    const context = findContext(node, scope);
    if (!('found' in context)) return context;
    const scores = findScores(node.input[0] ?? '', scope);
    if (!('found' in scores)) return scores;
    if (!isLastAxis(node, scope)) {
      return { expected: 'Softmax over the last axis, the keys', but: `axis ${intAttribute(node, 'axis')}` };
    }
    return { found: { ...scores.found, ...context.found } };
  },

  check({ scores, context, gain, biases, scoreSteps, probabilitySteps }, node, scope) {
    const product = readScores(scores, scope);
    const result = readContext(context, scope);
    if (typeof product === 'string') return { expected: 'Q·Kᵀ over [batch, heads, tokens, width]', but: product };
    if (typeof result === 'string') return { expected: 'P·V over [batch, heads, tokens, width]', but: result };
    const { q } = product;
    const k = untransposed(product.k, scope);
    const [qSizes, kSizes, vSizes] = [sizesOf(q, scope), sizesOf(k, scope), sizesOf(result.v, scope)];
    const headDim = toNumber(qSizes.width) ?? toNumber(kSizes.width);
    const valueDim = toNumber(vSizes.width);
    if (headDim === undefined || valueDim === undefined) {
      return {
        expected: 'a fixed head width',
        but: `width ${headDim ?? 'unknown'} of Q and K, ${valueDim ?? 'unknown'} of V`,
      };
    }
    const contextValue = context.output[0] ?? '';
    const heads = qSizes.folded
      ? [foldedHeads(contextValue, valueDim, scope)]
      : [qSizes, kSizes, vSizes].map((sizes) => toNumber(sizes.heads));
    const [headCount] = heads;
    if (headCount === undefined || heads.some((count) => count !== headCount)) {
      return {
        expected: 'one fixed number of heads on Q, K and V',
        but: `heads ${heads.map((count) => count ?? 'not fixed').join(', ')}`,
      };
    }
    const masks = checkBiases(biases, scope);
    if ('but' in masks) return masks;
    const quantised = [...scoreSteps, ...probabilitySteps].some((step) => isOp(step, 'QuantizeLinear'));
    if (quantised && biases.length > 0) {
      return { expected: 'no mask between quantised scores', but: `a mask beside QuantizeLinear (${scores.name})` };
    }
    const [qOrigin, kOrigin] = [originOf(scope, q.value), originOf(scope, k.value)];
    const kind = isSelf(scope, qOrigin, kOrigin) ? 'self' : 'cross';
    const alpha = gain * product.alpha;
    const operands: Operands = {
      q: operand(q),
      k: operand(k),
      v: operand(result.v),
      gain: alpha,
      scaled: { q: qOrigin.scale, k: kOrigin.scale },
      near: { q: nearSteps(q, scope), k: nearSteps(product.k, scope) },
      aligned: (sharesSource(qOrigin, kOrigin) && !kOrigin.past) || equal(qSizes.tokens, kSizes.tokens),
      ...masks.found,
      ...(quantised && {
        rounding: {
          scores: replay(scoreSteps, scores.output[0] ?? ''),
          probabilities: replay(probabilitySteps, node.output[0] ?? ''),
        },
      }),
      context: { value: contextValue, layout: result.context },
      elemType: scope.shapes(scope.graph, q.value).elemType || scope.shapes(scope.graph, k.value).elemType || 1,
    };
    return {
      found: {
        kind,
        causal: false,
        mask: masks.found.keyBias ? 'padding' : 'none',
        heads: headCount,
        kvHeads: headCount,
        headDim,
        valueDim,
        scale: alpha * qOrigin.scale * kOrigin.scale,
        positional: qOrigin.rotary && kOrigin.rotary ? 'rope' : 'none',
        pastKeyValues: kOrigin.past,
        operands,
      } satisfies CheckedSite,
    };
  },
});

function operand({ value, layout }: Side): Operand {
  return { expr: { value }, layout };
}

/** From the probabilities down to the product with V, through what changes nothing at inference. */
function findContext(node: NodeProto, { graph }: Scope): Outcome<Pick<Match, 'context' | 'probabilitySteps'>> {
  let value = node.output[0] ?? '';
  const probabilitySteps: NodeProto[] = [];
  for (;;) {
    if (graph.isOutput(value))
      return {
        refused: `the probabilities are a graph output (${value}): a rewrite would have to drop or recompute them`,
      };
    const readers = [...new Set(graph.consumers(value))];
    const guard = readers.length === 2 ? nanGuard(value, readers) : undefined;
    const [reader] = guard ? [guard] : readers;
    if (!reader || (!guard && readers.length > 1)) return { unrelated: true };
    if (guard || isTransparent(reader)) {
      probabilitySteps.push(reader);
      value = reader.output[0] ?? '';
    } else if (isTensorProduct(graph, reader) && reader.input[0] === value)
      return { found: { context: reader, probabilitySteps } };
    else return { unrelated: true };
  }
}

/** Where(IsNaN(p), 0, p): what SDPA exports put behind a softmax whose rows may be fully masked. */
function nanGuard(value: string, readers: readonly NodeProto[]): NodeProto | undefined {
  const test = readers.find((reader) => isOp(reader, 'IsNaN'));
  const where = readers.find((reader) => isOp(reader, 'Where'));
  return test && where && where.input[0] === test.output[0] && where.input[2] === value ? where : undefined;
}

/** From the Softmax up to the product of Q and K, gathering factors and masks on the way. */
function findScores(start: string, scope: Scope): Outcome<Omit<Match, 'context' | 'probabilitySteps'>> {
  let gain = 1;
  let value = start;
  const biases: Expr[] = [];
  const scoreSteps: NodeProto[] = [];
  for (;;) {
    const node = producerOf(scope.graph, value);
    if (!node) return { unrelated: true };
    if (isTensorProduct(scope.graph, node)) return { found: { scores: node, gain, biases, scoreSteps } };
    scoreSteps.unshift(node);
    if (isTransparent(node)) value = node.input[0] ?? '';
    else if (isOp(node, 'Mul', 'Div')) {
      const factor = constantFactor(scope, node);
      if (!factor)
        return { expected: 'a constant factor on the scores', but: `${node.opType} by a tensor (${node.name})` };
      gain *= factor.factor;
      value = factor.data;
    } else if (isOp(node, 'Add')) {
      const side = node.input.findIndex((input) => leadsToProduct(input, scope));
      if (side < 0) return { unrelated: true };
      biases.push(scaled({ value: node.input[1 - side] ?? '' }, gain));
      value = node.input[side] ?? '';
    } else if (isOp(node, 'Sub') && isOp(producerOf(scope.graph, node.input[1] ?? ''), 'ReduceMax'))
      value = node.input[0] ?? '';
    else if (isOp(node, 'Where')) {
      const masked = whereMask(node, scope);
      if (!masked)
        return { expected: 'Where(mask, score, a very negative constant)', but: `other operands (${node.name})` };
      biases.push(masked.bias);
      value = masked.scores;
    } else return { unrelated: true };
  }
}

function leadsToProduct(value: string, scope: Scope): boolean {
  return 'found' in findScores(value, scope);
}

function scaled(expr: Expr, gain: number): Expr {
  return gain === 1 ? expr : { op: 'Mul', inputs: [expr, { constant: { type: 'float', dims: [], data: [gain] } }] };
}

/** Where(c, -big, x) and Where(c, x, -big) as an addend: softmax gives masked keys no weight either way. */
function whereMask(node: NodeProto, scope: Scope): { bias: Expr; scores: string } | undefined {
  const [condition = '', then = '', otherwise = ''] = node.input;
  const zero: Expr = { constant: { type: 'float', dims: [], data: [0] } };
  const lowest: Expr = { constant: { type: 'float', dims: [], data: [-3.4028234663852886e38] } };
  const isLow = (value: string) => (scalarOf(scope, value) ?? 0) <= maskedBelow;
  const low = isLow(then) ? lowest : undefined;
  if (low && leadsToProduct(otherwise, scope))
    return { bias: { op: 'Where', inputs: [{ value: condition }, low, zero] }, scores: otherwise };
  if (isLow(otherwise) && leadsToProduct(then, scope))
    return { bias: { op: 'Where', inputs: [{ value: condition }, zero, lowest] }, scores: then };
  return undefined;
}

/** Joins the addends of the scores; each must be proven to depend on the key alone. */
function checkBiases(
  biases: readonly Expr[],
  scope: Scope,
): { found: Pick<Operands, 'keyBias'> } | { expected: string; but: string } {
  const keys: Expr[] = [];
  for (const full of biases) {
    const key = keyOnly(scope, full);
    if (!key) {
      const name = 'value' in full ? full.value : 'a Where condition';
      const shape = 'value' in full ? scope.shapes(scope.graph, full.value).shape : undefined;
      const form =
        'value' in full && isInputFree(scope, full.value)
          ? 'a table of constants'
          : `[${shape?.map((dim: Dim) => dim.key).join(', ') ?? 'unknown shape'}]`;
      return { expected: 'no mask, or a padding mask that depends on the key alone', but: `${name}, ${form}` };
    }
    keys.push(key);
  }
  return { found: { keyBias: sumOf(keys) } };
}

function isLastAxis(node: NodeProto, { model, graph, shapes }: Scope): boolean {
  const axis = intAttribute(node, 'axis') ?? ((model.opsets.get('') ?? 1) >= 13 ? -1 : 1);
  return axis === -1 || axis + 1 === shapes(graph, node.input[0] ?? '').shape?.length;
}
