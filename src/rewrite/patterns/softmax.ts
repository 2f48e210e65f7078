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
 *  - k and v with heads repeated for groups of queries        Llama, Mistral (heads.ts)
 *  - between Softmax and V: Cast, Dropout, Identity, Reshape, Where(IsNaN(p), 0, p)
 */
import { add, constant, type Dim, equal, multiply, substitute, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { intAttribute, intsAttribute, isOp, producerOf } from '../../onnx/graph.js';
import { type Addend, proveMask, sumOf } from '../mask.js';
import { index, reindex } from '../prove/affine.js';
import type { Operand, Operands, ProvenMask } from '../site.js';
import { isSelf, originOf, sharesSource } from '../trace.js';
import { type ContextChain, findContext, findScores, type ScoreChain, type Step, times } from './chain.js';
import { ungrouped } from './heads.js';
import { keyCacheOf } from './key-cache.js';
import { type CheckedSite, definePattern, type Scope } from './pattern.js';
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
  readonly up: ScoreChain;
  readonly down: ContextChain;
}

export const softmax = definePattern<Match>({
  summary: 'plain Softmax between two products',
  anchors: ['Softmax', 'LogSoftmax'],

  pattern(node, scope) {
    if (isOp(node, 'LogSoftmax')) return { refused: 'LogSoftmax: logarithms weigh no values; a classifier, mostly' };
    const up = findScores(node.input[0] ?? '', scope);
    const down = findContext(node, scope);
    // Why the scores are none says more than where the result goes, unless there are scores.
    if (!('found' in up)) return up;
    if (!isLastAxis(node, scope))
      return { refused: `normalised over axis ${intAttribute(node, 'axis')}, not over the last one, the keys` };
    if (!('found' in down)) return down;
    return { found: { up: up.found, down: down.found } };
  },

  check({ up, down }, node, scope) {
    const product = readScores(up.scores, scope);
    const result = readContext(down.context, scope);
    const relative = up.steps.flatMap(({ addend }) => (addend && fromProduct(addend, scope)) ?? []);
    // Terms like those of DeBERTa say more about a site than a size that could not be proven, or a view.
    const terms = relative[0]
      ? `${relative[0]} is computed from the queries or keys and added to the scores: relative-position terms`
      : undefined;
    const short = (expected: string, but: string) => (terms ? { refused: terms } : { expected, but });
    if (typeof product === 'string') return short('Q·Kᵀ over [batch, heads, tokens, width]', product);
    if (typeof result === 'string') return short('P·V over [batch, heads, tokens, width]', result);
    const { q } = product;
    const k = untransposed(product.k, scope);
    const [qSizes, kSizes, vSizes] = [sizesOf(q, scope), sizesOf(k, scope), sizesOf(result.v, scope)];
    const headDim = toNumber(qSizes.width) ?? toNumber(kSizes.width);
    const valueDim = toNumber(vSizes.width);
    if (headDim === undefined || valueDim === undefined) {
      return short('a fixed head width', `width ${headDim ?? 'unknown'} of Q and K, ${valueDim ?? 'unknown'} of V`);
    }
    const contextValue = down.context.output[0] ?? '';
    const heads = qSizes.folded ? foldedHeads(contextValue, valueDim, scope) : toNumber(qSizes.heads);
    const keyCounts = [kSizes, vSizes].flatMap((sizes) => (sizes.folded ? [] : [toNumber(sizes.heads)]));
    // The products broadcast one head of keys and values to all queries.
    const shared = keyCounts.length === 2 && keyCounts.every((count) => count === 1);
    if (heads === undefined || (!shared && keyCounts.some((count) => count !== heads))) {
      const found = `heads ${[heads, ...keyCounts].map((count) => count ?? 'not fixed').join(', ')}`;
      return short('one fixed number of heads on Q, K and V', found);
    }
    const chain = readChain(up, { folded: qSizes.folded !== undefined, heads }, scope);
    if (typeof chain === 'string') return { refused: terms ?? chain };
    if (!sameView(down.steps, scope))
      return { expected: 'probabilities laid out as the Softmax gives them', but: 'a Transpose before P·V' };
    const quantised = [...up.steps.map((step) => step.node), ...down.steps].some((step) =>
      isOp(step, 'QuantizeLinear'),
    );
    if (quantised && chain.addends.length > 0)
      return { refused: `a mask beside quantised scores (${up.scores.name}): exact plans could not round as it does` };

    const [kGroup, vGroup] = [k, result.v].map((side) =>
      shared ? { operand: operand(side), heads: 1, factor: 1 } : ungrouped(side, heads, scope),
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
        axis: { bhnd: 2, bhdn: 3, bnhd: 1, '(bh)nd': 1, '(bh)dn': 2, 'bn(hd)': 1 }[keys.layout],
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
      ...(!grouped && { near: { q: nearSteps(q, scope), k: nearSteps(product.k, scope) } }),
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
      context: { value: contextValue, layout: result.context },
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

interface Chain {
  readonly gain: number;
  readonly addends: readonly Addend[];
  /** The addends as tensors of rank 4, in order. */
  readonly biases: readonly Expr[];
  readonly floor?: number;
}

/** Follows the scores from the product to the Softmax, keeping account of where batch, heads, queries and keys are. */
function readChain(
  { scores, steps }: ScoreChain,
  { folded, heads }: { readonly folded: boolean; readonly heads: number },
  scope: Scope,
): Chain | string {
  const shapeOf = (value: string) => scope.shapes(scope.graph, value).shape;
  const ranges = new Map([['@h', constant(heads)]]);
  const [b, i, j] = [index('@b'), index('@i'), index('@j')];
  const start = folded ? [add(multiply(b, constant(heads)), index('@h')), i, j] : [b, index('@h'), i, j];
  let at: readonly Dim[] | undefined = start;
  let gain = 1;
  let floor: number | undefined;
  const added: { expr: Expr; at: readonly Dim[]; rank4: Expr | undefined }[] = [];
  let before = scores.output[0] ?? '';
  for (const step of steps) {
    const after = step.node.output[0] ?? '';
    at = viewAfter(step, at, [shapeOf(before), shapeOf(after)], ranges);
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
    if (step.addend) added.push({ expr: step.addend, at, rank4: toRank4(step.addend, at, heads, scope) });
    floor = step.floor ?? floor;
    before = after;
  }
  if (at.at(-1)?.key !== j.key || at.at(-2)?.key !== i.key)
    return 'its scores are not laid out [batch, heads, queries, keys] at the Softmax';
  const biases = added.map(({ rank4 }) => rank4);
  if (!biases.every((bias) => bias !== undefined))
    return 'a mask is added to scores in another order of axes than [batch, heads, queries, keys]';
  const addends = added.map(({ expr, at: places }) => ({
    expr,
    at: (head: Dim) => places.map((place) => substitute(place, (name) => (name === '@h' ? head : undefined))),
  }));
  return { gain, addends, biases, floor };
}

/** Where an element of the scores is after a step. */
function viewAfter(
  { node }: Step,
  at: readonly Dim[],
  [from, to]: readonly (readonly Dim[] | undefined)[],
  ranges: ReadonlyMap<string, Dim>,
): readonly Dim[] | undefined {
  if (isOp(node, 'Transpose')) {
    const perm = intsAttribute(node, 'perm') ?? at.map((_, axis) => at.length - 1 - axis);
    return perm.map((axis) => at[axis] ?? constant(0));
  }
  if (!isOp(node, 'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten')) return at;
  return from && to && reindex(at, from, to, ranges);
}

/** A bias as a tensor of rank 4, or undefined where its axes are in another order than [batch, heads, queries, keys]. */
function toRank4(expr: Expr, at: readonly Dim[], heads: number, scope: Scope): Expr | undefined {
  const names = at.map(({ key }) => key).join();
  const ints = (data: readonly number[]): Expr => ({ constant: { type: 'int64', dims: [data.length], data } });
  const spread: Expr = { op: 'Expand', inputs: [expr, ints([1, 1, 1, 1])] };
  if (names === '1*@b,1*@h,1*@i,1*@j') return rankOf(expr, scope) === 4 ? expr : spread;
  if (at.length !== 3 || !names.endsWith(',1*@i,1*@j')) return undefined;
  const rank = rankOf(expr, scope);
  const first = 'value' in expr ? scope.shapes(scope.graph, expr.value).shape?.[0] : undefined;
  if (rank !== 3 || toNumber(first) === 1) return spread;
  const inner: Expr = { op: 'Slice', inputs: [{ op: 'Shape', inputs: [expr] }, ints([1]), ints([3])] };
  const shape: Expr = { op: 'Concat', inputs: [ints([-1, heads]), inner], attributes: { axis: 0 } };
  return { op: 'Reshape', inputs: [expr, shape] };
}

/** Rank of a value, or of an elementwise expression over values. */
function rankOf(expr: Expr, scope: Scope): number {
  if ('value' in expr) return scope.shapes(scope.graph, expr.value).shape?.length ?? 0;
  if ('constant' in expr) return expr.constant.dims.length;
  return Math.max(0, ...expr.inputs.map((input) => (input ? rankOf(input, scope) : 0)));
}

/** All that is added to the scores, float32. */
function wholeBias({ biases, floor }: Chain, elemType: number): Expr | undefined {
  const typed = biases.map(
    (bias): Expr => (elemType === 1 ? bias : { op: 'Cast', inputs: [bias], attributes: { to: 1 } }),
  );
  const sum = sumOf(typed);
  if (!sum || floor === undefined) return sum;
  return { op: 'Max', inputs: [sum, { constant: { type: 'float', dims: [], data: [floor] } }] };
}

/** Views between Softmax and P·V may fold batch and heads; a Transpose would be another product. */
function sameView(steps: readonly NodeProto[], { graph, shapes }: Scope): boolean {
  return steps.every((step) => {
    if (isOp(step, 'Transpose')) return false;
    if (!isOp(step, 'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten')) return true;
    const [from, to] = [step.input[0], step.output[0]].map((value) => shapes(graph, value ?? '').shape);
    return equal(from?.at(-1), to?.at(-1)) && equal(from?.at(-2), to?.at(-2));
  });
}

function isLastAxis(node: NodeProto, { model, graph, shapes }: Scope): boolean {
  const axis = intAttribute(node, 'axis') ?? ((model.opsets.get('') ?? 1) >= 13 ? -1 : 1);
  return axis === -1 || axis + 1 === shapes(graph, node.input[0] ?? '').shape?.length;
}
