/**
 * Decoders merged into one If: a state in both of its branches. The first call begins a text in one of them, later ones go on
 * with it in the other.
 */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { findAttention } from '../../src/rewrite/find.js';
import type { Site } from '../../src/rewrite/site.js';
import { close, expectMutantFails } from '../close.js';
import { graphFile } from '../shared.js';

const read = (name: string) => new Uint8Array(readFileSync(graphFile(`${name}.onnx`)));
const sitesOf = (bytes: Uint8Array) => findAttention(openModel(decode(bytes))).sites;

/** How long a text each of them knows positions for. */
const decoders: Readonly<Record<string, number>> = {
  'gpt2-merged.optimum13': 32,
  'bart-decoder-merged.optimum-eager': 32,
  'whisper-decoder-merged.optimum-eager': 24,
};
const wide = 'hybrid-causal:window=128,globals=0,sinks=0,codes=0,assign=keys';
const heard = 11;

const [heads, headDim] = [4, 8];

type Tensors = Record<string, Tensor>;

/** Logits of the pieces that end at `ends`. `dummy` is how long a past is handed to the branch that reads none. */
async function logits(
  bytes: Uint8Array,
  ends: readonly number[],
  { dummy = 0, batch = 1 }: { dummy?: number; batch?: number } = {},
): Promise<{ logits: Float32Array; sizes: number[][] }> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const int64 = (value: (place: number) => number, from: number, to: number) =>
    new Tensor(
      'int64',
      BigInt64Array.from({ length: batch * (to - from) }, (_, i) => BigInt(value(from + (i % (to - from))))),
      [batch, to - from],
    );
  const wave = Float32Array.from({ length: batch * heard * 32 }, (_, i) => Math.sin(i * i));
  let past: Tensors = Object.fromEntries(
    session.inputNames
      .filter((name) => name.startsWith('past'))
      .map((name) => {
        const length = name.includes('encoder') ? heard : dummy;
        const empty = new Float32Array(batch * heads * length * headDim);
        return [name, new Tensor('float32', empty, [batch, heads, length, headDim])];
      }),
  );
  const parts: number[] = [];
  const sizes: number[][] = [];
  let from = 0;
  for (const to of ends) {
    const all: Tensors = {
      input_ids: int64((i) => (7 * i * i + 3 * i + 5) % 60, from, to),
      attention_mask: int64(() => 1, 0, to),
      encoder_attention_mask: int64((i) => (i < heard - 2 ? 1 : 0), 0, heard),
      encoder_hidden_states: new Tensor('float32', wave, [batch, heard, 32]),
      use_cache_branch: new Tensor('bool', [from > 0], [1]),
      ...past,
    };
    const outputs = await session.run(
      Object.fromEntries(session.inputNames.map((name) => [name, all[name]])) as Tensors,
    );
    for (const value of outputs.logits.data as Float32Array) parts.push(value);
    past = Object.fromEntries(
      Object.keys(past).map((name) => {
        // What is known of the encoder is given out once.
        const keep = name.includes('encoder') && from > 0;
        return [name, keep ? past[name] : outputs[name.replace('past_key_values', 'present')]];
      }),
    );
    sizes.push(...Object.entries(past).flatMap(([name, { dims }]) => (name.includes('encoder') ? [] : [[...dims]])));
    from = to;
  }
  await session.release();
  return { logits: Float32Array.from(parts), sizes };
}

describe.each(Object.entries(decoders))('%s', (name, length) => {
  const bytes = read(name);
  const pieces = [17, 18, 20, length];

  it('gives its own logits in one call and in several, and is restored', async () => {
    const { logits: want } = await logits(bytes, pieces);
    const { bytes: patched, report } = await linearize(bytes, { plan: wide });
    const self = report.sites.filter(({ kind }) => kind === 'self');
    expect(self.map(({ plans }) => plans[0].plan)).toEqual(self.map(() => wide));
    expect(self.filter(({ cache }) => cache?.perToken === 0)).toHaveLength(self.length / 2);
    const once = await logits(patched, [length]);
    close(once.logits, Float64Array.from(want), 1e-5);
    const several = await logits(patched, pieces, { dummy: 1 });
    close(several.logits, Float64Array.from(want), 1e-5);
    const [keys, values] = [0, 1].map((part) => several.sizes.filter((_, i) => i % 2 === part));
    expect([...new Set(keys.map(String))]).toEqual(pieces.map((end) => `1,1,${end},0`));
    expect(new Set(values.map(String)).size).toBe(1);
    expect(restore(patched, report)).toEqual(bytes);
  });

  it('keeps the keys of exact heads beside the state of the others, several texts at once', async () => {
    const { logits: want } = await logits(bytes, pieces, { batch: 2 });
    const layers = sitesOf(bytes).flatMap(({ kind }, layer) => (kind === 'self' ? [layer] : []));
    const rules = [{ layers, heads: [1, 2], plan: 'exact-blocked' }];
    const { bytes: patched, report } = await linearize(bytes, { plan: wide, rules });
    const { logits: got, sizes } = await logits(patched, pieces, { batch: 2 });
    close(got, Float64Array.from(want), 1e-5);
    const caches = report.sites.flatMap(({ cache, kind }) => (cache && kind === 'self' ? [cache] : []));
    expect(caches).toHaveLength(layers.length / 2);
    const [before, after] = [sizes[1], sizes[sizes.length - 1]].map(([, ...row]) => row.reduce((a, b) => a * b, 4));
    expect(after - before).toBeGreaterThan((length - 17) * caches[0].perToken - 4 * heads * headDim);
    expect(after - before).toBeLessThan((length - 17) * caches[0].perToken + 4 * heads * headDim);
  });

  it('refuses another plan: features without a window, in both branches', async () => {
    const { logits: want } = await logits(bytes, pieces);
    const { bytes: patched } = await linearize(bytes, { plan: 'features-causal:window=0,m=4' });
    const { logits: got } = await logits(patched, pieces);
    expectMutantFails(() => close(got, Float64Array.from(want), 1e-2));
    close(got, Float64Array.from((await logits(patched, [length])).logits), 1e-5);
  });
});

