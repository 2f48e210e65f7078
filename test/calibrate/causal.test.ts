/** Calibration of a causal site with a key cache: what is chosen keeps a state, and its answers. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { gaussians, uniforms } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { Feeds, TensorLike } from '../../src/session.js';
import { causalModel } from '../causal-model.js';
import { graphFile } from '../shared.js';

const [heads, kvHeads, width, tokens] = [4, 2, 16, 384];
const bytes = causalModel({ heads, kvHeads, headDim: width, cache: true, mask: true });
const createSession = sessionFactory(ort);

/** Tokens of eight kinds, keys and values of a kind alike, queries after a few kinds: what trained heads look like. */
function stream(seed: number): Feeds {
  const centres = gaussians(1);
  const kinds = Array.from({ length: 8 }, () => Array.from({ length: 3 * width }, () => centres()));
  const [normal, uniform] = [gaussians(seed), uniforms(seed)];
  const sequence = Array.from({ length: tokens }, () => Math.floor(8 * uniform() ** 2));
  const tensor = (count: number, part: number, size: number): TensorLike => {
    const data = new Float32Array(count * tokens * width);
    for (let h = 0; h < count; h++)
      for (let i = 0; i < tokens; i++)
        for (let d = 0; d < width; d++)
          data[(h * tokens + i) * width + d] = size * kinds[sequence[i]][part * width + d] + 0.3 * normal();
    return { type: 'float32', dims: [1, count, tokens, width], data };
  };
  const empty = { type: 'float32', dims: [1, kvHeads, 0, width], data: new Float32Array() };
  return {
    q: tensor(heads, 0, 1.5),
    k: tensor(kvHeads, 1, 1),
    v: tensor(kvHeads, 2, 1),
    mask: { type: 'int64', dims: [1, tokens], data: new BigInt64Array(tokens).fill(1n) },
    'past_key_values.0.key': empty,
    'past_key_values.0.value': empty,
  };
}

async function context(model: Uint8Array, feeds: Feeds) {
  const session = await createSession(model);
  const outputs = await session.run(feeds);
  await session.release();
  return { context: outputs.context };
}

describe('calibrating a causal site', () => {
  const inputs = [2, 3, 4, 5, 6, 7].map(stream);
  const options = { budget: 120, keep: 0 };

  it('gives every head a state and keeps its answers on a stream it has not seen', async () => {
    const found = await calibrate(bytes, inputs, createSession, options);
    expect(found.cost).toBeLessThanOrEqual(120);
    expect(found.healing).toEqual([]);
    for (const { plan, why } of found.plan.sites.flatMap(({ plans }) => plans)) {
      expect(plan).toMatch(/^hybrid-causal:/);
      // Half of the keys on average.
      expect(why?.[0]).toContain('instead of 192');
    }
    const unseen = stream(11);
    const want = await context(bytes, unseen);
    const errorOf = async (model: Uint8Array) => compareOutputs(await context(model, unseen), want)[0]?.relRMS ?? 1;
    const held = await errorOf((await linearize(bytes, { saved: found.plan })).bytes);
    const window = await errorOf((await linearize(bytes, { plan: 'hybrid-causal:window=96,globals=0,codes=0' })).bytes);
    expect(held).toBeGreaterThan(1e-5);
    expect(held).toBeLessThan(window / 3);
  });

  it('gives the same plan again', async () => {
    const [a, b] = [
      await calibrate(bytes, inputs, createSession, options),
      await calibrate(bytes, inputs, createSession, options),
    ];
    expect(JSON.stringify(a.plan)).toBe(JSON.stringify(b.plan));
  });

  it('keeps heads exact where no linear plan is near enough, and says what they would have lost', async () => {
    const { plan, exactHeads } = await calibrate(bytes, inputs, createSession, { maxError: 1e-9, keep: 1 });
    expect(exactHeads).toBe(heads);
    const exact = plan.sites[0].plans.find((group) => group.plan.startsWith('exact-blocked'));
    expect(exact?.why?.[0]).toMatch(/exact: the best linear plan, hybrid-causal:.* errs by/);
    const { bytes: patched } = await linearize(bytes, { saved: plan });
    const unseen = stream(11);
    const [error] = compareOutputs(await context(patched, unseen), await context(bytes, unseen));
    expect(error?.relRMS).toBeLessThan(1e-5);
  });

  it('says what a model whose own window slides can have instead', async () => {
    const sliding = new Uint8Array(readFileSync(graphFile('mistral.optimum-sdpa-past.onnx')));
    const model = openModel(decode(sliding));
    const passages = [0, 1, 2].map((seed) => generateInputs(model, { tokens: 40, seed }).feeds);
    await expect(calibrate(sliding, passages, createSession)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF503  no attention of this model can be made linear
        at   it reads causal and padding masks, and the mask here is sliding+causal+padding
        mend its own window slides: --plan window-causal keeps the keys in it alone, and its answers; it needs no data]
    `);
  });
});
