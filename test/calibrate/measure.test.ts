/** What the bench says of a plan, against the oracle's attention and the definition of the share. */
import * as ort from 'onnxruntime-node';
import { it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { openBench } from '../../src/calibrate/measure.js';
import { inspect } from '../../src/linearize.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { normalInput } from '../attention/cases.js';
import { attentionModel } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { softmaxAttention, windowAttention } from '../oracle/attention.js';

const [H, N, D, E] = [3, 90, 8, 5];

it.each([
  ['without a mask', undefined],
  ['padded queries do not count', [30]],
])('errors and sizes of every head, through W_o: %s', async (_, masked) => {
  const input = normalInput({ B: 1, H, N, S: N, D, E }, 50, masked ? { masked } : {});
  const [site] = inspect(
    attentionModel({ heads: H, headDim: D, valueDim: E, self: true, ...(masked && { mask: 'add' }) }),
  ).sites;
  if (!site) throw new Error('the model has one site');
  const dims = (length: number, width: number) => [1, H, length, width];
  const inputs = {
    q: { data: Float32Array.from(input.q, (x) => x * input.scale), dims: dims(N, D) },
    k: { data: Float32Array.from(input.k), dims: dims(N, D) },
    v: { data: Float32Array.from(input.v), dims: dims(N, E) },
    ...(input.keyBias && {
      keyBias: { data: Float32Array.from(input.keyBias, (x) => Math.max(x, -1e9)), dims: [1, 1, 1, N] },
    }),
  };
  // Any symmetric positive matrix stands for W_o W_oᵀ.
  const gram = Float32Array.from({ length: H * E * E }, (_, i) => (Math.floor(i / E) % E === i % E ? 2 : 0.3));
  const bench = openBench(sessionFactory(ort));
  const want = await bench.exact(site, inputs);
  close(want.data, softmaxAttention(input), 5e-6);
  const plan = readPlan('window:window=32,globals=0');
  const got = await bench.compare(site, plan, { inputs, want, gram: { data: gram, dims: [H, E, E] }, constants: {} });
  await bench.release();

  const [exact, linear] = [softmaxAttention(input), windowAttention(input, { block: 32, window: 32, globals: [] })];
  const kept = N - (masked?.[0] ?? 0);
  const sum = (h: number, rows: number, value: (i: number) => number) => {
    let total = 0;
    for (let n = 0; n < rows; n++)
      for (let i = 0; i < E; i++)
        for (let j = 0; j < E; j++)
          total += value((h * N + n) * E + i) * gram[(h * E + i) * E + j] * value((h * N + n) * E + j);
    return total;
  };
  const shares = (rows: number) => ({
    error: Float64Array.from({ length: H }, (_, h) => sum(h, rows, (i) => linear[i] - exact[i])),
    size: Float64Array.from({ length: H }, (_, h) => sum(h, rows, (i) => exact[i])),
  });
  close(got.error, shares(kept).error, 1e-5);
  close(got.size, shares(kept).size, 1e-5);
  expectMutantFails(() => close(got.error, shares(kept - 1).error, 1e-5));
});
