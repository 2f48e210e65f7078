import { microsoftAttention } from './microsoft-attention.js';
import { multiHeadAttention } from './multi-head-attention.js';
import { onnxAttention } from './onnx-attention.js';
import type { AnyPattern } from './pattern.js';
import { softmax } from './softmax.js';

/** Every form of attention that find() knows: one file and one line each. */
export const patterns = {
  softmax,
  'onnx-attention': onnxAttention,
  'multi-head-attention': multiHeadAttention,
  'microsoft-attention': microsoftAttention,
} satisfies Record<string, AnyPattern>;
