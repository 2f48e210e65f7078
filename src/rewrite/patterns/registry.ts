import { groupQueryAttention } from './group-query-attention.js';
import { microsoftAttention } from './microsoft-attention.js';
import { decoderMaskedAttention, multiHeadAttention } from './multi-head-attention.js';
import { onnxAttention } from './onnx-attention.js';
import type { AnyPattern } from './pattern.js';
import { softmax } from './softmax.js';
import { unsupportedAttention } from './unsupported-attention.js';

/** Every form of attention that find() knows: one file and one line each. */
export const patterns = {
  softmax,
  'onnx-attention': onnxAttention,
  'multi-head-attention': multiHeadAttention,
  'decoder-masked-attention': decoderMaskedAttention,
  'microsoft-attention': microsoftAttention,
  'group-query-attention': groupQueryAttention,
  'unsupported-attention': unsupportedAttention,
} satisfies Record<string, AnyPattern>;
