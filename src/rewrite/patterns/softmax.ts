/**
 * Attention written out: Softmax(score) · V with score = gain · Q·Kᵀ (+ masks).
 *
 * Variants, and who writes them:
 *  - Softmax < Add(mask) < Div(√d) < MatMul                   BERT, MiniLM eager (TorchScript; optimum, older and newer)
 *  - Softmax < Mul(1/√d) < MatMul                             ViT, DeiT eager
 *  - Softmax < Add(mask) < MatMul(Mul(√s) < q, Mul(√s) < k)   scaled_dot_product_attention by TorchScript and dynamo 18
 *  - Softmax < Mul(1) < MatMul(q scaled after its bias, k)    Whisper, BART encoders
 *  - Softmax < Where(mask, -3.4e38, ·) < MatMul               DistilBERT
 *  - Softmax < Add < Where(tril, ·, -3.4e38) < Div < MatMul   GPT-2, two masks one after the other
 *  - Softmax < Add < Reshape < Add(alibi) < Mul < MatMul      BLOOM, on [B·H,N,D]
 *  - Softmax < Max(-3.4e38) < Add < MatMul                    OPT
 *  - Softmax < Add < FusedMatMul(alpha, transB)               after onnxruntime's own optimiser
 *  - products of rank 3 [B·H,N,D] and Einsum                  nn.MultiheadAttention, hand-written models (products.ts)
 *  - of rank 5 [B,G,R,N,D] and [B,windows,H,N,D], rank 2      grouped and windowed attention, one sequence alone
 *  - V·Pᵀ, K·Qᵀ and a Softmax over another axis than the last YOLO, autoencoders of Stable Diffusion, SAGAN (score-axes.ts)
 *  - k and v with heads repeated for groups of queries        Llama, Mistral (heads.ts)
 *  - exp(x − max x) ÷ Σ exp(x − max x) for the Softmax        JAX (normalisation.ts)
 *  - Softmax on [B·H·N,S]                                     tf2onnx, paddle2onnx
 *  - between Softmax and V: Cast, Dropout, Identity, Reshape, Where(IsNaN(p), 0, p)
 */
