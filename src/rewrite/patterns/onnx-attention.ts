/**
 * Attention of the standard operator set (opset 23 on): what dynamo writes for scaled_dot_product_attention.
 * Q, K, V of rank 4 [B,H,N,D], or of rank 3 [B,N,H·D] with the head counts as attributes; a boolean or additive mask.
 */
import { toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import { floatAttribute, intAttribute } from '../../onnx/graph.js';
import { booleanBias, fusedSite, headWidth } from './fused.js';
import { definePattern } from './pattern.js';

const boolType = 9;

export const onnxAttention = definePattern<null>({
  summary: 'Attention of opset 23',
  anchors: ['Attention'],

  pattern(node) {
    if (intAttribute(node, 'is_causal') === 1)
      return { expected: 'attention in both directions', but: 'is_causal = 1' };
    if ((floatAttribute(node, 'softcap') ?? 0) !== 0)
      return {
        refused: `softcap ${floatAttribute(node, 'softcap')}: scores go through tanh, no longer softmax of q·k`,
      };
    if (node.input[4] || node.input[5]) return { expected: 'no key cache', but: `past_key ${node.input[4]}` };
    if (node.input[6]) return { expected: 'no sequence lengths', but: `nonpad_kv_seqlen ${node.input[6]}` };
    const used = node.output.slice(1).find((output) => output);
    if (used) return { expected: 'one output', but: `a further output, ${used}` };
    return { found: null };
  },

  check(_match, node, scope) {
    const [q = '', k = '', v = '', mask = ''] = node.input;
    const shapes = [q, k, v].map((value) => scope.shapes(scope.graph, value).shape);
    const [qShape, kShape, vShape] = shapes;
    const split = qShape?.length === 4;
    const heads = split ? toNumber(qShape?.[1]) : intAttribute(node, 'q_num_heads');
    const kvHeads = split ? toNumber(kShape?.[1]) : intAttribute(node, 'kv_num_heads');
    if (heads === undefined || heads !== kvHeads) {
      return {
        expected: 'one fixed number of heads on Q, K and V',
        but: `${heads ?? 'unknown'} query heads, ${kvHeads ?? 'unknown'} key heads`,
      };
    }
    const layout = split ? 'bhnd' : 'bn(hd)';
    const operand = (value: string) => ({ expr: { value }, layout }) as const;
    const full: Expr = { value: mask };
    const isBoolean = mask !== '' && scope.shapes(scope.graph, mask).elemType === boolType;
    return fusedSite(scope, {
      q: operand(q),
      k: operand(k),
      v: operand(v),
      origins: { q, k },
      biases: mask ? [isBoolean ? booleanBias(full) : full] : [],
      heads,
      headDim: split ? (toNumber(qShape?.[3]) ?? toNumber(kShape?.[3])) : headWidth(qShape?.[2], heads),
      valueDim: split ? toNumber(vShape?.[3]) : headWidth(vShape?.[2], heads),
      scale: floatAttribute(node, 'scale'),
      context: { value: node.output[0] ?? '', layout },
    });
  },
});
