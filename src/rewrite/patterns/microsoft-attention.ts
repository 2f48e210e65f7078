/**
 * com.microsoft.Attention(input, weights, bias, mask_index, past, attention_bias): projections and attention in one
 * node, the weights of q, k and v side by side, the cache [2,B,H,P,D] in one tensor. Written by onnxruntime's optimiser
 * for BERT, ViT, BART encoders and GPT-2. (do_rotary exists on GPUs alone, with no definition elsewhere.)
 */
import { constant, divideExactly, toNumber } from '../../onnx/dims.js';
import { call, type Expr, ints } from '../../onnx/expr.js';
import { floatAttribute, intAttribute, intsAttribute } from '../../onnx/graph.js';
import { axisOf } from '../layout.js';
import { maskedBelow } from '../prove/cases.js';
import type { Operand } from '../site.js';
import {
  beyond,
  cached,
  causalBias,
  fusedSite,
  joined,
  lastPositions,
  paddingBias,
  pairBias,
  sizeOf,
  slice,
} from './fused.js';
import { definePattern } from './pattern.js';

export const microsoftAttention = definePattern<null>({
  summary: 'Attention of onnxruntime, projections inside',
  anchors: ['com.microsoft.Attention'],

  pattern(node, scope) {
    const foreign = beyond(node, scope, {
      inputs: ['', '', '', '', '', '', 'past_sequence_length'],
      reads: 6,
      attributes: {
        num_heads: undefined,
        unidirectional: undefined,
        qkv_hidden_sizes: undefined,
        mask_filter_value: undefined,
        scale: undefined,
        rotary_embedding_dim: undefined,
        do_rotary: 0,
        past_present_share_buffer: 0,
      },
      outputs: 2,
    });
    return foreign ?? { found: null };
  },

  check(_match, node, scope) {
    const [x = '', weights = '', bias = '', mask, past, added] = node.input;
    const heads = intAttribute(node, 'num_heads') ?? 0;
    const packed = scope.shapes(scope.graph, weights).shape?.[1];
    const third = packed && toNumber(divideExactly(packed, constant(3)));
    const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? (third === undefined ? [] : [third, third, third]);
    const [qSize, kSize, vSize] = sizes;
    if (qSize === undefined || kSize === undefined || vSize === undefined || qSize !== kSize)
      return { refused: `weights of unknown or unequal width (${weights}): ${sizes}` };
    const [headDim, valueDim] = [qSize / heads, vSize / heads];
    const low = floatAttribute(node, 'mask_filter_value') ?? -10000;
    if (mask && low > maskedBelow)
      return { refused: `mask_filter_value = ${low}: masked keys would still be looked at` };
    const present = node.output[1];
    if (past && !present) return { refused: `past (${past}) without present` };

    const product = call('MatMul', [x, weights]);
    const qkv: Expr = bias ? call('Add', [product, bias]) : product;
    const part = (start: number, size: number): Operand => ({
      expr: slice(qkv, 2, start, start + size),
      layout: 'bn(hd)',
    });
    const join = (side: Operand, index: number, width: number) =>
      cached(side, { heads, width, past: past && call('Gather', [past, index], { axis: 0 }), wanted: present });
    const k = join(part(qSize, kSize), 0, headDim);
    const v = join(part(qSize + kSize, vSize), 1, valueDim);
    const keys = sizeOf(k.expr, axisOf(k.layout, 'n'));
    const shape = scope.shapes(scope.graph, x).shape;
    const pairs = mask && scope.shapes(scope.graph, mask).shape?.length === 3 ? pairBias(mask, low) : undefined;
    const padding = mask && !pairs ? paddingBias(scope, mask, shape?.[0], keys, low) : undefined;
    if (mask && !padding && !pairs)
      return {
        refused: `mask_index (${mask}) is not proven to be [batch, keys], [batch], [2 · batch] or [batch, queries, keys]`,
      };
    const causal = intAttribute(node, 'unidirectional') === 1;
    const both = call('Concat', [k.expr, v.expr], { axis: 0 });
    return fusedSite(scope, {
      q: part(0, qSize),
      k,
      v,
      origins: { q: x, k: x },
      tokens: { queries: shape?.[1], keys: joined(scope, past, shape?.[1]) },
      added: [...(added ? [added] : []), ...(pairs ? [pairs] : [])],
      padding,
      causal: causal ? causalBias(lastPositions(sizeOf(x, 1), keys), keys) : undefined,
      past: Boolean(past),
      single: toNumber(shape?.[1]) === 1,
      heads,
      headDim,
      valueDim,
      scale: floatAttribute(node, 'scale') || undefined,
      context: { value: node.output[0] ?? '', layout: 'bn(hd)' },
      present: [[present, call('Reshape', [both, call('Concat', [ints([2]), call('Shape', [k.expr])], { axis: 0 })])]],
    });
  },
});
