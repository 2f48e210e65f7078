import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { hybridAttention } from '../../src/kernels/hybrid.js';
import { normalInput } from '../attention/cases.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { type Hybrid, hybridAttention as oracle } from '../oracle/hybrid.js';
import { attendOverKeys } from '../oracle/key-sets.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

const bound = 1e-5;

interface Case {
  readonly input: Attention;
  readonly hybrid: Hybrid;
}

function draw(
  sizes: { B?: number; H?: number; N: number; D?: number; E?: number },
  seed: number,
  options: { masked?: number[]; pairs?: boolean; qSize?: number } & Partial<Hybrid>,
): Case {
  const { B = 1, H = 2, N, D = 8, E = 8 } = sizes;
  const { masked, pairs, qSize, ...rest } = options;
  const input = normalInput({ B, H, N, S: N, D, E }, seed, { masked, qSize });
  const normal = gaussians(seed + 1000);
  const fill = (length: number) => Float64Array.from({ length }, () => Math.fround(normal()));
  const codes = rest.codes ?? 0;
  const [q, k, v] = [input.q, input.k, input.v].map((data) => data.map(Math.fround));
  return {
    input: { ...input, q, k, v, scale: Math.fround(input.scale) },
    hybrid: {
      ...{ block: 8, window: 24, globals: 0, sinks: 0, codes, centred: true },
      query: fill(H * D),
      weights: fill(H * (pairs ? D + E : D) * codes),
      offsets: fill(H * codes),
      ...rest,
    },
  };
}

const parts = { globals: 5, sinks: 2, codes: 6 };

function onGrid(
  grid: NonNullable<Hybrid['grid']>,
  seed: number,
  given: { B?: number; D?: number; E?: number; masked?: number[]; pairs?: boolean; qSize?: number } = {},
): Case {
  const { masked, pairs, qSize, ...sizes } = given;
  return draw({ ...sizes, N: grid.prefix + grid.rows * grid.columns }, seed, { ...parts, masked, pairs, qSize, grid });
}

const cases: Record<string, Case> = {
  'window, globals, sinks and codes': draw({ N: 90 }, 1, parts),
  'codes on keys and values': draw({ N: 70 }, 2, { ...parts, pairs: true }),
  'a window of one block': draw({ N: 61 }, 3, { ...parts, window: 8 }),
  'no codes': draw({ N: 70 }, 4, { globals: 5 }),
  'no globals': draw({ N: 70 }, 5, { codes: 6 }),
  'the window alone': draw({ N: 70 }, 6, {}),
  'batch 2, padding': draw({ B: 2, N: 66 }, 7, { ...parts, masked: [9, 40] }),
  'a batch with every key hidden': draw({ B: 2, N: 34 }, 8, { ...parts, masked: [1, 34] }),
  'one token': draw({ N: 1 }, 9, parts),
  'fewer tokens than globals': draw({ N: 5 }, 10, { ...parts, globals: 16 }),
  '|q| × 20': draw({ N: 70 }, 11, { ...parts, qSize: 20 }),
  'wide heads, more codes than a tile': draw({ N: 80, D: 32, E: 16 }, 12, {
    ...parts,
    codes: 20,
    block: 16,
    window: 32,
  }),
  'an image: whole tiles behind a class token': onGrid({ rows: 8, columns: 12, prefix: 1, tile: 4, halo: 2 }, 21),
  'an image: ragged, batch 2, five tokens in front, masked': onGrid(
    { rows: 7, columns: 5, prefix: 5, tile: 3, halo: 2 },
    22,
    { B: 2, masked: [0, 13] },
  ),
  'an image: nothing in front, no halo, codes on keys and values': onGrid(
    { rows: 9, columns: 6, prefix: 0, tile: 2, halo: 0 },
    23,
    { pairs: true },
  ),
  'an image: more in front than a tile has queries': onGrid({ rows: 3, columns: 4, prefix: 7, tile: 2, halo: 1 }, 24),
  'an image: tiles of 8, widths that are no multiples of 4': onGrid(
    { rows: 10, columns: 9, prefix: 1, tile: 8, halo: 4 },
    25,
    { D: 7, E: 9 },
  ),
  'an image of one patch': onGrid({ rows: 1, columns: 1, prefix: 1, tile: 4, halo: 2 }, 26),
  'an image with every key hidden': onGrid({ rows: 4, columns: 4, prefix: 1, tile: 2, halo: 1 }, 27, { masked: [17] }),
  'an image, |q| × 20': onGrid({ rows: 6, columns: 6, prefix: 1, tile: 4, halo: 1 }, 28, { qSize: 20 }),
  'widths that are no multiples of 4': draw({ N: 50, D: 7, E: 9 }, 13, parts),
};

async function onDevice(gpu: Gpu, { input, hybrid }: Case) {
  const { B, H, N, D, E, q, k, v, keyBias, scale } = input;
  const { globals, sinks, query, codes, weights, offsets, grid } = hybrid;
  const near = grid ? { grid: { ...grid, front: grid.prefix } } : { block: hybrid.block, window: hybrid.window };
  const arrays = uploadAll(gpu, { q, k, v, query, ...(keyBias && { keyBias }) });
  const codebook = codes > 0 ? { codes, ...uploadAll(gpu, { weights, offsets }) } : undefined;
  const { out } = await outputs(gpu, (recording) => ({
    out: hybridAttention(recording, { B, H, N, D, E, scale, ...near, globals, sinks, codebook, ...arrays }),
  }));
  for (const { buffer } of Object.values(arrays)) gpu.pool.give(buffer);
  return out;
}

