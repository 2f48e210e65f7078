/** Calibration of decoders merged into one If: they are read in the branch that begins a text, and what is chosen is used in both. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { uniforms } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { readPlan } from '../../src/rewrite/plan.js';
import type { SavedPlan } from '../../src/rewrite/saved-plan.js';
import type { Feeds, TensorLike } from '../../src/session.js';
import { close, expectMutantFails, relRMS } from '../close.js';
import { graphFile } from '../shared.js';

const createSession = sessionFactory(ort);
/** As many as the smallest of these knows positions for. */
const tokens = 24;

/** Logits of the pieces that end at `ends`: the first in one branch, the others in the other. */
async function logits(bytes: Uint8Array, feeds: Feeds, ends: readonly number[]): Promise<Float32Array> {
  const session = await createSession(bytes);
  const ids = feeds.input_ids.data as BigInt64Array;
  const found: number[] = [];
  let past: Feeds = feeds;
  let from = 0;
  for (const to of ends) {
    const all: Feeds = {
      ...past,
      input_ids: { type: 'int64', dims: [1, to - from], data: ids.slice(from, to) },
      attention_mask: { type: 'int64', dims: [1, to], data: new BigInt64Array(to).fill(1n) },
      use_cache_branch: { type: 'bool', dims: [1], data: Uint8Array.of(from > 0 ? 1 : 0) },
    };
    const outputs = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, all[name]])));
    for (const value of outputs.logits.data as Float32Array) found.push(value);
    // What is known of the encoder is given out once.
    const kept = Object.entries(outputs).filter(
      ([name]) => name.startsWith('present') && (from === 0 || !/encoder/.test(name)),
    );
    const next = kept.map(([name, tensor]): [string, TensorLike] => [
      name.replace('present', 'past_key_values'),
      tensor,
    ]);
    past = { ...past, ...Object.fromEntries(next) };
    from = to;
  }
  await session.release();
  return Float32Array.from(found);
}

const graphs = ['gpt2-merged.optimum13', 'bart-decoder-merged.optimum-eager', 'whisper-decoder-merged.optimum-eager'];

describe.each(graphs)('calibrating %s', async (name) => {
  const bytes = new Uint8Array(readFileSync(graphFile(`${name}.onnx`)));
  const model = openModel(decode(bytes));
  const text = (seed: number): Feeds => {
    const { feeds } = generateInputs(model, { tokens, seed });
    const uniform = uniforms(seed);
    const data = BigInt64Array.from({ length: tokens }, () => BigInt(Math.floor(60 * uniform())));
    return { ...feeds, input_ids: { ...feeds.input_ids, data } };
  };
  const inputs = [0, 1, 2, 3, 4, 5].map(text);
  // Positions end before a window does: features with constants of their own, which need none.
  const candidates = () => [8, 16].map((m) => readPlan({ name: 'features-causal', window: 0, map: 'oprf', m }));
  const { plan, cost, healing, error } = await calibrate(bytes, inputs, createSession, {
    budget: 40,
    keep: 0,
    candidates,
  });
  const self = plan.sites.filter(({ constants }) => Object.keys(constants ?? {}).length > 0);

  it('chooses for the heads of both branches alike, and keeps cross-attention', () => {
    const [goesOn, begins] = ['then_branch', 'else_branch'].map((branch) =>
      self
        .filter(({ subgraph = '' }) => subgraph.endsWith(branch))
        .map(({ output, plans, constants }) => [output, plans.map(({ heads, plan }) => [heads, plan]), constants]),
    );
    expect(begins).toHaveLength(2);
    expect(goesOn).toEqual(begins);
    for (const { plan } of self.flatMap(({ plans }) => plans)) expect(plan).toMatch(/^features-causal/);
    const others = plan.sites.filter((site) => !self.includes(site));
    for (const { plan } of others.flatMap(({ plans }) => plans)) expect(plan).toMatch(/^exact-blocked/);
    expect(cost).toBeLessThanOrEqual(40);
    expect(healing).toEqual([]);
  });

  it('gives in pieces what it gives in one, as near to the model as calibration measured', async () => {
    const { bytes: patched } = await linearize(bytes, { saved: plan });
    const unseen = text(99);
    const once = await logits(patched, unseen, [tokens]);
    const pieces = [17, 18, 20, tokens];
    close(await logits(patched, unseen, pieces), once, 1e-5);
    const other = await logits(patched, withFirst(unseen, 7n), pieces);
    expectMutantFails(() => close(other.slice(-64), once.slice(-64), 1e-5));
    const mixedUp: SavedPlan = { ...plan, sites: plan.sites.map((site) => withoutOwnConstants(site, self)) };
    await expect(linearize(bytes, { saved: mixedUp })).rejects.toThrow('PF206');
    const want = await logits(bytes, unseen, [tokens]);
    const own = relRMS(once, want);
    expect(own).toBeGreaterThan(error.chosen / 2);
    expect(own).toBeLessThan(2 * error.chosen);
  });

  it('is not healed', async () => {
    await expect(
      calibrate(bytes, inputs, createSession, { candidates, heal: true }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  a decoder merged into one If can't be healed
        at   heal
        mend leave it out: a plan needs no healing to be used]
    `);
  });
});

/** The same text, but for its first token, which the last can know of by the state alone. */
function withFirst(feeds: Feeds, token: bigint): Feeds {
  const { data, ...ids } = feeds.input_ids;
  return { ...feeds, input_ids: { ...ids, data: BigInt64Array.of(token, ...(data as BigInt64Array).slice(1)) } };
}

/** In the branch that goes on, with the constants of the first layer. */
function withoutOwnConstants(
  site: SavedPlan['sites'][number],
  [first]: SavedPlan['sites'],
): SavedPlan['sites'][number] {
  return site.constants && site.subgraph?.endsWith('then_branch') ? { ...site, constants: first.constants } : site;
}
