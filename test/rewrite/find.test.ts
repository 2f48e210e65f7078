/** What the finder reports on real exporter graphs and real models, against the manifests. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/linearize.js';
import { attentionModel } from '../attention-model.js';
import { graphFile, modelFile, noModels } from '../shared.js';

interface Expected {
  readonly file: string;
  readonly sites: readonly Record<string, unknown>[];
  readonly refuse: readonly { readonly node: string }[];
}
const manifest: Expected[] = JSON.parse(readFileSync(graphFile('manifest.json'), 'utf8'));
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

describe('graphs of encoders, and of attention written by hand', () => {
  const named = manifest.filter(({ file }) =>
    /^(bert|vit|distilbert|bart-encoder|whisper-encoder|nn-transformer|perceiver|segformer|einsum)/.test(file),
  );
  it.each(named.map((entry) => [entry.file, entry] as const))('%s', (file, { sites, refuse }) => {
    const found = inspect(readFileSync(graphFile(`${file}`)));
    expect(found.sites.map(pick)).toEqual(sites.map(pick));
    for (const [i, site] of found.sites.entries())
      expect(site.scale).toBeCloseTo(Number(sites[i]?.scale), scaleDigits(file));
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
  it('a mask that depends on the query', () => {
    const causal = manifest.find(({ file }) => file.startsWith('nanogpt.torchscript14'));
    const { sites, nearMisses } = inspect(readFileSync(graphFile(`${causal?.file}`)));
    expect(sites).toEqual([]);
    expect(nearMisses[0]).toMatchInlineSnapshot(`
      {
        "expected": "no mask, or a padding mask that depends on the key alone",
        "found": "/Where_output_0, a table of constants",
        "node": "/Softmax",
        "output": "/Softmax_output_0",
        "subgraph": "",
      }
    `);
  });
  it('probabilities that are an output', () => {
    const { refusals } = inspect(readFileSync(graphFile('bert.torchscript17-attentions.onnx')));
    expect(refusals[0]?.reason).toMatchInlineSnapshot(
      `"the probabilities are a graph output (attentions.0): a rewrite would have to drop or recompute them"`,
    );
  });
  it('a Softmax over classes is no near miss', () => {
    const { sites, nearMisses, refusals } = inspect(readFileSync(graphFile('lstm-pooling.torchscript17.onnx')));
    expect([sites, nearMisses, refusals]).toEqual([[], [], []]);
  });
});

it('the kind of attention is read from where q and k come from', () => {
  expect(inspect(attentionModel({ heads: 2, headDim: 8 })).sites[0]).toMatchObject({ kind: 'cross', mask: 'none' });
});
