/** Real decoders with a state that holds everything: the logits of the original, however the input is cut. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { findAttention } from '../../src/rewrite/find.js';
import { close, expectMutantFails } from '../close.js';
import { halfValue } from '../half.js';
import { graphFile } from '../shared.js';

const folder = dirname(graphFile('README.md'));
const read = (file: string) => new Uint8Array(readFileSync(graphFile(file)));
const sitesOf = (bytes: Uint8Array) => findAttention(openModel(decode(bytes))).sites;

/** Decoders whose layers all have a float32 cache in plain sight and a mask that the stream reads; merged.test.ts has the others. */
const decoders = readdirSync(folder)
  .filter((file) => file.endsWith('.onnx'))
  .filter((file) => {
    const sites = sitesOf(read(file));
    const fits = sites.filter(
      ({ operands, mask, subgraph }) =>
        operands.cache && operands.elemType === 1 && !mask.includes('sliding') && subgraph === '',
    );
    return sites.length > 0 && fits.length === sites.length;
  });

type Tensors = Record<string, Tensor>;

/** Logits of the pieces that end at `ends`, one after the other. */
async function logits(bytes: Uint8Array, ends: readonly number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const [site] = sitesOf(bytes);
  if (site) known = { ...site, half: site.operands.elemType === 10 };
  const { kvHeads, headDim, valueDim, half } = known;
  const int64 = (values: readonly number[]) =>
    new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  let past: Tensors = Object.fromEntries(
    session.inputNames
      .filter((name) => name.startsWith('past'))
      .map((name) => {
        const width = name.endsWith('key') ? headDim : valueDim;
        const dims = [1, kvHeads, 0, width];
        return [
          name,
          half ? new Tensor('float16', new Uint16Array(), dims) : new Tensor('float32', new Float32Array(), dims),
        ];
      }),
  );
  const parts: number[] = [];
  let from = 0;
  for (const to of ends) {
    const places = Array.from({ length: to - from }, (_, i) => from + i);
    const all: Tensors = {
      input_ids: int64(places.map((i) => (7 * i * i + 3 * i + 5) % 60)),
      attention_mask: int64(Array.from({ length: to }, () => 1)),
      position_ids: int64(places),
      ...past,
    };
    const outputs = await session.run(
      Object.fromEntries(session.inputNames.map((name) => [name, all[name]])) as Tensors,
    );
    const { data } = outputs[session.outputNames[0]];
    for (const value of data instanceof Uint16Array ? Array.from(data, halfValue) : (data as Float32Array))
      parts.push(value);
    past = Object.fromEntries(
      Object.keys(past).map((name) => [name, outputs[name.replace('past_key_values', 'present')]]),
    );
    from = to;
  }
  await session.release();
  return Float32Array.from(parts);
}
let known = { kvHeads: 0, headDim: 0, valueDim: 0, half: false };

/** GPT-2's learned positions end at 32, the least window there is. */
const positions = (file: string) => (file.startsWith('gpt2') ? 32 : 52);

/** Lowerings that keep a state, with options for a window of this size and little behind it. */
const plans: Readonly<Record<string, (window: number) => string>> = {
  'hybrid-causal': (window) => `hybrid-causal:window=${window},globals=0,sinks=0,codes=0`,
  'features-causal': (window) => `features-causal:window=${window},m=4`,
  'window-causal': (window) => `window-causal:window=${window},sinks=0`,
};
const all = decoders.flatMap((file) => Object.entries(plans).map(([name, plan]) => [file, name, plan] as const));

describe.each(all)('%s, %s', (file, name, plan) => {
  const length = positions(file);
  const pieces = [17, 18, 20, length];
  it('gives its own logits in one piece and in several, and is restored', async () => {
    const bytes = read(file);
    const want = Float64Array.from(await logits(bytes, [length]));
    const { bytes: patched, report } = await linearize(bytes, { plan: plan(128) });
    expect(new Set(report.sites.flatMap(({ plans }) => plans.map(({ plan }) => plan.split(':')[0])))).toEqual(
      new Set([name]),
    );
    close(await logits(patched, [length]), want, 1e-5);
    close(await logits(patched, pieces), want, 1e-5);
    expect(restore(patched, report)).toEqual(bytes);
  });

  it.runIf(length > 32)('refuses a window too small', async () => {
    const bytes = read(file);
    const want = Float64Array.from(await logits(bytes, [length]));
    const small = await linearize(bytes, { plan: plan(32) });
    const got = await logits(small.bytes, pieces);
    expectMutantFails(() => close(got, want, 1e-5));
  });
});

describe('llama in float16, weights of 4 bits', () => {
  const file = 'llama.genai-gqa-q4f16.onnx';
  const pieces = [17, 18, 20, 52];
  it('gives its own logits to the rounding of its caches', async () => {
    const bytes = read(file);
    const want = Float64Array.from(await logits(bytes, [52]));
    for (const plan of Object.values(plans)) {
      const { bytes: patched, report } = await linearize(bytes, { plan: plan(128) });
      expect(report.sites.map(({ cache }) => cache?.perToken)).toEqual([0, 0]);
      close(await logits(patched, [52]), want, 2e-3);
      close(await logits(patched, pieces), want, 2e-3);
      const small = await linearize(bytes, { plan: plan(32) });
      const got = await logits(small.bytes, pieces);
      expectMutantFails(() => close(got, want, 2e-3));
      expect(restore(patched, report)).toEqual(bytes);
    }
  });
});

describe('mistral, whose mask slides over five keys', () => {
  const file = 'mistral.optimum-sdpa-past.onnx';
  const pieces = [17, 18, 20, 52];
  it('gives its own logits by a ring of them, whatever plan with a state is asked for, and is restored', async () => {
    const bytes = read(file);
    const want = Float64Array.from(await logits(bytes, [52]));
    for (const plan of ['window-causal', 'hybrid-causal:window=32,globals=0,codes=0']) {
      const { bytes: patched, report } = await linearize(bytes, { plan });
      expect(report.sites.map(({ cache }) => cache?.perToken)).toEqual([0, 0]);
      close(await logits(patched, [52]), want, 1e-5);
      close(await logits(patched, pieces), want, 1e-5);
      expect(restore(patched, report)).toEqual(bytes);
    }
  });

  it('refuses a ring of four', async () => {
    const bytes = read(file);
    const want = Float64Array.from(await logits(bytes, [52]));
    const { bytes: patched } = await linearize(bytes, { plan: 'window-causal:window=4' });
    const got = await logits(patched, pieces);
    expectMutantFails(() => close(got, want, 1e-5));
  });
});

it('covers the exporters of llama', () => {
  expect(decoders.length).toBeGreaterThanOrEqual(6);
});
