/** Every way of attending that is measured, one entry each; the bench, its page, the command line and their tests iterate over it. */
import { attend } from '../kernels/attend.js';
import { causalAttention } from '../kernels/causal.js';
import { featureAttention } from '../kernels/double-softmax.js';
import { sparseAttention } from '../kernels/sparse.js';
import { hybridMethod } from './hybrid-method.js';
import { frequencies, kernelMethod } from './kernel-methods.js';
import { fusedLayer, int8Layer, plainLayer } from './layer-graph.js';
import { lowBitMethod } from './low-bit-method.js';
import { allKeys, type Method } from './method.js';
import { calibratedMethod, graphMethod, planMethod } from './model-methods.js';

const hybrid = 'hybrid:window=64,globals=32,codes=32';

export const methods = {
  plain: graphMethod(plainLayer, { what: 'MatMul, Softmax, MatMul, as exporters write it', kind: 'exact' }),
  fused: graphMethod(fusedLayer, { what: "onnxruntime's MultiHeadAttention", kind: 'exact' }),
  'exact-blocked': planMethod(
    { full: 'exact-blocked', causal: 'exact-blocked' },
    { what: 'softmax over blocks of queries', kind: 'exact' },
  ),
  features: planMethod(
    { full: 'features:m=128', causal: 'features-causal:window=64,m=64' },
    { what: '128 positive random features; causal layers: 64 behind a window of 64', kind: 'linear' },
  ),
  window: planMethod(
    { full: 'window:window=64,globals=32', causal: 'hybrid-causal:window=64,globals=0,codes=0' },
    { what: 'a window of 64, and the first 32 keys unless the layer is causal', kind: 'linear' },
  ),
  hybrid: calibratedMethod(
    { full: hybrid, causal: 'hybrid-causal:window=64,globals=32,codes=16' },
    { what: 'window, scored globals and codebook summaries under one softmax', kind: 'linear' },
  ),
  blocks: calibratedMethod(
    { full: 'blocks:window=32,globals=16,codes=16,blocks=8' },
    {
      what: 'a smaller hybrid and, for each block of queries, 8 blocks of keys by 4-bit estimates: quadratic',
      kind: 'low-bit',
    },
  ),
  nystrom: planMethod(
    { full: 'nystrom:landmarks=64' },
    { what: 'the softmax matrix by 64 landmarks (Nyströmformer)', kind: 'linear' },
  ),
  'int8-scores': graphMethod(int8Layer, { what: 'scores from 8-bit queries and keys', kind: 'low-bit' }),
  'kernel-exact': kernelMethod(
    { what: 'own kernels: exact attention', kind: 'exact', keyEquivalents: allKeys },
    () => ({
      record: (recording, { causal, ...call }) => Object.values(attend(recording, { ...call, band: { causal } })),
    }),
  ),
  'kernel-features': kernelMethod(
    {
      what: 'own kernels: 128 positive random features',
      kind: 'linear',
      keyEquivalents: () => 256,
    },
    (shape) => ({
      constants: { omega: frequencies(shape, 128) },
      record(recording, { causal, ...call }, { omega }) {
        if (!causal) return Object.values(featureAttention(recording, { ...call, omega, M: 128 }));
        const { out, lse, state } = causalAttention(recording, { ...call, omega, M: 128 });
        return [out, lse, state.out, state.lse];
      },
    }),
  ),
  'kernel-hybrid': hybridMethod(hybrid),
  'kernel-sparse': kernelMethod(
    { what: 'own kernels: exact over the blocks that 4-bit scores keep', kind: 'low-bit', keyEquivalents: allKeys },
    () => ({ record: (recording, call) => Object.values(sparseAttention(recording, { ...call, bits: 4 })) }),
  ),
  'kernel-8-bit': lowBitMethod(8),
  'kernel-4-bit': lowBitMethod(4),
  'kernel-1-bit': lowBitMethod(1),
} satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;
export const methodNames = Object.keys(methods) as MethodName[];
