import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { favorPlus } from '../../src/features/favor-plus.js';
import { featureAttention } from '../../src/kernels/double-softmax.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { positiveAttention } from '../oracle/positive-attention.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

const bound = 1e-5;
const M = 24;

/** The inputs as float32 has them. */
function rounded(input: Attention): Attention {
  const [q, k, v] = [input.q, input.k, input.v].map((data) => data.map(Math.fround));
  return { ...input, q, k, v };
}

function constantsFor({ H, D }: Attention) {
  const { omega } = favorPlus({ heads: H, headDim: D, m: M, seed: 11 });
  return { omega, featureBias: Float32Array.from({ length: H * M }, (_, r) => Math.sin(r)) };
}

function oracle(input: Attention): Float64Array {
  const { omega, featureBias } = constantsFor(input);
  return positiveAttention(input, { queryOmega: omega, keyOmega: omega, bias: featureBias });
}

async function onDevice(gpu: Gpu, { q, k, v, keyBias, ...sizes }: Attention, options: { keyScale?: number } = {}) {
  const arrays = uploadAll(gpu, { q, k, v, ...constantsFor(sizes as Attention), ...(keyBias && { keyBias }) });
  const { out } = await outputs(gpu, (recording) => {
    const { out, lse } = featureAttention(recording, { ...sizes, ...arrays, ...options, M });
    return { out, lse };
  });
  for (const { buffer } of Object.values(arrays)) gpu.pool.give(buffer);
  return out;
}

describe.skipIf(noDevice)('linear attention as two attentions on a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle: %s', async (_name, given) => {
    const input = rounded(given);
    const got = await onDevice(gpu, input);
    close(got, oracle(input), bound);
    for (const mutant of Object.values(mutants(input))) expectMutantFails(() => close(got, oracle(mutant), bound));
  });

  it('takes a scale of the keys apart from that of the queries', async () => {
    const input = rounded(cases['whole blocks']);
    const got = await onDevice(gpu, { ...input, k: input.k.map((x) => x / 2) }, { keyScale: 4 * input.scale });
    close(got, oracle(input), bound);
    expectMutantFails(() => close(got, oracle({ ...input, scale: 1.01 * input.scale }), bound));
  });

  it('gives zeros for a batch with every key hidden', async () => {
    const out = await onDevice(gpu, rounded(cases['a fully masked row']));
    expect(out.subarray(out.length / 2).every((value) => value === 0)).toBe(true);
  });

  it('is the same where keys come in parts, and where they are larger than a binding', async () => {
    const input = rounded(normalInput({ B: 1, H: 2, N: 5, S: 600, D: 8, E: 8 }, 12, { masked: [7] }));
    const want = oracle(input);
    close(await onDevice(gpu, input), want, bound);
    const small = await open({ device: gpu.device, limits: { bindingBytes: 8192 } });
    close(await onDevice(small, input), want, bound);
    small.destroy();
  });
});
