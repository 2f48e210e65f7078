/** MultiHeadAttention, its decoder form, and Attention with projections inside. */
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

const mha = (name: string, inputs: Case['inputs'], more: Partial<Case> = {}): Case => ({
  op: 'MultiHeadAttention',
  domain: 'com.microsoft',
  outputs: 1,
  sizes: prompt,
  site: none,
  ...more,
  name: `MultiHeadAttention: ${name}`,
  inputs,
  attributes: { num_heads: H, ...more.attributes },
});

export const multiHead: Case[] = [
  mha('plain', qkv),
  mha('bias of q, k and v', [...qkv, float(3 * W)]),
  mha('values of another width', [qkv[0], qkv[1], float('B', 'N', 2 * W)], { site: { valueDim: 2 * D } }),
  mha('scale given', qkv, { attributes: { scale: { float: 0.1 } }, mutant: { scale: { float: 0.101 } } }),
  mha('key mask [B,S]', [...qkv, undefined, whole('int32', ['B', 'N'], keep(ofN))], { site: padding }),
  mha('key lengths [B]', [...qkv, undefined, whole('int32', ['B'], lengths(ofN))], { site: padding }),
  mha('unidirectional', qkv, {
    attributes: { unidirectional: 1 },
    site: { mask: 'causal', causal: true },
    mutant: { unidirectional: 0 },
  }),
  mha('cross-attention', [qkv[0], float('B', 'S', W), float('B', 'S', W)], {
    sizes: prompt.map((sizes) => ({ ...sizes, S: 7 })),
    site: { ...none, kind: 'cross' },
  }),
  mha('cross-attention, keys by heads', [qkv[0], float('B', H, 'S', D), float('B', H, 'S', D)], {
    sizes: prompt.map((sizes) => ({ ...sizes, S: 7 })),
    site: { ...none, kind: 'cross', pastKeyValues: true },
  }),
  mha('cache made', qkv, { outputs: 3 }),
  mha('cache read and made', [...qkv, undefined, undefined, undefined, ...cache], {
    outputs: 3,
    sizes: steps,
    site: { ...none, pastKeyValues: true },
  }),
  mha(
    'cache, one direction, padding',
    [...qkv, float(3 * W), whole('int32', ['B', 'P+N'], keep(ofAll)), undefined, ...cache],
    {
      outputs: 3,
      sizes: steps,
      attributes: { unidirectional: 1 },
      site: { mask: 'causal+padding', causal: true, pastKeyValues: true },
      mutant: { unidirectional: 0 },
    },
  ),
];

const oneQuery = [float('B', 1, W), float('B', 1, W), float('B', 1, W)];
export const decoder: Case[] = [
  {
    name: 'DecoderMaskedMultiHeadAttention: cache in a buffer',
    op: 'DecoderMaskedMultiHeadAttention',
    domain: 'com.microsoft',
    inputs: [
      ...oneQuery,
      undefined,
      undefined,
      float('B', H, 'M', D),
      float('B', H, 'M', D),
      whole('int32', [1], ({ P }) => [P]),
    ],
    attributes: { num_heads: H, past_present_share_buffer: 1 },
    outputs: 3,
    sizes: [
      { B: 1, M: 8, P: 1 },
      { B: 1, M: 8, P: 5 },
    ],
    site: { mask: 'none', causal: true, pastKeyValues: true },
  },
  {
    name: 'DecoderMaskedMultiHeadAttention: cross-attention',
    op: 'DecoderMaskedMultiHeadAttention',
    domain: 'com.microsoft',
    inputs: [oneQuery[0], float('B', H, 'S', D), float('B', H, 'S', D)],
    attributes: { num_heads: H },
    outputs: 1,
    sizes: [{ B: 2, S: 7 }],
    site: { mask: 'none', kind: 'cross' },
  },
];

const input = [float('B', 'N', 24), float(24, 3 * W), float(3 * W)];
const both = float(2, 'B', H, 'P', D);
const microsoft = (name: string, inputs: Case['inputs'], more: Partial<Case> = {}): Case => ({
  op: 'Attention',
  domain: 'com.microsoft',
  outputs: 1,
  sizes: prompt,
  site: none,
  ...more,
  name: `com.microsoft.Attention: ${name}`,
  inputs,
  attributes: { num_heads: H, ...more.attributes },
});
export const projecting: Case[] = [
  microsoft('plain', input),
  microsoft('values of another width', [input[0], float(24, 4 * W), float(4 * W)], {
    attributes: { qkv_hidden_sizes: [W, W, 2 * W] },
    site: { valueDim: 2 * D },
  }),
  microsoft('mask [B,S]', [...input, whole('int32', ['B', 'N'], keep(ofN))], { site: padding }),
  microsoft('lengths [B]', [...input, whole('int32', ['B'], lengths(ofN))], { site: padding }),
  microsoft(
    'ends and starts [2B]',
    [
      float(2, 'N', 24),
      input[1],
      input[2],
      whole('int32', [4], (sizes) => [...lengths(ofN)(sizes), ...rows(sizes).map((b) => Math.min(b, sizes.N - 2))]),
    ],
    { site: padding, sizes: [{ B: 2, N: 9 }] },
  ),
  microsoft('unidirectional', input, {
    attributes: { unidirectional: 1 },
    site: { mask: 'causal', causal: true },
    mutant: { unidirectional: 0 },
  }),
  microsoft('cache', [...input, undefined, both], { outputs: 2, sizes: steps, site: { ...none, pastKeyValues: true } }),
  microsoft('cache, one direction, mask', [...input, whole('int32', ['B', 'P+N'], keep(ofAll)), both], {
    outputs: 2,
    sizes: steps,
    attributes: { unidirectional: 1 },
    site: { mask: 'causal+padding', causal: true, pastKeyValues: true },
    mutant: { unidirectional: 0 },
  }),
];
