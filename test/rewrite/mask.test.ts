/**
 * The mask prover on masks of many makers. What it claims is checked against what the graph computes: the scores are
 * read out at some lengths, and a pair is hidden there exactly where the claim says so.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize } from '../../src/linearize.js';
import { close } from '../close.js';
import { headDim, heads, maskModel, mutants, forms as plainForms, slopes } from './masks.js';
import { movedForms } from './masks-moved.js';

const batch = 2;
const forms = { ...plainForms, ...movedForms };

interface Lengths {
  readonly past: number;
  readonly tokens: number;
  /** Keys that are masked in the second row of the batch. */
  readonly hidden: readonly number[];
  /** Standard deviation of q, k and v; with 0 the scores are the bias alone. */
  readonly spread: number;
}

async function outputOf(bytes: Uint8Array, which: number, { past, tokens, hidden, spread }: Lengths) {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const keys = past + tokens;
  const normal = gaussians(11);
  const heads4 = (length: number) => {
    const data = Float32Array.from({ length: batch * heads * length * headDim }, () => spread * normal());
    return new Tensor('float32', data, [batch, heads, length, headDim]);
  };
  const ints = (length: number, value: (b: number, j: number) => number) => {
    const data = BigInt64Array.from({ length: batch * length }, (_, at) =>
      BigInt(value(Math.floor(at / length), at % length)),
    );
    return new Tensor('int64', data, [batch, length]);
  };
  const feeds = {
    q: heads4(tokens),
    k: heads4(tokens),
    v: heads4(tokens),
    past_k: heads4(past),
    past_v: heads4(past),
    attention_mask: ints(keys, (b, j) => Number(b === 0 || !hidden.includes(j))),
    given: new Tensor('float32', Float32Array.from({ length: batch * tokens * keys }, normal), [
      batch,
      1,
      tokens,
      keys,
    ]),
    positions: ints(tokens, (_, i) => past + i),
    segments: ints(keys, () => 0),
  };
  const { [session.outputNames[which] ?? '']: output } = await session.run(feeds, [session.outputNames[which] ?? '']);
  return output?.data as Float32Array;
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
      const bias = await outputOf(bytes, 1, { past, tokens, hidden, spread: 0 });
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

describe('exact plans keep what a mask does, proven or not', () => {
  const all = [
    ...Object.entries(forms),
    ...Object.entries(mutants).map(([name, form]) => [name, { form, fresh: undefined }] as const),
  ];
  it.each(all)('%s', async (_, { form, fresh }) => {
    const bytes = maskModel(form);
    for (const [past, tokens] of [[0, 1], [0, 2], [0, 17], ...(fresh ? [] : [[5, 4]])]) {
      if (past === undefined || tokens === undefined) throw new Error('a case has two lengths');
      const lengths = { past, tokens, hidden: [1, 2], spread: 1 };
      const want = await outputOf(bytes, 0, lengths);
      for (const plan of ['exact', 'exact-blocked:block=3']) {
        const { bytes: patched } = await linearize(bytes, { plan });
        const got = await outputOf(patched, 0, lengths);
        // A row without any key is NaN in the graph and in the plan.
        const finite = (array: Float32Array) => array.map((x, i) => (Number.isNaN(want[i]) ? 0 : x));
        close(finite(got), finite(want), 1e-5);
      }
    }
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
