/** What the finder reports on real exporter graphs and real models, against the manifests. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/linearize.js';
import { attentionModel } from '../attention-model.js';
import { manifestOf } from '../graphs-manifest.js';
import { graphFile, modelFile, noModels } from '../shared.js';

interface Expected {
  readonly file: string;
  readonly sites: readonly Record<string, unknown>[];
  readonly refuse: readonly { readonly node: string }[];
}
const manifest = manifestOf<Expected>();
const fields = [
  'node',
  'op',
  'domain',
  'output',
  'subgraph',
  'kind',
  'causal',
  'mask',
  'heads',
  'kvHeads',
  'headDim',
  'positional',
  'pastKeyValues',
];
const pick = (site: object) => Object.fromEntries(Object.entries(site).filter(([key]) => fields.includes(key)));
/** fp16 graphs hold √d rounded to 11 bits. */
const scaleDigits = (file: string) => (file.includes('fp16') ? 3 : 6);

describe('exporter graphs', () => {
  it.each(manifest.map((entry) => [entry.file, entry] as const))('%s', (file, { sites, refuse }) => {
    const found = inspect(readFileSync(graphFile(`${file}`)));
    expect(found.sites.map(pick)).toEqual(sites.map(pick));
    for (const [i, { scale, operands }] of found.sites.entries()) {
      expect(scale).toBeCloseTo(Number(sites[i]?.scale), scaleDigits(file));
      const { window, windowSides } = sites[i] ?? {};
      const sides = { left: window, right: windowSides === 'both' ? window : 0 };
      expect(operands.sliding).toEqual(window === undefined ? undefined : sides);
    }
    expect(found.refusals.map(({ node }) => node)).toEqual(refuse.map(({ node }) => node));
    expect(found.nearMisses).toEqual([]);
  });
});

it('no graph of the collection has a site that is not one', () => {
  for (const { file, sites } of manifest) {
    const real = new Set(sites.map(({ subgraph, output }) => `${subgraph} ${output}`));
    const found = inspect(readFileSync(graphFile(`${file}`)));
    for (const { subgraph, output } of found.sites) expect(real, file).toContain(`${subgraph} ${output}`);
  }
});

describe('real models', () => {
  it.skipIf(noModels).each([
    ['vit-s14-saliency/onnx/model.onnx', 12, { heads: 6, headDim: 64, mask: 'none', kind: 'self', positional: 'none' }],
    [
      'all-MiniLM-L6-v2/onnx/model.onnx',
      6,
      { heads: 12, headDim: 32, mask: 'padding', kind: 'self', positional: 'none' },
    ],
    [
      'moonshine-tiny/onnx/encoder_model.onnx',
      6,
      { heads: 8, headDim: 36, mask: 'none', kind: 'self', positional: 'rope' },
    ],
  ])('%s', (file, count, expected) => {
    const { sites, nearMisses } = inspect(readFileSync(modelFile(file)));
    expect(sites).toHaveLength(count);
    for (const site of sites) {
      expect(site).toMatchObject(expected);
      expect(site.scale).toBeCloseTo(1 / Math.sqrt(expected.headDim), 6);
    }
    expect(nearMisses).toEqual([]);
  });
});

describe('what is left alone has a reason', () => {
  const reasonsIn = (file: string) =>
    inspect(readFileSync(graphFile(file))).refusals.map(({ reason, site }) => `${site ? 'exact: ' : ''}${reason}`);
  it('in every graph of the collection that is refused something', () => {
    const reasons = manifest.filter(({ refuse }) => refuse.length > 0).map(({ file }) => [file, reasonsIn(file)]);
    expect(Object.fromEntries(reasons)).toMatchInlineSnapshot(`
      {
        "bert.torchscript17-attentions.onnx": [
          "the probabilities are a graph output (attentions.0): a rewrite would have to drop or recompute them",
          "the probabilities are a graph output (attentions.1): a rewrite would have to drop or recompute them",
        ],
        "deberta-v2.optimum-eager.onnx": [
          "/encoder/layer.0/attention/self/Add_3_output_0 is computed from the queries or keys and added to the scores: relative-position terms",
          "/encoder/layer.1/attention/self/Add_2_output_0 is computed from the queries or keys and added to the scores: relative-position terms",
        ],
        "gemma2.optimum-eager-past.onnx": [
          "scores are soft-capped: Tanh and Mul /model/layers.0/self_attn/Mul_9 between the product and the Softmax",
          "scores are soft-capped: Tanh and Mul /model/layers.1/self_attn/Mul_9 between the product and the Softmax",
        ],
        "gpt-oss.optimum-eager-past.onnx": [
          "attention sink: a column is joined to the scores before the Softmax (Concat /model/layers.0/self_attn/Concat_12)",
          "router: Softmax over the highest scores (TopK /model/layers.0/mlp/router/TopK), not over keys",
          "attention sink: a column is joined to the scores before the Softmax (Concat /model/layers.1/self_attn/Concat_12)",
          "router: Softmax over the highest scores (TopK /model/layers.1/mlp/router/TopK), not over keys",
        ],
        "linear-attention-elu.torchscript17.onnx": [
          "its scores are no product of queries and keys (ReduceMean /ReduceMean)",
        ],
        "lstm-pooling.torchscript17.onnx": [
          "its scores are no product of queries and keys (MatMul /u/MatMul)",
          "LogSoftmax: logarithms weigh no values; a classifier, mostly",
        ],
        "sam-encoder.torchscript17-eager.onnx": [
          "exact: /model/vision_encoder/layers.0/attn/Reshape_5_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "exact: /model/vision_encoder/layers.1/attn/Reshape_5_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "exact: /model/vision_encoder/layers.2/attn/Reshape_5_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
        ],
        "softmax-axis.torchscript17.onnx": [
          "its scores are no product of queries and keys (Conv /head/Conv)",
        ],
        "swin.optimum-eager.onnx": [
          "exact: onnx::Add_1932 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "its scores are regrouped before something is added to them (Reshape /swin/encoder/layers.0/blocks.1/attention/self/Reshape_3), as in shifted windows",
        ],
        "t5-decoder-merged.optimum-eager.onnx": [
          "exact: /decoder/block.0/layer.0/SelfAttention/relative_attention_bias/Gather_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "exact: /decoder/block.0/layer.0/SelfAttention/relative_attention_bias/Gather_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "exact: /decoder/block.0/layer.0/SelfAttention/relative_attention_bias/Gather_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
          "exact: /decoder/block.0/layer.0/SelfAttention/relative_attention_bias/Gather_output_0 is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven",
        ],
      }
    `);
  });
  it('probabilities that are an output', () => {
    const { refusals } = inspect(readFileSync(graphFile('bert.torchscript17-attentions.onnx')));
    expect(refusals[0]?.reason).toMatchInlineSnapshot(
      `"the probabilities are a graph output (attentions.0): a rewrite would have to drop or recompute them"`,
    );
  });
});

it('the kind of attention is read from where q and k come from', () => {
  expect(inspect(attentionModel({ heads: 2, headDim: 8 })).sites[0]).toMatchObject({ kind: 'cross', mask: 'none' });
});
