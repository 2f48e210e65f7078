import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians, uniforms } from '../../src/features/rng.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { lowBitAttention } from '../../src/kernels/low-bit.js';
import { close, expectMutantFails, relRMS } from '../close.js';
import { type LowBitAttention, lowBitAttention as oracle } from '../oracle/low-bit-attention.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

const bound = 1e-5;
type Sizes = Partial<Pick<LowBitAttention, 'B' | 'H' | 'G' | 'N' | 'S' | 'D' | 'E' | 'M' | 'bits' | 'queryBits'>>;

/** What float32 may move a number by, in steps of its code. */
const resolution = { features: 2e-4, values: 4e-5, sums: 2e-4 };

interface Options {
  /** Hidden keys at the beginning of each row of the batch. */
  readonly masked?: readonly number[];
  /** Biases of the keys of each head. */
  readonly byHead?: boolean;
  /** Of queries. Default: 1. */
  readonly size?: number;
}

/** Drawn again until no code is so near to another that float32 may decide otherwise. */
function draw(sizes: Sizes, options: Options = {}): LowBitAttention {
  for (let seed = 1; seed < 2000; seed++) {
    const input = drawOnce(sizes, seed, options);
    const { margins } = oracle(input);
    const clear = (['features', 'values', 'sums'] as const).every((kind) => margins[kind] > resolution[kind]);
    if (clear) return input;
  }
  throw new Error('no seed keeps all codes apart');
}

function drawOnce(sizes: Sizes, seed: number, options: Options = {}): LowBitAttention {
  const { masked, byHead, size = 1 } = options;
  const { B = 1, H = 2, G = H, N = 20, S = 30, D = 6, E = 5, M = 10, bits = 8, queryBits = 8 } = sizes;
  const normal = gaussians(seed);
  const uniform = uniforms(seed);
  const fill = (length: number, scale = 1) => Float64Array.from({ length }, () => Math.fround(scale * normal()));
  return {
    ...{ B, H, G, N, S, D, E, M, bits, queryBits, block: 64 },
    q: fill(B * H * N * D, size),
    k: fill(B * G * S * D),
    v: fill(B * G * S * E),
    // Half of what the inputs' own scale gives, so that denominators stay away from 0.
    omega: fill(G * M * D, 0.5),
    phase: Float64Array.from({ length: G * M }, () => Math.fround(2 * Math.PI * uniform())),
    weight: Float64Array.from({ length: G * M }, () => Math.fround(1 + uniform())),
    scale: Math.fround(D ** -0.5),
    ...(byHead && { keyBias: fill(B * G * S, 0.3) }),
    ...(masked && {
      keyBias: Float64Array.from({ length: B * S }, (_, at) =>
        at % S < masked[Math.floor(at / S)] ? -Infinity : Math.fround(0.3 * normal()),
      ),
    }),
  };
}

const cases: Record<string, () => LowBitAttention> = {
  '8 bits': () => draw({}),
  '4 bits': () => draw({ bits: 4 }),
  '1 bit': () => draw({ bits: 1 }),
  '4 bits on both sides': () => draw({ bits: 4, queryBits: 4 }),
  'whole blocks': () => draw({ H: 1, N: 8, S: 64, D: 4, E: 3, M: 64, bits: 4 }),
  'more than a block of keys and of features': () => draw({ H: 1, N: 5, S: 70, D: 3, E: 2, M: 67 }),
  'parts, 1 bit': () => draw({ H: 1, N: 4, S: 1100, D: 3, E: 2, M: 3, bits: 1 }),
  'parts, 8 bits': () => draw({ H: 1, N: 4, S: 1100, D: 3, E: 1, M: 2 }),
  'more columns than a tile': () => draw({ H: 1, N: 40, S: 9, E: 35, M: 5 }),
  'grouped heads, batch 2': () => draw({ B: 2, H: 4, G: 2, N: 7, S: 12, M: 9 }),
  'padding, 8 bits': () => draw({ B: 2, H: 1, N: 9, S: 20 }, { masked: [3, 11] }),
  'padding, 1 bit': () => draw({ B: 2, H: 1, N: 9, S: 20, bits: 1 }, { masked: [3, 11] }),
  'a batch with every key hidden': () => draw({ B: 2, H: 1, N: 5, S: 9 }, { masked: [1, 9] }),
  'one token': () => draw({ N: 1, S: 1 }),
  'a bias of every head': () => draw({ B: 2, H: 2, N: 5, S: 11, M: 6 }, { byHead: true }),
  '|q| × 20': () => draw({ H: 1, N: 9, S: 9, M: 6 }, { size: 20 }),
};

