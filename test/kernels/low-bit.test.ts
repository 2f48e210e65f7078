import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { type SparseInput, sparseAttention } from '../../src/kernels/sparse.js';
import { close, expectMutantFails } from '../close.js';
import { type Estimate, keptBlocks } from '../oracle/kept-blocks.js';
import { attendOverKeys, type KeySets } from '../oracle/key-sets.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

const bound = 1e-5;
type Options = Pick<Estimate, 'bits' | 'threshold' | 'local' | 'sinks' | 'causal'>;

interface Case extends KeySets {
  readonly options: Options;
  /** Keys hidden at the beginning of each row of the batch. */
  readonly masked?: readonly number[];
}

function draw(sizes: Partial<KeySets>, seed: number, options: Partial<Options>, masked?: number[]): Case {
  const { B = 1, H = 2, G = H, N = 100, S = 300, D = 16, E = 8 } = sizes;
  const normal = gaussians(seed);
  const rows = (length: number, size: (at: number) => number) =>
    Float64Array.from({ length }, (_, at) => Math.fround(size(at) * normal()));
  // Blocks of keys that matter, and more that do not, around a mean as real keys have.
  const matters = (row: number) => (Math.floor((row % S) / 32) * 7 + Math.floor(row / S) * 3) % 5 < 2;
  return {
    ...{ B, H, G, N, S, D, E },
    q: rows(B * H * N * D, () => 2),
    k: rows(B * G * S * D, (at) => (matters(Math.floor(at / D)) ? 1 : 0.15)).map((x) => Math.fround(x + 0.5)),
    v: rows(B * G * S * E, () => 1),
    scale: D ** -0.5,
    options: { bits: 8, threshold: 0.5, local: 8, sinks: 1, causal: false, ...options },
    masked,
  };
}

const cases: Record<string, Case> = {
  '8 bits': draw({}, 1, {}),
  '4 bits': draw({}, 2, { bits: 4 }),
  '1 bit': draw({}, 3, { bits: 1, threshold: 0.9 }),
  'causal, 4 bits': draw({ N: 150 }, 4, { bits: 4, causal: true, threshold: 0.3 }),
  'grouped heads, batch 2': draw({ B: 2, H: 4, G: 2, N: 70, S: 200 }, 5, { threshold: 0.6 }),
  'padding, no sinks': draw({ B: 2, N: 70, S: 200 }, 6, { sinks: 0 }, [3, 77]),
  'more than 32 blocks of keys, a width that is no multiple of 8': draw({ H: 1, N: 40, S: 1100, D: 12 }, 7, {
    bits: 4,
    threshold: 0.6,
  }),
  'queries that see nothing': draw({ N: 300, S: 100 }, 8, { causal: true }),
};

function oracle(input: Case) {
  const { options, masked } = input;
  const hidden = (b: number, j: number) => masked !== undefined && j < masked[b];
  const kept = keptBlocks(input, { ...options, queryBlock: 64, keyBlock: 32, hidden });
  const { N, S } = input;
  const bias = ({ b, h, i, j }: { b: number; h: number; i: number; j: number }) =>
    hidden(b, j) || !kept.has(b, h, i, j) || (options.causal && j > i + S - N) ? -Infinity : 0;
  return { ...attendOverKeys({ ...input, bias }), ...kept };
}

async function onDevice(gpu: Gpu, { options, masked, ...input }: Case) {
  const { B, S, q, k, v } = input;
  const bias =
    masked && Float64Array.from({ length: B * S }, (_, at) => (at % S < masked[Math.floor(at / S)] ? -Infinity : 0));
  const arrays = uploadAll(gpu, { q, k, v, ...(bias && { bias }) });
  const { B: _, ...rest } = input;
  const given: SparseInput = { ...rest, B, ...options, bias: undefined, ...arrays };
  const { out, lse } = await outputs(gpu, (recording) => ({ ...sparseAttention(recording, given) }));
  for (const { buffer } of Object.values(arrays)) gpu.pool.give(buffer);
  expect(gpu.pool.counts().used).toBe(0);
  return { out, lse };
}

describe.skipIf(noDevice)('attention to the blocks that an estimate keeps', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle: %s', async (_name, input) => {
    const want = oracle(input);
    // No score so near its limit that float32 may decide otherwise; and something is kept, and something not.
    expect(want.margin).toBeGreaterThan(1e-6);
    expect(want.share).toBeLessThan(0.8);
    const got = await onDevice(gpu, input);
    close(got.out, want.out, bound);
    const { threshold, sinks } = input.options;
    const mutants: Partial<Case>[] = [
      { scale: 1.05 * input.scale },
      { options: { ...input.options, threshold: threshold / 1e4, sinks } },
    ];
    for (const mutant of mutants) {
      const wrong = oracle({ ...input, ...mutant });
      // A threshold that lets in no block more proves nothing either way.
      if (mutant.options && wrong.share === want.share) continue;
      expectMutantFails(() => close(got.out, wrong.out, bound));
    }
  });

  it.each(['8 bits', '4 bits'])('is the same, bit for bit, without packed integer dots: %s', async (name) => {
    const plain = await open({ device: gpu.device, packedDot: false });
    expect(await onDevice(plain, cases[name])).toEqual(await onDevice(gpu, cases[name]));
    plain.destroy();
  });

  it('keeps everything at threshold 0: exact attention', async () => {
    const input = { ...cases['4 bits'], options: { ...cases['4 bits'].options, threshold: 0, sinks: 0 } };
    const got = await onDevice(gpu, input);
    close(got.out, attendOverKeys(input).out, bound);
    close(got.lse, attendOverKeys(input).lse, bound);
  });

  it('gives zeros and no mass to queries that see nothing, which no workgroup attends', async () => {
    const input = cases['queries that see nothing'];
    const { out, lse } = await onDevice(gpu, input);
    const { H, N, S, E } = input;
    for (let h = 0; h < H; h++) {
      for (const i of [0, N - S - 1]) {
        expect(lse[h * N + i]).toBeLessThan(-1e38);
        expect(Array.from(out.subarray((h * N + i) * E, (h * N + i + 1) * E))).toEqual(new Array(E).fill(0));
      }
    }
  });

  it('refuses 64 rows that are larger than a binding', async () => {
    const small = await open({ device: gpu.device, limits: { bindingBytes: 4096 } });
    await expect(onDevice(small, cases['8 bits'])).rejects.toThrow(
      /PF706 {2}what does not come apart is larger than a binding/,
    );
    small.destroy();
  });

  it('says what is wrong with an option', async () => {
    const wrong = draw({}, 1, { bits: 2 as 4, threshold: 1, local: -1 });
    await expect(onDevice(gpu, wrong)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  bits must be 1, 4 or 8, got 2; threshold must be in [0, 1), got 1; local must be a whole number from 0 to 268435456, got -1
        at   sparseAttention
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
  });
});
