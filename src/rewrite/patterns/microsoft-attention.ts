/**
 * com.microsoft.Attention(input, weights, bias, mask_index, past, attention_bias): projections and attention in one
 * node, the weights of q, k and v side by side. Written by onnxruntime's optimiser for BERT, ViT and BART encoders.
 */
import { constant, divideExactly, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import { floatAttribute, intAttribute, intsAttribute } from '../../onnx/graph.js';
import { fusedSite, keyMaskBias, lastAxisSlice } from './fused.js';
import { definePattern } from './pattern.js';

export const microsoftAttention = definePattern<null>({
  summary: 'Attention of onnxruntime, projections inside',
  anchors: ['com.microsoft.Attention'],

  pattern(node) {
    if (intAttribute(node, 'unidirectional') === 1)
      return { expected: 'attention in both directions', but: 'unidirectional = 1' };
    if (intAttribute(node, 'do_rotary') === 1) return { expected: 'no rotary embedding inside', but: 'do_rotary = 1' };
    if (node.input[4]) return { expected: 'no key cache', but: `past ${node.input[4]}` };
    const used = node.output.slice(1).find((output) => output);
    if (used) return { expected: 'one output', but: `a further output, ${used}` };
    return { found: null };
  },

  check(_match, node, scope) {
    const [x = '', weights = '', bias = '', mask = '', , added = ''] = node.input;
    const heads = intAttribute(node, 'num_heads') ?? 0;
    const packed = scope.shapes(scope.graph, weights).shape?.[1];
    const third = packed && toNumber(divideExactly(packed, constant(3)));
    const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? (third === undefined ? [] : [third, third, third]);
    const [qSize, kSize, vSize] = sizes;
    if (qSize === undefined || kSize === undefined || vSize === undefined || qSize !== kSize) {
      return { expected: 'known sizes of q, k and v', but: `weights of unknown width (${weights})` };
    }
    const padding = mask ? keyMaskBias(scope, mask, x) : undefined;
    if (mask && !padding) return { expected: 'a mask_index [batch, keys] or [batch]', but: `another form (${mask})` };
    const product: Expr = { op: 'MatMul', inputs: [{ value: x }, { value: weights }] };
    const qkv: Expr = bias ? { op: 'Add', inputs: [product, { value: bias }] } : product;
    const part = (start: number, size: number) =>
      ({ expr: lastAxisSlice(qkv, 2, start, start + size), layout: 'bn(hd)' }) as const;
    return fusedSite(scope, {
      q: part(0, qSize),
      k: part(qSize, kSize),
      v: part(qSize + kSize, vSize),
      origins: { q: x, k: x },
      biases: [...(padding ? [padding] : []), ...(added ? [{ value: added }] : [])],
      heads,
      headDim: qSize / heads,
      valueDim: vSize / heads,
      scale: floatAttribute(node, 'scale') || undefined,
      context: { value: node.output[0] ?? '', layout: 'bn(hd)' },
    });
  },
});
