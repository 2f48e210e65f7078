import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { linearize, type Report } from '../../src/linearize.js';
import { boundedCache } from '../../src/node/bounded-cache.js';
import { readDecoderFile } from '../../src/node/decoder-pair.js';
import { readRewritten } from '../../src/rewrite/rewritten.js';
import { readGraph, statePlan } from '../adapters/generate.js';

const bytes = readGraph('llama.optimum-sdpa-past');
const original = readDecoderFile('llama.onnx', bytes);

const beside = (patched: Uint8Array) =>
  boundedCache(original, readRewritten(readDecoderFile('patched.onnx', patched).model.proto));

const bytesAfter = ({ sites }: Report, tokens: number) =>
  sites.reduce((sum, { cache }) => sum + (cache ? cache.constant + cache.perToken * tokens : Number.NaN), 0);

test.each([[[]], [[1]]])(
  'as many bytes as the state takes, with exact heads %j; one key more takes more',
  async (exact) => {
    const patched = await linearize(bytes, { saved: statePlan(bytes, exact) });
    const bounded = beside(patched.bytes);
    for (const tokens of [300, 2000]) {
      const window = bounded?.windowAfter(tokens) ?? 0;
      const made = await linearize(bytes, { plan: `window-causal:window=${window},sinks=4` });
      const wider = await linearize(bytes, { plan: `window-causal:window=${window + 1},sinks=4` });
      const budget = bytesAfter(patched.report, tokens);
      expect(bytesAfter(made.report, 0)).toBeLessThanOrEqual(budget);
      expect(bytesAfter(wider.report, 0)).toBeGreaterThan(budget);
      expect(Buffer.compare((await bounded?.make(window)) ?? bytes, made.bytes)).toBe(0);
    }
    expect(bounded?.windowAfter(5)).toBe(5);
  },
);

test('none beside a model without a state, or with a bounded cache itself', async () => {
  for (const plan of ['exact-blocked', 'window-causal:window=64']) {
    const patched = await linearize(bytes, { plan });
    expect(beside(patched.bytes)).toBeUndefined();
  }
});
