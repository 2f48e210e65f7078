/** What fused operators have beyond the forms that are understood is named, and packed forms read as what they are. */
import { describe, expect, it } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import { type FusedModel, fusedModel, runFused } from '../fused-model.js';
import { D, float, H, qkv, W, whole } from './fused-case.js';

const microsoft = (op: string, inputs: FusedModel['inputs'], attributes: FusedModel['attributes'] = {}, outputs = 1) =>
  fusedModel({ op, domain: 'com.microsoft', inputs, attributes, outputs });
const heads = { num_heads: H };
const no = undefined;
const past = [float('B', H, 'P', D), float('B', H, 'P', D)];
const grouped = { num_heads: H, kv_num_heads: H };
const lengths = [whole('int32', ['B'], no), whole('int32', [1], no)];
const four = [float('B', H, 'N', D), float('B', H, 'N', D), float('B', H, 'N', D)];
const attention = (inputs: FusedModel['inputs'], attributes: FusedModel['attributes'] = {}, outputs = 1, opset = 24) =>
  fusedModel({ op: 'Attention', opset, inputs, attributes, outputs });

const models: Record<string, Uint8Array> = {
  'MHA, a general bias': microsoft('MultiHeadAttention', [...qkv, no, no, float('B', H, 'N', 'N')], heads),
  'MHA, buffer': microsoft('MultiHeadAttention', [...qkv, no, no, no, ...past, whole('int32', [1], no)], heads, 3),
  'MHA, scores read': microsoft('MultiHeadAttention', qkv, heads, 4),
  'MHA, cache not given on': microsoft('MultiHeadAttention', [...qkv, no, no, no, ...past], heads),
  'MHA, one direction across': microsoft('MultiHeadAttention', [qkv[0], float('B', 'S', W), float('B', 'S', W)], {
    ...heads,
    unidirectional: 1,
  }),
  'MHA, a weak mask': microsoft('MultiHeadAttention', [...qkv, no, whole('int32', ['B', 'N'], no)], {
    ...heads,
    mask_filter_value: { float: -10 },
  }),
  'MHA, mask of offsets': microsoft('MultiHeadAttention', [...qkv, no, whole('int32', ['X'], no)], heads),
  'MHA, unknown attribute': microsoft('MultiHeadAttention', qkv, { ...heads, temperature: 2 }),
  'MHA, odd heads': microsoft('MultiHeadAttention', qkv, { num_heads: 5 }),
  'decoder, beams': microsoft(
    'DecoderMaskedMultiHeadAttention',
    [...qkv, no, no, ...past, whole('int32', [1], no), whole('int32', [1], no), whole('int32', ['B', 2, 'M'], no)],
    heads,
    3,
  ),
  'ms.Attention, rotary': microsoft('Attention', [float('B', 'N', W), float(W, 3 * W), float(3 * W)], {
    ...heads,
    do_rotary: 1,
  }),
  'ms.Attention, mask of rank 4': microsoft(
    'Attention',
    [float('B', 'N', W), float(W, 3 * W), float(3 * W), whole('int32', ['B', 1, 'N', 'N'], no)],
    heads,
  ),
  'GQA, softcap': microsoft(
    'GroupQueryAttention',
    [...qkv, no, no, ...lengths],
    { ...grouped, softcap: { float: 30 } },
    3,
  ),
  'GQA, smooth': microsoft('GroupQueryAttention', [...qkv, no, no, ...lengths], { ...grouped, smooth_softmax: 1 }, 3),
  'GQA, sink': microsoft('GroupQueryAttention', [...qkv, no, no, ...lengths, no, no, no, no, float(H)], grouped, 3),
  'GQA, quantised cache': microsoft(
    'GroupQueryAttention',
    [...qkv, ...past, ...lengths],
    { ...grouped, k_quant_type: 'PER_TENSOR' },
    3,
  ),
  'GQA, norm inside': microsoft(
    'GroupQueryAttention',
    [...qkv, ...past, ...lengths, no, no, no, no, no, no, no, float(D), float(D)],
    grouped,
    3,
  ),
  'GQA, keys of another': microsoft(
    'GroupQueryAttention',
    [qkv[0], float('B', 'S', W), float('B', 'S', W), ...past, ...lengths],
    grouped,
    3,
  ),
  'Attention, softcap': attention(four, { softcap: { float: 30 } }),
  'Attention, scores read': attention(four, {}, 4),
  'Attention, is_causal across': attention([four[0], float('B', H, 'S', D), float('B', H, 'S', D)], { is_causal: 1 }),
  'Attention, a general mask': attention([...four, float('B', H, 'N', 'N')]),
  'Attention, heads unknown': attention([float('B', 'h', 'N', D), float('B', 'h', 'N', D), float('B', 'h', 'N', D)]),
  PackedAttention: microsoft(
    'PackedAttention',
    [float('T', W), float(W, 3 * W), float(3 * W), whole('int32', ['B', 'N'], no), whole('int32', ['B'], no)],
    heads,
  ),
  QAttention: microsoft('QAttention', [float('B', 'N', W)], heads),
  LongformerAttention: microsoft('LongformerAttention', [float('B', 'N', W)], heads),
  SparseAttention: microsoft('SparseAttention', qkv, grouped),
  LinearAttention: microsoft('LinearAttention', qkv, grouped),
};

