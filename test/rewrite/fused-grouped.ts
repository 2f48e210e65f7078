/** GroupQueryAttention, and Attention of opset 23 and 24. */
import type { Site } from '../../src/rewrite/site.js';
import {
  type Case,
  cache,
  D,
  float,
  H,
  keep,
  lengths,
  none,
  ofAll,
  ofN,
  padding,
  prompt,
  qkv,
  rows,
  steps,
  W,
  whole,
} from './fused-case.js';

const G = 2;
const grouped = [float('B', 'N', W), float('B', 'N', G * D), float('B', 'N', G * D)];
const groupedCache = [float('B', G, 'P', D), float('B', G, 'P', D)];
const seqlens = [
  whole('int32', ['B'], (sizes) => rows(sizes).map(() => ofAll(sizes) - 1)),
  whole('int32', [], (sizes) => [ofAll(sizes)]),
];
const rotary = [float(32, D / 2), float(32, D / 2)];
const causal: Partial<Site> = { mask: 'causal+padding', causal: true, kind: 'self' };
const gqa = (name: string, inputs: Case['inputs'], more: Partial<Case> = {}): Case => ({
  op: 'GroupQueryAttention',
  domain: 'com.microsoft',
  outputs: 3,
  // A prompt, a chunk of one, steps; onnxruntime takes chunks for one row alone.
  sizes: [
    { B: 1, N: 1, P: 0 },
    { B: 2, N: 17, P: 0 },
    { B: 1, N: 3, P: 5 },
    { B: 2, N: 1, P: 5 },
  ],
  ...more,
  site: { ...causal, heads: H, kvHeads: G, headDim: D, pastKeyValues: true, ...more.site },
  name: `GroupQueryAttention: ${name}`,
  inputs,
  attributes: { num_heads: H, kv_num_heads: G, ...more.attributes },
});
export const groupQuery: Case[] = [
  gqa('no cache', [...grouped, undefined, undefined, ...seqlens], { sizes: prompt, site: { pastKeyValues: false } }),
  gqa('cache', [...grouped, ...groupedCache, ...seqlens], { site: { positional: 'none' } }),
  gqa('as many key heads as heads', [...qkv, ...cache, ...seqlens], {
    attributes: { kv_num_heads: H },
    site: { kvHeads: H },
  }),
  gqa('packed', [float('B', 'N', W + 2 * G * D), undefined, undefined, ...groupedCache, ...seqlens]),
  gqa('both directions', [...grouped, undefined, undefined, ...seqlens], {
    sizes: prompt,
    attributes: { causal: 0 },
    site: { mask: 'padding', causal: false, pastKeyValues: false },
    mutant: { causal: 1 },
  }),
  gqa('rotary', [...grouped, ...groupedCache, ...seqlens, ...rotary], {
    attributes: { do_rotary: 1 },
    site: { positional: 'rope' },
    mutant: { rotary_interleaved: 1 },
  }),
  gqa(
    'rotary, packed, interleaved',
    [float('B', 'N', W + 2 * G * D), undefined, undefined, ...groupedCache, ...seqlens, ...rotary],
    {
      attributes: { do_rotary: 1, rotary_interleaved: 1 },
      site: { positional: 'rope' },
      mutant: { rotary_interleaved: 0 },
    },
  ),
  gqa(
    'rotary on half of a head',
    [
      float('B', 'N', 2 * W),
      float('B', 'N', 2 * G * D),
      float('B', 'N', 2 * G * D),
      undefined,
      undefined,
      ...seqlens,
      ...rotary,
    ],
    {
      sizes: prompt,
      attributes: { do_rotary: 1 },
      site: { headDim: 2 * D, pastKeyValues: false, positional: 'rope' },
      mutant: { do_rotary: 0 },
    },
  ),
  gqa(
    'rotary at given positions',
    [
      ...grouped,
      ...groupedCache,
      ...seqlens,
      ...rotary,
      whole('int64', ['B', 'N'], ({ B, N, P = 0 }) => Array.from({ length: B * N }, (_, i) => P + 3 + (i % N))),
    ],
    { attributes: { do_rotary: 1 }, site: { positional: 'rope' }, mutant: { do_rotary: 0 } },
  ),
  gqa('a window', [...grouped, ...groupedCache, ...seqlens], {
    attributes: { local_window_size: 4 },
    site: { mask: 'sliding+causal+padding' },
    mutant: { local_window_size: 5 },
  }),
  gqa(
    'a window, rows of other lengths',
    [...grouped, ...groupedCache, whole('int32', ['B'], lengths(ofAll, 1)), seqlens[1]],
    {
      sizes: [{ B: 3, N: 1, P: 9 }],
      attributes: { local_window_size: 4 },
      site: { mask: 'sliding+causal+padding' },
      mutant: { local_window_size: 3 },
    },
  ),
  gqa(
    'steps of rows of other lengths',
    [...grouped, ...groupedCache, whole('int32', ['B', 1], lengths(ofAll, 1)), seqlens[1], ...rotary],
    {
      sizes: [{ B: 3, N: 1, P: 9 }],
      attributes: { do_rotary: 1 },
    },
  ),
  gqa('cache in a buffer', [...grouped, float('B', G, 'M', D), float('B', G, 'M', D), ...seqlens, ...rotary], {
    sizes: [
      { B: 1, N: 3, P: 0, M: 12 },
      { B: 1, N: 3, P: 4, M: 12 },
      { B: 2, N: 1, P: 7, M: 12 },
    ],
    attributes: { do_rotary: 1 },
  }),
];