import { equal, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import { isOp, producerOf } from '../../onnx/graph.js';
import { axisOf } from '../layout.js';
import { proveMask } from '../mask.js';
import type { Operand, Operands, ProvenMask } from '../site.js';
import { isSelf, originOf, sharesSource } from '../trace.js';
import { type ContextChain, findContext, findScores, type ScoreChain } from './chain.js';
import { ungrouped } from './heads.js';
import { keyCacheOf } from './key-cache.js';
import { normalisationOf } from './normalisation.js';
import { type CheckedSite, definePattern, type Scope } from './pattern.js';
import {
  type ContextProduct,
  contextWidth,
  foldedHeads,
  isTensorProduct,
  nearSteps,
  readContext,
  readScores,
  replay,
  type ScoreProduct,
  type Side,
  sizesOf,
  untransposed,
} from './products.js';
import { axesAfter, axisName, type ReadScores, readSteps, wholeBias } from './score-axes.js';

interface Match {
  readonly up: ScoreChain;
  readonly down: ContextChain;
  /** The axis that is normalised. */
  readonly axis: number;
}

export const softmax = definePattern<Match>({
  summary: 'plain Softmax between two products',
  anchors: ['Softmax', 'LogSoftmax', 'Div'],

  pattern(node, scope) {
    if (isOp(node, 'LogSoftmax')) return { refused: 'LogSoftmax: logarithms weigh no values; a classifier, mostly' };
    const normalisation = normalisationOf(node, scope);
    if (!normalisation) return { unrelated: true };
    const up = findScores(normalisation.scores, scope);
    const down = findContext(node, scope);
    // Why the scores are none says more than where the result goes, unless there are scores.
    if (!('found' in up)) return up;
    if (!('found' in down)) return down;
    return { found: { up: up.found, down: down.found, axis: normalisation.axis } };
  },

  check({ up, down, axis }, node, scope) {
    const relative = up.steps.flatMap(({ addend }) => (addend && fromProduct(addend, scope)) ?? []);
    // Terms like those of DeBERTa say more about a site than a size that could not be proven, or a view.
    const terms = relative[0]
      ? `${relative[0]} is computed from the queries or keys and added to the scores: relative-position terms`
      : undefined;
    const short = (expected: string, but: string) => (terms ? { refused: terms } : { expected, but });
    const read = readProducts({ up, down, axis }, scope);
    if ('refused' in read) return { refused: terms ?? read.refused };
    if ('but' in read) return short(read.expected, read.but);
    const { product, chain, result, heads } = read;
    const { q } = product;
    const k = untransposed(product.k, scope);
    const [qSizes, kSizes, vSizes] = [sizesOf(q, scope), sizesOf(k, scope), sizesOf(result.v, scope)];
    const headDim = toNumber(qSizes.width) ?? toNumber(kSizes.width);
    const valueDim = toNumber(vSizes.width);
    if (headDim === undefined || valueDim === undefined) {
      return short('a fixed head width', `width ${headDim ?? 'unknown'} of Q and K, ${valueDim ?? 'unknown'} of V`);
    }
    const keyCounts = [kSizes, vSizes].flatMap((sizes) => (sizes.folded ? [] : [toNumber(sizes.heads)]));
    // The products broadcast one head of keys and values to all queries, or to a group of them.
    const [keyHeads] = keyCounts;
    const groups = q.layout.includes('g') ? keyHeads : 1;
    const shared = keyHeads !== undefined && keyCounts.length === 2 && keyCounts.every((count) => count === groups);
    if (!shared && keyCounts.some((count) => count !== heads)) {
      const found = `heads ${[heads, ...keyCounts].map((count) => count ?? 'not fixed').join(', ')}`;
      return short('one fixed number of heads on Q, K and V', found);
    }
    const quantised = [...up.steps.map((step) => step.node), ...down.steps].some((step) =>
      isOp(step, 'QuantizeLinear'),
    );
    if (quantised && (chain.addends.length > 0 || !read.plain))
      return {
        refused: `quantised scores (${up.scores.name}) with ${read.plain ? 'a mask' : 'their axes moved'}: exact plans could not round as it does`,
      };

    const [kGroup, vGroup] = [k, result.v].map((side) =>
      shared ? { operand: operand(side), heads: keyHeads, factor: 1 } : ungrouped(side, heads, scope),
    );
    const grouped =
      kGroup && vGroup && kGroup.heads === vGroup.heads && vGroup.factor === 1 ? { k: kGroup, v: vGroup } : undefined;
    const keys = grouped?.k.operand ?? operand(k);
    const [qOrigin, kOrigin] = [originOf(scope, q.value), originOf(scope, k.value)];
    const kind = isSelf(scope, qOrigin, kOrigin) ? 'self' : 'cross';
    const proven = proveMask(scope, {
      heads,
      queries: qSizes.tokens,
      keys: kSizes.tokens,
      keyTensor: {
        expr: keys.expr,
        axis: axisOf(keys.layout, 'n'),
      },
      addends: chain.addends,
    });
    const mask: ProvenMask = 'found' in proven ? proven.found : { causal: false, mask: 'bias' };
    const { keyBias, sliding, slopes } = mask;
    const gain = chain.gain * product.alpha * (grouped?.k.factor ?? 1);
    const elemType = scope.shapes(scope.graph, q.value).elemType || scope.shapes(scope.graph, k.value).elemType || 1;
    const values = grouped?.v.operand ?? operand(result.v);
    const cache = keyCacheOf(scope, { k: keys, v: values, keyBias });
    const operands: Operands = {
      q: operand(q),
      k: keys,
      v: values,
      gain,
      scaled: { q: qOrigin.scale, k: kOrigin.scale / (grouped?.k.factor ?? 1) },
      ...(!grouped && read.plain && { near: { q: nearSteps(q, scope), k: nearSteps(product.k, scope) } }),
      aligned: (sharesSource(qOrigin, kOrigin) && !kOrigin.past) || equal(qSizes.tokens, kSizes.tokens),
      ...(keyBias && { keyBias }),
      ...(sliding && { sliding }),
      ...(slopes && { slopes }),
      ...(mask.mask !== 'none' &&
        mask.mask !== 'padding' && { bias: wholeBias(chain, elemType), guarded: down.guarded }),
      ...(quantised && {
        rounding: {
          scores: replay(
            up.steps.map((step) => step.node),
            up.scores.output[0] ?? '',
          ),
          probabilities: replay(down.steps, node.output[0] ?? ''),
        },
      }),
      context: { value: down.context.output[0] ?? '', layout: result.context },
      ...(cache && { cache }),
      elemType,
    };
    const single = kind === 'self' && kOrigin.past && toNumber(qSizes.tokens) === 1;
    const site: CheckedSite = {
      kind,
      causal: mask.causal || single,
      mask: mask.mask,
      heads,
      kvHeads: grouped?.k.heads ?? heads,
      headDim,
      valueDim,
      scale: chain.gain * product.alpha * qOrigin.scale * kOrigin.scale,
      positional: slopes ? 'alibi' : qOrigin.rotary && kOrigin.rotary ? 'rope' : 'none',
      pastKeyValues: kOrigin.past,
      operands,
    };
    return 'found' in proven ? { found: site } : { refused: proven.refused, site };
  },
});

/** The value that is added, where it is computed from a product of two tensors. */
function fromProduct(addend: Expr, scope: Scope): string | undefined {
  const { graph } = scope;
  if ('constant' in addend) return undefined;
  if ('op' in addend) return addend.inputs.flatMap((input) => (input && fromProduct(input, scope)) ?? [])[0];
  const seen = new Set<string>();
  const reaches = (value: string, depth: number): boolean => {
    const node = producerOf(graph, value);
    if (!node || depth === 0 || seen.has(value) || isOp(node, 'Shape', 'Size')) return false;
    seen.add(value);
    return isTensorProduct(graph, node) || node.input.some((input) => input && reaches(input, depth - 1));
  };
  return reaches(addend.value, 12) ? addend.value : undefined;
}

function operand({ value, layout }: Side): Operand {
  return { expr: { value }, layout };
}

/** Both products and what lies between them. */
interface ReadProducts {
  readonly product: ScoreProduct;
  readonly chain: ReadScores;
  readonly result: ContextProduct;
  readonly heads: number;
  /** Scores and probabilities are [batch, heads, queries, keys] all the way, P before V. */
  readonly plain: boolean;
}

function readProducts(
  { up, down, axis }: Match,
  scope: Scope,
): ReadProducts | { readonly expected: string; readonly but: string } | { readonly refused: string } {
  const width = contextWidth(down.context, down.at, scope);
  for (const keysFirst of [false, true]) {
    const product = readScores(up.scores, scope, keysFirst);
    if (typeof product === 'string') return { expected: 'Q·Kᵀ over [batch, heads, tokens, width]', but: product };
    const sizes = sizesOf(product.q, scope);
    const heads = sizes.folded
      ? width && foldedHeads(down.context.output[0] ?? '', width, scope)
      : toNumber(sizes.heads);
    if (heads === undefined) return { expected: 'one fixed number of heads on Q, K and V', but: 'heads not fixed' };
    const chain = readSteps(up.steps, { axes: product.axes, heads }, scope);
    if (typeof chain === 'string') return { refused: chain };
    // Normalised over the other side's tokens: those are the keys.
    const normalised = axisName(chain.at[axis]);
    if (normalised === 'i' && !keysFirst) continue;
    if (normalised !== 'j') break;
    const axes = axesAfter(down.steps, chain.at, heads, scope);
    const result = axes
      ? readContext(down.context, { at: down.at, axes }, scope)
      : 'its probabilities are regrouped before P·V';
    if (typeof result === 'string') return { expected: 'P·V over [batch, heads, tokens, width]', but: result };
    const atSoftmax = chain.at.slice(-2).map(axisName);
    const inOrder = [product.axes, atSoftmax, axes ?? []].every((names) => names.slice(-2).join('') === 'ij');
    return { product, chain, result, heads, plain: !keysFirst && down.at === 0 && inOrder };
  }
  return { refused: axis < 0 ? 'normalised over several axes' : `normalised over axis ${axis}, not over the keys` };
}