it('each is refused, with the reason', () => {
  const reasons = Object.entries(models).map(([name, bytes]) => {
    const { sites, nearMisses, refusals } = inspect(bytes);
    expect({ sites, nearMisses }, name).toEqual({ sites: [], nearMisses: [] });
    return `${name}: ${refusals.map(({ reason }) => reason)}`;
  });
  expect(reasons).toMatchInlineSnapshot(`
    [
      "MHA, a general bias: input5 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
      "MHA, buffer: input past_sequence_length (input8) is not supported",
      "MHA, scores read: output output3 is read: a rewrite would have to drop or recompute it",
      "MHA, cache not given on: past_key (input6) without present_key",
      "MHA, one direction across: unidirectional on queries and keys that are not proven to be of one length (input0, input1)",
      "MHA, a weak mask: mask_filter_value = -10: masked keys would still be looked at",
      "MHA, mask of offsets: key_padding_mask (input4) is not proven to be [batch, keys] or [batch]",
      "MHA, unknown attribute: attribute temperature = 2 is not supported: no longer softmax(q·k + bias)·v",
      "MHA, odd heads: head widths 12.8 of Q and K, 12.8 of V: not proven",
      "decoder, beams: beams that share a cache: beam_width input8, cache_indirection input9",
      "ms.Attention, rotary: attribute do_rotary = 1 is not supported: no longer softmax(q·k + bias)·v",
      "ms.Attention, mask of rank 4: mask_index (input3) is not proven to be [batch, keys], [batch], [2 · batch] or [batch, queries, keys]",
      "GQA, softcap: attribute softcap = 30 is not supported: no longer softmax(q·k + bias)·v",
      "GQA, smooth: attribute smooth_softmax = 1 is not supported: no longer softmax(q·k + bias)·v",
      "GQA, sink: input head_sink (input11) is not supported",
      "GQA, quantised cache: attribute k_quant_type = PER_TENSOR is not supported: no longer softmax(q·k + bias)·v",
      "GQA, norm inside: input q_norm_weight (input14) is not supported",
      "GQA, keys of another: query (input0) and key (input1) are not proven to be of one length",
      "Attention, softcap: attribute softcap = 30 is not supported: no longer softmax(q·k + bias)·v",
      "Attention, scores read: output output3 is read: a rewrite would have to drop or recompute it",
      "Attention, is_causal across: is_causal on queries and keys that are not proven to be of one length (input0, input1)",
      "Attention, a general mask: input3 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
      "Attention, heads unknown: unknown query heads on unknown key heads: not a whole number each",
      "PackedAttention: PackedAttention: sequences of a batch are packed without padding, by offsets that only a GPU kernel reads",
      "QAttention: QAttention: scores are computed on integers within the operator",
      "LongformerAttention: LongformerAttention: a window and global tokens with projections of their own, within the operator",
      "SparseAttention: SparseAttention: every query looks at blocks of keys chosen by the operator: not softmax over all keys",
      "LinearAttention: LinearAttention: already linear: no softmax over keys",
    ]
  `);
});

