/**
 * com.microsoft.MultiHeadAttention(query, key, value, bias, key_padding_mask, attention_bias, past…): what
 * onnxruntime's optimiser makes of BERT-like encoders. Q, K, V of rank 3 [B,N,H·D], one bias for the three side by side.
 */
import type { Expr } from '../../onnx/expr.js';
import { floatAttribute, intAttribute } from '../../onnx/graph.js';
import { fusedSite, headWidth, keyMaskBias } from './fused.js';
import { definePattern } from './pattern.js';

export const multiHeadAttention = definePattern<null>({
  summary: 'MultiHeadAttention of onnxruntime',
  anchors: ['com.microsoft.MultiHeadAttention'],

  pattern(node) {
    if (intAttribute(node, 'unidirectional') === 1)
      return { expected: 'attention in both directions', but: 'unidirectional = 1' };
    if (node.input[6] || node.input[7]) return { expected: 'no key cache', but: `past_key ${node.input[6]}` };
    if (!node.input[1] || !node.input[2])
      return { expected: 'query, key and value apart', but: 'packed in one tensor' };
    const used = node.output.slice(1).find((output) => output);
    if (used) return { expected: 'one output', but: `a further output, ${used}` };
    return { found: null };
  },

  check(_match, node, scope) {
    const [q = '', k = '', v = '', bias = '', mask = '', added = ''] = node.input;
    const [qShape, kShape, vShape] = [q, k, v].map((value) => scope.shapes(scope.graph, value).shape);
    if (qShape?.length !== 3 || kShape?.length !== 3 || vShape?.length !== 3) {
      return {
        expected: 'Q, K and V of rank 3 [batch, tokens, heads · width]',
        but: `ranks ${[qShape, kShape, vShape].map((s) => s?.length ?? 'unknown').join(', ')}`,
      };
    }
    const padding = mask ? keyMaskBias(scope, mask, k) : undefined;
    if (mask && !padding)
      return { expected: 'a key_padding_mask [batch, keys] or [batch]', but: `another form (${mask})` };
    const heads = intAttribute(node, 'num_heads') ?? 0;
    const widths = [qShape, kShape, vShape].map((shape) => headWidth(shape[2], heads));
    const [headDim, keyDim = headDim, valueDim] = widths;
    const hidden = [headDim, keyDim, valueDim].map((width) => (width ?? 0) * heads);
    const biased = (value: string, part: number): Expr => {
      if (!bias) return { value };
      const start = hidden.slice(0, part).reduce((sum, width) => sum + width, 0);
      const ints = (n: number): Expr => ({ constant: { type: 'int64', dims: [1], data: [n] } });
      return {
        op: 'Add',
        inputs: [
          { value },
          { op: 'Slice', inputs: [{ value: bias }, ints(start), ints(start + (hidden[part] ?? 0)), ints(0)] },
        ],
      };
    };
    const scale = floatAttribute(node, 'scale');
    return fusedSite(scope, {
      q: { expr: biased(q, 0), layout: 'bn(hd)' },
      k: { expr: biased(k, 1), layout: 'bn(hd)' },
      v: { expr: biased(v, 2), layout: 'bn(hd)' },
      origins: { q, k },
      biases: [...(padding ? [padding] : []), ...(added ? [{ value: added }] : [])],
      heads,
      headDim,
      valueDim,
      scale: scale === 0 ? undefined : scale,
      context: { value: node.output[0] ?? '', layout: 'bn(hd)' },
    });
  },
});
