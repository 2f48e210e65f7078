/**
 * Attention of the standard operator set (opset 23 on): what dynamo writes for scaled_dot_product_attention.
 * Q, K, V of rank 4 [B,H,N,D], or of rank 3 [B,N,H·D] with the head counts as attributes; a boolean or additive mask of
 * rank 2 to 4; a cache [B,G,P,D]; is_causal lets query i look at keys up to i + P.
 */
import { equal, toNumber } from '../../onnx/dims.js';
import { call, type Expr, ints } from '../../onnx/expr.js';
import { floatAttribute, intAttribute } from '../../onnx/graph.js';
import { axisOf, type Layout } from '../layout.js';
import type { Operand } from '../site.js';
import {
  beyond,
  cached,
  causalBias,
  fusedSite,
  headWidth,
  iota,
  joined,
  keyBias,
  lastPositions,
  sizeOf,
  slice,
  toInts,
} from './fused.js';
import { operatorCache } from './key-cache.js';
import { definePattern } from './pattern.js';

export const onnxAttention = definePattern<null>({
  summary: 'Attention of opset 23',
  anchors: ['Attention'],

  pattern(node, scope) {
    const foreign = beyond(node, scope, {
      inputs: [],
      reads: 7,
      attributes: {
        is_causal: undefined,
        scale: undefined,
        q_num_heads: undefined,
        kv_num_heads: undefined,
        qk_matmul_output_mode: undefined,
        softmax_precision: undefined,
        softcap: 0,
      },
      outputs: 3,
    });
    return foreign ?? { found: null };
  },

  check(_match, node, scope) {
    const [q = '', k = '', v = '', mask, pastKey, pastValue, lengths] = node.input;
    const [qShape, kShape, vShape, maskShape] = [q, k, v, mask].map(
      (value) => (value && scope.shapes(scope.graph, value).shape) || undefined,
    );
    if (!qShape || !kShape || !vShape) return { refused: `the ranks of ${q}, ${k} and ${v} are not proven` };
    const layout: Layout = qShape.length === 4 ? 'bhnd' : 'bn(hd)';
    const split = layout === 'bhnd';
    const heads = (split ? toNumber(qShape[1]) : intAttribute(node, 'q_num_heads')) ?? 0;
    const kvHeads = (split ? toNumber(kShape[1]) : intAttribute(node, 'kv_num_heads')) ?? 0;
    const headDim = split ? (toNumber(qShape[3]) ?? toNumber(kShape[3])) : headWidth(qShape[2], heads);
    const valueDim = split ? toNumber(vShape[3]) : headWidth(vShape[2], kvHeads);

    const causal = intAttribute(node, 'is_causal') === 1;
    // Without a cache the triangle starts at the upper left: it ends at the lower right where N = S only.
    if (causal && !lengths && !equal(qShape.at(-2), kShape.at(-2)))
      return { refused: `is_causal on queries and keys that are not proven to be of one length (${q}, ${k})` };
    if (pastKey && !node.output[1]) return { refused: `past_key (${pastKey}) without present_key` };
    const [, presentKey, presentValue] = node.output;
    const join = (value: string, width = 0, past?: string, wanted?: string) =>
      cached({ expr: { value }, layout }, { heads: kvHeads, width, past, wanted });
    const allKeys = join(k, headDim, pastKey, presentKey);
    const allValues = join(v, valueDim, pastValue, presentValue);

    // nonpad_kv_seqlen: a cache longer than what is in it. What lies beyond the longest row is cut off.
    const held = lengths ? toInts(scope, lengths, [-1, 1]) : undefined;
    const longest = held && call('ReduceMax', [held], { keepdims: 0 });
    const cut = (side: Operand): Operand =>
      longest ? { ...side, expr: slice(side.expr, axisOf(side.layout, 'n'), 0, longest) } : side;
    const keys = longest ?? sizeOf(allKeys.expr, axisOf(allKeys.layout, 'n'));
    const queries = sizeOf(q, axisOf(layout, 'n'));
    const rows = (first: Expr) => call('Reshape', [call('Add', [first, iota(queries)]), ints([0, 1, -1, 1])]);
    const positions = held ? rows(call('Sub', [held, queries])) : lastPositions(queries, keys);
    // Opset 24 pads a mask that is shorter than the keys, which sizes alone can tell from one that broadcasts.
    if (mask && (lengths || (maskShape && toNumber(maskShape.at(-1)) === 1)))
      return { refused: `attn_mask (${mask}) of a length that is not proven to be that of the keys` };
    return fusedSite(scope, {
      q: { expr: { value: q }, layout },
      k: cut(allKeys),
      v: cut(allValues),
      origins: { q, k },
      tokens: { queries: qShape.at(-2), keys: held ? undefined : joined(scope, pastKey, kShape.at(-2)) },
      added: mask ? [mask] : [],
      padding: held && keyBias(call('Not', [call('Less', [iota(keys), held])])),
      causal: causal ? causalBias(positions, keys) : undefined,
      guarded: Boolean(mask || lengths),
      past: Boolean(pastKey),
      self: Boolean(pastKey),
      single: toNumber(qShape.at(-2)) === 1,
      heads,
      kvHeads,
      headDim,
      valueDim,
      scale: floatAttribute(node, 'scale'),
      context: { value: node.output[0] ?? '', layout },
      cache: operatorCache(scope, node, {
        past: [pastKey, pastValue],
        present: [presentKey, presentValue],
        fresh: [k, v].map((value) => ({ expr: { value }, layout })),
        tokens: queries,
      }),
      present: [
        [presentKey, allKeys.expr],
        [presentValue, allValues.expr],
      ],
    });
  },
});