describe('branches that share a cache', () => {
  const bytes = read('gpt2-merged.optimum13');

  it('stay exact where a rule names one of them alone, and say why', async () => {
    const { bytes: patched, report } = await linearize(bytes, { rules: [{ layers: [0, 1, 2], plan: wide }] });
    const plans = report.sites.map(({ plans }) => plans[0].plan.split(':')[0]);
    expect(plans).toEqual(['hybrid-causal', 'exact-blocked', 'hybrid-causal', 'exact-blocked']);
    expect(report.sites[1].why).toMatch(/the other branch of its If reads the same cache, and has another plan/);
    const ends = [17, 18, 20, 32];
    close((await logits(patched, ends)).logits, Float64Array.from((await logits(bytes, ends)).logits), 1e-5);
  });

  it('are refused where a saved plan gives them different ones', async () => {
    const site = ({ output, subgraph, heads, headDim, valueDim }: Site, layer: number) => ({
      ...{ layer, output, subgraph, heads, headDim, valueDim, why: 'by hand' },
      plans: [{ heads: [0, 1, 2, 3], plan: layer < 2 ? wide : `${wide},window=64` }],
    });
    const saved = { schema: 'performers.plan/1', sites: sitesOf(bytes).map(site) } as const;
    await expect(linearize(bytes, { saved })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF206  past_key_values.0.value would hold a state that only one branch keeps
        at   /transformer/h.0/attn/Softmax_output_0 in optimum::if/else_branch
        mend give the same plan and constants to the layer in both branches, or leave it exact in both]
    `);
  });
});

it('the memory of cross-attention is said to be as it was, for each of its tokens', async () => {
  const bytes = read('whisper-decoder-merged.optimum-eager');
  const { report } = await linearize(bytes, { plan: wide });
  const found = report.sites.map(({ kind, subgraph, memory, cache }) => [kind, subgraph, memory, cache?.perToken]);
  const of = (branch: string, memory?: object, perToken?: number) =>
    Array.from({ length: 4 }, (_, i) =>
      i % 2 === 0 ? ['self', branch, undefined, perToken] : ['cross', branch, memory, undefined],
    );
  const each = { perToken: 4 * heads * 2 * headDim };
  expect(found).toEqual([...of('optimum::if/else_branch'), ...of('optimum::if/then_branch', each, 0)]);
});

it('cross-attention by features is the same in both branches, and its cache stays what it was', async () => {
  const bytes = read('bart-decoder-merged.optimum-eager');
  const layers = sitesOf(bytes).flatMap(({ kind }, layer) => (kind === 'cross' ? [layer] : []));
  expect(layers).toHaveLength(4);
  const { bytes: patched } = await linearize(bytes, { plan: wide, rules: [{ layers, plan: 'features:m=64' }] });
  const { logits: want } = await logits(patched, [32]);
  close((await logits(patched, [17, 18, 20, 32])).logits, Float64Array.from(want), 1e-5);
  const one = { layers: layers.slice(0, 2), plan: 'features:m=64' };
  const { bytes: half } = await linearize(bytes, { plan: wide, rules: [one] });
  const { logits: other } = await logits(half, [17, 18, 20, 32]);
  expectMutantFails(() => close(other, Float64Array.from(want), 1e-5));
});

it('a relative bias stays exact, and is said', async () => {
  const bytes = read('t5-decoder-merged.optimum-eager');
  const { bytes: patched, report } = await linearize(bytes, { plan: wide });
  expect(report.refusals.map(({ reason }) => reason)).toEqual(
    new Array(4).fill(expect.stringMatching(/relative_attention_bias.* depends on the query/)),
  );
  const ends = [9, 10, 13];
  close((await logits(patched, ends)).logits, Float64Array.from((await logits(bytes, ends)).logits), 1e-5);
});