describe('a bias that nothing is proven of is left to exact plans, which add it whole', () => {
  const sizes = { B: 2, N: 7 };
  const side = (dims: (number | string)[]) => float(...dims);
  const last = (n: number) => whole('int32', ['B'], ({ B }) => new Array<number>(B).fill(n - 1));
  const total = whole('int32', [1], ({ N }) => [N]);
  const seven = { op: 'Attention', opset: 23, inputs: [...four, float('N', 'N')], attributes: {}, outputs: 1 };
  const cases: Record<string, FusedModel> = {
    'MHA, for all rows': {
      op: 'MultiHeadAttention',
      domain: 'com.microsoft',
      inputs: [...qkv, no, no, side([1, H, 'N', 'N'])],
      attributes: heads,
      outputs: 1,
    },
    'MHA, for all heads, one direction': {
      op: 'MultiHeadAttention',
      domain: 'com.microsoft',
      inputs: [...qkv, no, no, side(['B', 1, 'N', 'N'])],
      attributes: { ...heads, unidirectional: 1 },
      outputs: 1,
    },
    'ms.Attention, 0 and 1 for every pair': {
      op: 'Attention',
      domain: 'com.microsoft',
      inputs: [
        float('B', 'N', W),
        float(W, 3 * W),
        float(3 * W),
        whole('int32', ['B', 'N', 'N'], ({ B, N }) =>
          Array.from({ length: B * N * N }, (_, at) => Number(at % 3 > 0 || at % N === Math.floor(at / N) % N)),
        ),
      ],
      attributes: heads,
      outputs: 1,
    },
    GQA: {
      op: 'GroupQueryAttention',
      domain: 'com.microsoft',
      inputs: [...qkv, no, no, last(7), total, no, no, no, side(['B', H, 'N', 'N'])],
      attributes: grouped,
      outputs: 3,
    },
    'Attention, rank 2': seven,
    'Attention, rank 3, is_causal': {
      ...seven,
      inputs: [...four, side([H, 'N', 'N'])],
      attributes: { is_causal: 1 },
    },
  };
  it.each(Object.entries(cases))('%s', async (_, model) => {
    const bytes = fusedModel(model);
    expect(inspect(bytes).refusals).toMatchObject([{ site: { heads: H, mask: expect.stringContaining('bias') } }]);
    const want = await runFused(bytes, model.inputs, sizes);
    for (const plan of ['exact', 'exact-blocked:block=3']) {
      const { bytes: patched } = await linearize(bytes, { plan });
      for (const { relRMS } of compareOutputs(await runFused(patched, model.inputs, sizes), want))
        expect(relRMS, plan).toBeLessThanOrEqual(1e-5);
    }
    const linear = await linearize(bytes, { plan: 'features' });
    expect(linear.report.sites).toEqual([]);
  });
});

/** Only GPUs run these, so the rewritten operator is compared with the plain one on the same numbers. */
describe('packed forms', () => {
  const [B, N] = [2, 5];
  /** [B,N,H·D] of part `part` of `parts`, in which element (b, n, h, d) is f(part, b, n, h, d). */
  const value = (part: number, i: number) => Math.sin(part * 7919 + i * 1.7);
  const plain = [0, 1, 2].map((part) => ({
    ...float('B', 'N', W),
    data: () => Array.from({ length: B * N * W }, (_, i) => value(part, i)),
  }));
  const packed = (first: number, parts: number) => ({
    ...float('B', 'N', H, parts, D),
    data: () =>
      Array.from({ length: B * N * H * parts * D }, (_, i) => {
        const [row, part, d] = [Math.floor(i / (parts * D)), Math.floor(i / D) % parts, i % D];
        return value(first + part, row * D + d);
      }),
  });
  it.each([
    ['keys and values', [plain[0], packed(1, 2)]],
    ['queries, keys and values', [packed(0, 3)]],
    ['queries, keys and values with a bias', [packed(0, 3), no, no, float(3 * W)]],
  ])('%s', async (_, inputs) => {
    const { bytes, report } = await linearize(microsoft('MultiHeadAttention', inputs, heads), { plan: 'exact' });
    expect(report.sites).toMatchObject([{ heads: H, headDim: D, valueDim: D, mask: 'none' }]);
    const bias = inputs[3];
    const unpacked = [...plain, ...(bias ? [bias] : [])];
    const want = await runFused(microsoft('MultiHeadAttention', unpacked, heads), unpacked, { B, N });
    for (const { relRMS } of compareOutputs(await runFused(bytes, inputs, { B, N }), want))
      expect(relRMS).toBeLessThanOrEqual(1e-5);
  });
});