async function onDevice(gpu: Gpu, input: LowBitAttention, hiddenAre = Number.NaN) {
  const { B, H, G, N, S, D, E, M, q, k, v, omega, phase, weight, scale, keyBias, bits, queryBits } = input;
  // What is hidden may hold anything.
  const seen = (x: Float64Array, width: number) =>
    x.map((value, at) => {
      const row = Math.floor(at / width);
      return keyBias?.[Math.floor(row / (G * S)) * S + (row % S)] === -Infinity ? hiddenAre : value;
    });
  const arrays = uploadAll(gpu, {
    ...{ q, k: seen(k, D), v: seen(v, E), omega, phase, weight },
    ...(keyBias && { keyBias }),
  });
  const given = { B, H, G, N, S, D, E, M, scale, bits: bits as 8, queryBits: queryBits as 8, ...arrays };
  const { out } = await outputs(gpu, (recording) => ({ out: lowBitAttention(recording, given) }));
  for (const { buffer } of Object.values(arrays)) gpu.pool.give(buffer);
  expect(gpu.pool.counts().used).toBe(0);
  return out;
}

function mutants(input: LowBitAttention): LowBitAttention[] {
  const { S, N, M, G, weight, keyBias, bits } = input;
  if (S * N * M < 100) return [];
  const turned = weight.map((_, at) => weight[(at + 1) % (G * M)]);
  const shifted = keyBias?.map((_, at) => keyBias[at % S === 0 ? at : at - 1]);
  return [
    { ...input, scale: 1.01 * input.scale },
    { ...input, weight: turned },
    { ...input, bits: bits === 8 ? 4 : 8 },
    { ...input, block: 32 },
    ...(shifted ? [{ ...input, keyBias: shifted }] : []),
  ];
}

describe.skipIf(noDevice)('linear attention by features in few bits', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle that rounds: %s', async (_name, drawn) => {
    const input = drawn();
    const got = await onDevice(gpu, input);
    close(got, oracle(input).out, bound);
    for (const mutant of mutants(input)) {
      const wrong = oracle(mutant).out;
      // Blocks of 32 are blocks of 64 where there are no more numbers.
      if (mutant.block === 32 && Math.max(input.S, input.M) <= 32) continue;
      expectMutantFails(() => close(got, wrong, bound));
    }
  });

  it.each(['8 bits', '4 bits', '1 bit'])('is the same, bit for bit, without packed integer dots: %s', async (name) => {
    const input = cases[name]();
    const plain = await open({ device: gpu.device, packedDot: false });
    expect(await onDevice(plain, input)).toEqual(await onDevice(gpu, input));
    plain.destroy();
  });

  it('gives zeros to queries that see no key', async () => {
    const { N, E, ...rest } = cases['a batch with every key hidden']();
    const out = await onDevice(gpu, { N, E, ...rest });
    expect(Array.from(out.subarray(N * E))).toEqual(new Array(N * E).fill(0));
  });

  // Not rounding but what it costs: against the same features as they are. At most twice what was measured: .0071, .013 and .124.
  it.each([
    [8, 0.014],
    [4, 0.026],
    [1, 0.24],
  ])('%d bits err by less than %d', async (bits, budget) => {
    const input = drawOnce({ H: 1, N: 64, S: 256, D: 16, E: 16, M: 128, bits }, 7);
    const exact = oracle({ ...input, bits: Infinity, queryBits: Infinity, block: 0 }).out;
    const error = relRMS(await onDevice(gpu, input), exact);
    expect(error).toBeLessThan(budget);
    expect(error).toBeGreaterThan(budget / 4);
  });

  it('says what is wrong with arrays and options, and refuses features of a head that are larger than a binding', async () => {
    const input = drawOnce({}, 1);
    const wrong = { ...input, bits: 2, scale: 0, weight: input.weight.subarray(1) };
    await expect(onDevice(gpu, wrong)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  weight must hold [G,M] = [2,10], has 19 numbers; scale must be positive, got 0; bits must be 1, 4 or 8, got 2
        at   lowBitAttention
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
    const small = await open({ device: gpu.device, limits: { bindingBytes: 1024 } });
    await expect(onDevice(small, input)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  what does not come apart is larger than a binding, 512 bytes
        at   lowBitAttention
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
    small.destroy();
  });
});