function mutants({ input, hybrid }: Case): Record<string, Case> {
  const { N, D, H } = input;
  if (N < 30) return {};
  const half = hybrid.query.length / H;
  const turned = Float64Array.from(hybrid.query, (_, i) => hybrid.query[(i + half) % hybrid.query.length]);
  return {
    'scale + 1 %': { input: { ...input, scale: 1.01 * input.scale }, hybrid },
    'a wider window': { input, hybrid: wider(hybrid) },
    ...(hybrid.globals > 0 && { 'one global less': { input, hybrid: { ...hybrid, globals: hybrid.globals - 1 } } }),
    ...(hybrid.globals > 0 && { "another head's query": { input, hybrid: { ...hybrid, query: turned } } }),
    ...(hybrid.codes > 0 && {
      'not centred': {
        input: { ...input, k: input.k.map((x, i) => x + (i % D === 0 ? 3 : 0)) },
        hybrid: { ...hybrid, centred: false },
      },
    }),
  };
}

function wider({ window, grid, ...rest }: Hybrid): Hybrid {
  return { ...rest, window: window + 2, ...(grid && { grid: { ...grid, halo: grid.halo + 1 } }) };
}

describe.skipIf(noDevice)('the hybrid on a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle: %s', async (_name, given) => {
    const got = await onDevice(gpu, given);
    close(got, oracle(given.input, given.hybrid), bound);
    for (const { input, hybrid } of Object.values(mutants(given))) {
      expectMutantFails(() => close(got, oracle(input, hybrid), bound));
    }
  });

  it('is the same where heads come one at a time', async () => {
    const given = cases['batch 2, padding'];
    const small = await open({ device: gpu.device, limits: { bindingBytes: 4096 } });
    close(await onDevice(small, given), oracle(given.input, given.hybrid), bound);
    small.destroy();
  });

  it('refuses a head that is larger than a binding, and says what is wrong with options', async () => {
    const small = await open({ device: gpu.device, limits: { bindingBytes: 2048 } });
    await expect(onDevice(small, cases['batch 2, padding'])).rejects.toThrow(
      /PF706 {2}one head is larger than a binding/,
    );
    small.destroy();
    const { input, hybrid } = draw({ N: 40 }, 16, { ...parts, block: 12, window: 17 });
    await expect(onDevice(gpu, { input, hybrid })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  block must be 4, 8, 16, 32 or 64, got 12; window must be block + 2·halo, got 17 for 12
        at   hybridAttention
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
  });

  it('says what is wrong with a grid, or that there is neither grid nor window', async () => {
    const { input, hybrid } = cases['an image of one patch'];
    const grid = { rows: 2, columns: 0, prefix: 1, tile: 9, halo: -1 };
    await expect(onDevice(gpu, { input, hybrid: { ...hybrid, grid } })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  grid.columns must be a whole number from 1 to 2147483648, got 0; grid.tile must be a whole number from 1 to 8, got 9; grid.halo must be a whole number from 0 to 64, got -1; grid holds 1 + 2 × 0 tokens, N is 2
        at   hybridAttention
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
    const neither = { ...hybrid, grid: undefined, window: undefined as unknown as number };
    await expect(onDevice(gpu, { input, hybrid: neither })).rejects.toThrow(
      /window must be block \+ 2·halo, got undefined/,
    );
  });

  it('attends the keys of a list, those of them that are there and not hidden', async () => {
    const { input } = draw({ B: 2, N: 70 }, 17, { masked: [0, 5] });
    const { N, q, k, v, keyBias } = input;
    const halo = 8;
    const want = (list: readonly number[]) =>
      attendOverKeys({
        ...{ ...input, G: input.H },
        bias({ b, i, j }) {
          const start = i - (i % 8);
          const near = j >= start - halo && j < start + 8 + halo;
          return near || list.includes(j) ? (keyBias?.[b * N + j] ?? 0) : -Infinity;
        },
      }).out;
    const list = [50, 3, 1000];
    const arrays = uploadAll(gpu, { q, k, v, ...(keyBias && { keyBias }), listed: list });
    const { keyBias: _, ...sizes } = input;
    const { out } = await outputs(gpu, (recording) => ({
      out: hybridAttention(recording, { ...sizes, ...arrays, block: 8, window: 8 + 2 * halo }),
    }));
    close(out, want(list), bound);
    for (const wrong of [[50], [50, 4], [51, 3]]) expectMutantFails(() => close(out, want(wrong), bound));
    const scored = { ...sizes, ...arrays, window: 32, globals: 3, query: arrays.q };
    await expect(outputs(gpu, (recording) => ({ out: hybridAttention(recording, scored) }))).rejects.toThrow(
      /listed is for a window alone/,
    );
  });

  it('takes the earlier of keys with one score', async () => {
    const given = draw({ N: 70 }, 14, parts);
    const { N, D } = given.input;
    // Every third key of a head is one and the same, and it has the highest score.
    const k = given.input.k.map((x, at) =>
      (Math.floor(at / D) % N) % 3 === 0 ? given.hybrid.query[Math.floor(at / D / N) * D + (at % D)] : x,
    );
    const tied = { ...given, input: { ...given.input, k } };
    close(await onDevice(gpu, tied), oracle(tied.input, tied.hybrid), bound);
  });

  it('adds up more keys than a part holds', async () => {
    const given = draw({ H: 1, N: 1300 }, 15, { ...parts, window: 8 });
    close(await onDevice(gpu, given), oracle(given.input, given.hybrid), bound);
    expect(given.input.N).toBeGreaterThan(1024);
  });
});
