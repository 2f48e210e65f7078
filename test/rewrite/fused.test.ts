/**
 * Every form of every fused operator on the real runtime: the rewritten operator must give all outputs of the original,
 * its cache included, at every size; and the rewrite of a mutant (another scale, mask or rotation) must not.
 */
import { describe, expect, it } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import type { Attributes } from '../../src/onnx/build.js';
import type { Site } from '../../src/rewrite/site.js';
import { type FusedModel, fusedModel, type Input, runFused, type Sizes } from '../fused-model.js';

interface Case extends FusedModel {
  readonly name: string;
  readonly sizes: readonly Sizes[];
  readonly site: Partial<Site>;
  /** Attributes that must show; a scale 1 % off by default. */
  readonly mutant?: Attributes;
}

const float = (...dims: Input['dims']): Input => ({ dims });
const whole = (type: 'int32' | 'int64' | 'bool', dims: Input['dims'], data: Input['data']): Input => ({
  type,
  dims,
  data,
});
const [H, D] = [4, 16];
const W = H * D;
const [none, padding] = [
  { mask: 'none', causal: false },
  { mask: 'padding', causal: false },
];
const prompt = [
  { B: 1, N: 1 },
  { B: 2, N: 2 },
  { B: 2, N: 17 },
];
const steps = prompt.flatMap((sizes) => [0, 5].map((P) => ({ ...sizes, P })));
/** Row b keeps all but its last b keys (at least one). */
const keptOf = (keys: number, b: number) => Math.max(1, keys - b);
const rows = ({ B }: Sizes) => Array.from({ length: B }, (_, b) => b);
const keep = (keys: (sizes: Sizes) => number) => (sizes: Sizes) =>
  rows(sizes).flatMap((b) => Array.from({ length: keys(sizes) }, (_, j) => Number(j < keptOf(keys(sizes), b))));
const lengths =
  (keys: (sizes: Sizes) => number, less = 0) =>
  (sizes: Sizes) =>
    rows(sizes).map((b) => keptOf(keys(sizes), b) - less);
const ofN = ({ N }: Sizes) => N;
const ofAll = ({ N, P = 0 }: Sizes) => N + P;

const qkv = [float('B', 'N', W), float('B', 'N', W), float('B', 'N', W)];
const cache = [float('B', H, 'P', D), float('B', H, 'P', D)];
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

const multiHead: Case[] = [
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
const decoder: Case[] = [
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
const projecting: Case[] = [
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
const groupQuery: Case[] = [
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
const standard: Case[] = [
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

describe.each(
  [...multiHead, ...decoder, ...projecting, ...groupQuery, ...standard].map((entry) => [entry.name, entry] as const),
)('%s', (_, entry) => {
  const bytes = fusedModel(entry);
  const { sites, refusals, nearMisses } = inspect(bytes);

  it('is found', () => {
    expect([...refusals, ...nearMisses]).toEqual([]);
    expect(sites).toMatchObject([{ heads: H, headDim: D, ...entry.site }]);
  });

  it('is rewritten without a change', async () => {
    const { headDim = D } = entry.site;
    const mutant = fusedModel({
      ...entry,
      attributes: { ...entry.attributes, ...(entry.mutant ?? { scale: { float: 1.01 / Math.sqrt(headDim) } }) },
    });
    let worst = 0;
    for (const sizes of entry.sizes) {
      const want = await runFused(bytes, entry.inputs, sizes);
      for (const plan of ['exact', 'exact-blocked:block=5']) {
        const { bytes: patched } = await linearize(bytes, { plan });
        for (const { name, relRMS } of compareOutputs(await runFused(patched, entry.inputs, sizes), want))
          expect(relRMS, `${plan}, ${name}, ${JSON.stringify(sizes)}`).toBeLessThanOrEqual(1e-5);
      }
      const wrong = await runFused((await linearize(mutant, { plan: 'exact' })).bytes, entry.inputs, sizes);
      worst = Math.max(worst, ...compareOutputs(wrong, want).map(({ relRMS }) => relRMS));
    }
    expect(worst, 'the rewrite of the mutant').toBeGreaterThan(1e-4);
  });
});