const four = [float('B', H, 'N', D), float('B', H, 'N', D), float('B', H, 'N', D)];
const onnx = (name: string, inputs: Case['inputs'], more: Partial<Case> = {}): Case => ({
  op: 'Attention',
  opset: 23,
  outputs: 1,
  sizes: prompt,
  site: none,
  attributes: {},
  ...more,
  name: `Attention: ${name}`,
  inputs,
});
const oneHead = float('B', H, 1, D);
export const standard: Case[] = [
  onnx('by heads', four),
  onnx('heads side by side', qkv, { attributes: { q_num_heads: H, kv_num_heads: H } }),
  onnx('grouped, by heads', [four[0], float('B', G, 'N', D), float('B', G, 'N', D)], { site: { kvHeads: G } }),
  onnx('grouped, side by side', grouped, { attributes: { q_num_heads: H, kv_num_heads: G }, site: { kvHeads: G } }),
  onnx('scale given', four, { attributes: { scale: { float: 0.3 } }, mutant: { scale: { float: 0.303 } } }),
  onnx('is_causal', four, {
    attributes: { is_causal: 1 },
    site: { mask: 'causal', causal: true },
    mutant: { is_causal: 0 },
  }),
  onnx('key mask of one query', [oneHead, four[1], four[2], whole('bool', ['B', 1, 1, 'N'], keep(ofN))], {
    site: padding,
  }),
  onnx('additive mask of one query', [oneHead, four[1], four[2], float('B', 1, 1, 'N')], { site: padding }),
  onnx('mask of rank 2, one query', [oneHead, four[1], four[2], float(1, 'N')], { site: padding }),
  onnx('cache', [...four, undefined, ...cache], { outputs: 3, sizes: steps, site: { pastKeyValues: true } }),
  onnx(
    'cache, is_causal, mask',
    [
      oneHead,
      oneHead,
      oneHead,
      whole(
        'bool',
        ['B', 1, 1, 'T'],
        keep(({ P }) => P + 1),
      ),
      ...cache,
    ],
    {
      outputs: 3,
      sizes: [
        { B: 1, P: 0, T: 1 },
        { B: 3, P: 5, T: 6 },
      ],
      attributes: { is_causal: 1 },
      site: { mask: 'causal+padding', causal: true, pastKeyValues: true },
    },
  ),
  onnx('cache, grouped, side by side', [...grouped, undefined, ...groupedCache], {
    outputs: 3,
    sizes: steps,
    attributes: { q_num_heads: H, kv_num_heads: G, is_causal: 1 },
    site: { mask: 'causal', causal: true, pastKeyValues: true, kvHeads: G },
    mutant: { is_causal: 0, q_num_heads: H, kv_num_heads: G },
  }),
  onnx(
    'lengths in a buffer',
    [
      four[0],
      float('B', H, 'M', D),
      float('B', H, 'M', D),
      undefined,
      undefined,
      undefined,
      whole('int64', ['B'], ({ B, N, P = 0 }) =>
        Array.from({ length: B }, (_, b) => N + P - (N === 1 ? Math.min(b, P) : 0)),
      ),
    ],
    {
      opset: 24,
      sizes: [
        { B: 1, N: 5, P: 0, M: 12 },
        { B: 1, N: 3, P: 4, M: 12 },
        { B: 2, N: 1, P: 6, M: 12 },
      ],
      attributes: { is_causal: 1 },
      site: { mask: 'causal+padding', causal: true },
      mutant: { scale: { float: 0.26 } },
    },
  ),
];
