/**
 * The mask prover on masks of many makers. What it claims is checked against what the graph computes: the scores are
 * read out at some lengths, and a pair is hidden there exactly where the claim says so.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { forms, headDim, heads, maskModel, mutants, slopes } from './masks.js';

const batch = 2;

/** q and k of zeros: the scores are the bias alone. The second row of the batch has `hidden` masked keys. */
async function biasOf(bytes: Uint8Array, { past, tokens, hidden }: { past: number; tokens: number; hidden: number[] }) {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const keys = past + tokens;
  const zeros = (length: number) =>
    new Tensor('float32', new Float32Array(batch * heads * length * headDim), [batch, heads, length, headDim]);
  const ints = (length: number, value: (b: number, j: number) => number) => {
    const data = BigInt64Array.from({ length: batch * length }, (_, at) =>
      BigInt(value(Math.floor(at / length), at % length)),
    );
    return new Tensor('int64', data, [batch, length]);
  };
  const feeds = {
    q: zeros(tokens),
    k: zeros(tokens),
    v: zeros(tokens),
    past_k: zeros(past),
    past_v: zeros(past),
    attention_mask: ints(keys, (b, j) => Number(b === 0 || !hidden.includes(j))),
    given: new Tensor('float32', new Float32Array(batch * tokens * keys), [batch, 1, tokens, keys]),
    positions: ints(tokens, (_, i) => past + i),
    segments: ints(keys, () => 0),
  };
  const { [session.outputNames[1] ?? '']: scores } = await session.run(feeds, [session.outputNames[1] ?? '']);
  return scores?.data as Float32Array;
}

describe('masks of many makers', () => {
  it.each(Object.entries(forms))('%s', async (_, { form, mask, sliding, alibi, fresh }) => {
    const bytes = maskModel(form);
    const found = inspect(bytes);
    expect(found.refusals).toEqual([]);
    const [site] = found.sites;
    expect(site).toMatchObject({ mask, causal: /causal/.test(mask), heads });
    expect(site?.operands.sliding).toEqual(sliding);
    expect(site?.operands.slopes).toEqual(alibi && slopes);

    const hidden = [0, 1, 6];
    for (const [past, tokens] of [
      [0, 9],
      [0, 1],
      ...(fresh
        ? []
        : [
            [5, 4],
            [8, 1],
          ]),
    ]) {
      if (past === undefined || tokens === undefined) throw new Error('a case has two lengths');
      const keys = past + tokens;
      const bias = await biasOf(bytes, { past, tokens, hidden });
      const { left = Infinity, right = /causal/.test(mask) ? 0 : Infinity } = sliding ?? {};
      for (const [at, value] of bias.entries()) {
        const [b, h] = [Math.floor(at / (heads * tokens * keys)), Math.floor(at / (tokens * keys)) % heads];
        const [i, j] = [Math.floor(at / keys) % tokens, at % keys];
        const distance = i + past - j;
        const padded = /padding/.test(mask) && b === 1 && hidden.includes(j);
        const visible = distance <= left && -distance <= right && !padded;
        expect(value > -5000, `batch ${b}, head ${h}, query ${i}, key ${j}: ${value}`).toBe(visible);
        if (!alibi || !visible || b === 1) continue;
        // The first key of the row is the measure: softmax does not see what is added to all of them.
        const first = bias[at - j] ?? Number.NaN;
        const steps = Math.abs(i + past) - Math.abs(distance);
        expect(value - first).toBeCloseTo((slopes[h] ?? 0) * steps, 4);
      }
    }
  });

  it.each(Object.entries(mutants))('not taken for any: %s', (_, form) => {
    const { sites, refusals } = inspect(maskModel(form));
    expect(sites).toEqual([]);
    expect(refusals).toHaveLength(1);
    expect(refusals[0]?.reason).toMatch(/proven/);
    expect(refusals[0]?.site).toMatchObject({ mask: 'bias', causal: false, heads });
  });
});

it('a refused site takes an exact plan when one is asked for, and no other', async () => {
  const bytes = maskModel(mutants['a mask [batch,1,new,keys] that is given'] ?? (() => ({ bias: '' })));
  const exact = await linearize(bytes, { plan: 'exact-blocked:block=3' });
  expect(exact.report.refusals[0]?.plan).toBe('exact-blocked:block=3');
  const windowed = await linearize(bytes, { plan: 'window' });
  expect(windowed.report.refusals[0]?.plan).toBeUndefined();
  expect(windowed.bytes.length).toBeLessThan(exact.bytes.length);
});
