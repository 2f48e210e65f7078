import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { attend } from '../../src/kernels/attend.js';
import type { AttendInput, Band } from '../../src/kernels/attend-input.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { type Dispatch, run } from '../../src/kernels/record.js';
import { close, expectMutantFails } from '../close.js';
import { attendOverKeys, type KeySets } from '../oracle/key-sets.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

/** STYLE: WGSL in float32. */
const bound = 1e-5;

type Sizes = Pick<KeySets, 'B' | 'H' | 'G' | 'N' | 'S' | 'D' | 'E'>;

interface Case extends KeySets {
  /** [B,S] or [B,G,S] */
  readonly keyBias?: Float64Array;
  readonly band?: Band;
  readonly list?: { queryBlock: number; keyBlock: number; lists: number[][]; stride: number };
  /** Of k and q alone, the same for all of the batch. */
  readonly shared?: boolean;
}

function draw(sizes: Sizes, seed: number, more: Partial<Case> & { qSize?: number } = {}): Case {
  const { B, H, G, N, S, D, E } = sizes;
  const normal = gaussians(seed);
  // Through float32, as the kernel reads them: what is judged is the arithmetic.
  const rows = (length: number, size = 1) => Float64Array.from({ length }, () => Math.fround(size * normal()));
  const { qSize, ...rest } = more;
  const batches = rest.shared ? 1 : B;
  const repeat = (data: Float64Array) =>
    Float64Array.from({ length: (data.length * B) / batches }, (_, i) => data[i % data.length]);
  return {
    ...sizes,
    q: repeat(rows(batches * H * N * D, qSize)),
    k: repeat(rows(batches * G * S * D)),
    v: rows(B * G * S * E),
    scale: D ** -0.5,
    ...rest,
  };
}

function padding(B: number, S: number, masked: readonly number[]): Float64Array {
  return Float64Array.from({ length: B * S }, (_, at) => (at % S < S - masked[Math.floor(at / S)] ? 0 : -Infinity));
}

const plain = { B: 1, H: 2, G: 2, N: 37, S: 53, D: 32, E: 32 };
const cases: Record<string, Case> = {
  'one token': draw({ ...plain, N: 1, S: 1 }, 1),
  'one query, grouped heads': draw({ B: 2, H: 6, G: 2, N: 1, S: 77, D: 64, E: 64 }, 2),
  'whole tiles': draw({ ...plain, N: 64, S: 64, D: 64, E: 64 }, 3),
  'ragged, cross': draw({ B: 2, H: 3, G: 3, N: 37, S: 53, D: 40, E: 36 }, 4),
  'widths that are no multiples of 4': draw({ ...plain, D: 33, E: 35 }, 5),
  'one width that is no multiple of 4': draw({ ...plain, D: 32, E: 49 }, 6),
  'the widest': draw({ ...plain, N: 9, D: 128, E: 128 }, 7),
  padding: draw({ ...plain, B: 2 }, 8, { keyBias: padding(2, 53, [1, 17]) }),
  'a batch with every key hidden': draw({ ...plain, B: 2 }, 9, { keyBias: padding(2, 53, [3, 53]) }),
  'a bias for every key and head': draw(plain, 10, {
    keyBias: Float64Array.from({ length: 2 * 53 }, (_, i) => Math.fround(3 * Math.sin(i))),
  }),
  '|q| × 30': draw(plain, 11, { qSize: 30 }),
  causal: draw({ ...plain, N: 53 }, 12, { band: { causal: true } }),
  'causal behind a cache': draw(plain, 13, { band: { causal: true } }),
  'causal with queries that see nothing': draw({ ...plain, N: 53, S: 37 }, 14, { band: { causal: true } }),
  'causal, grouped heads': draw({ B: 1, H: 6, G: 2, N: 13, S: 13, D: 32, E: 32 }, 15, { band: { causal: true } }),
  'a sliding window': draw({ ...plain, N: 53 }, 16, { band: { before: 5, after: 3 } }),
  'a causal window': draw({ ...plain, N: 53 }, 17, { band: { before: 5, causal: true } }),
  'blocks with a halo': draw({ ...plain, N: 53 }, 18, { band: { block: 16, before: 8, after: 8 } }),
  'lists of blocks': draw({ ...plain, H: 4, N: 53 }, 19, { list: randomLists(4, 53, 16, 8, 20) }),
  'lists of blocks, causal': draw({ ...plain, H: 4, N: 53 }, 21, {
    list: randomLists(4, 53, 16, 8, 22),
    band: { causal: true },
  }),
  'queries and keys shared by the batch': draw({ ...plain, B: 2, N: 5 }, 23, { shared: true }),
};

const many = { B: 2, H: 4, G: 2, N: 70, S: 150, D: 32, E: 32 };
const large: Record<string, Case> = {
  padding: draw(many, 31, { keyBias: padding(2, 150, [1, 90]) }),
  'a causal window': draw(many, 32, { band: { before: 40, causal: true } }),
  'odd widths': draw({ ...many, B: 1, D: 33, E: 35 }, 33),
};

/** For every head and block of queries, the blocks of keys drawn with probability one half. */
function randomLists(H: number, N: number, queryBlock: number, keyBlock: number, seed: number) {
  const normal = gaussians(seed);
  const S = 53;
  const lists = Array.from({ length: H * Math.ceil(N / queryBlock) }, (_, at) =>
    Array.from({ length: Math.ceil(S / keyBlock) }, (_, block) => block).filter(() => at > 0 && normal() > 0),
  );
  return { queryBlock, keyBlock, lists, stride: 1 + Math.ceil(S / keyBlock) };
}

function oracle(input: Case) {
  const { B, G, H, N, S, keyBias, band, list } = input;
  return attendOverKeys({
    ...input,
    bias({ b, h, i, j }) {
      if (band) {
        const { block = 1, before = Infinity, after = Infinity, causal = false, offset = S - N } = band;
        const start = Math.floor((i + offset) / block) * block;
        if (j < start - before || j >= start + block + after || (causal && j > i + offset)) return -Infinity;
      }
      if (list) {
        const own = list.lists[h * Math.ceil(N / list.queryBlock) + Math.floor(i / list.queryBlock)];
        if (!own.includes(Math.floor(j / list.keyBlock))) return -Infinity;
      }
      if (!keyBias) return 0;
      return keyBias[keyBias.length === B * S ? b * S + j : (b * G + Math.floor((h * G) / H)) * S + j];
    },
  });
}

async function onDevice(gpu: Gpu, input: Case, parts?: number) {
  const { B, H, G, N, S, D, E, q, k, v, scale, band, keyBias, list, shared } = input;
  const of = (data: Float64Array) => (shared ? data.subarray(0, data.length / B) : data);
  const arrays = uploadAll(gpu, { q: of(q), k: of(k), v, ...(keyBias && { bias: keyBias }) });
  const blocks = list?.lists.flatMap((own) => [
    own.length,
    ...own,
    ...new Array(list.stride - 1 - own.length).fill(9999),
  ]);
  const listed = blocks && uploadAll(gpu, { blocks }, 'u32');
  const given: AttendInput = {
    ...{ B, H, G, N, S, D, E, scale, band },
    ...arrays,
    ...(list &&
      listed && { list: { queryBlock: list.queryBlock, keyBlock: list.keyBlock, stride: list.stride, ...listed } }),
  };
  const { out, lse } = await outputs(gpu, (recording) => ({ ...attend(recording, given, { parts }) }));
  for (const { buffer } of [...Object.values(arrays), ...Object.values(listed ?? {})]) gpu.pool.give(buffer);
  return { out, lse };
}

function check(got: { out: ArrayLike<number>; lse: ArrayLike<number> }, want: ReturnType<typeof oracle>): void {
  close(got.out, want.out, bound);
  // Rows without a key hold −3e38 and no infinity, which WGSL may take for impossible.
  const seen = Array.from(want.lse.keys()).filter((row) => want.lse[row] !== -Infinity);
  for (const row of want.lse.keys()) if (want.lse[row] === -Infinity) expect(got.lse[row]).toBeLessThan(-1e38);
  close(
    seen.map((row) => got.lse[row]),
    seen.map((row) => want.lse[row]),
    bound,
  );
}

/** The same layer done wrong, as kernels get it wrong. */
function mutants(input: Case): Record<string, Case> {
  const { B, G, N, S, keyBias, band } = input;
  const size = (input.k.length / (B * G)) as number;
  const swapped = input.k.slice();
  swapped.set(input.k.subarray(size, 2 * size), 0);
  swapped.set(input.k.subarray(0, size), size);
  return {
    'scale + 1 %': { ...input, scale: 1.01 * input.scale },
    'heads swapped': { ...input, k: swapped },
    ...(keyBias?.includes(-Infinity) && {
      'padding off by one': { ...input, keyBias: Float64Array.from(keyBias, (x, i) => (keyBias[i + 1] ?? 0) && x) },
    }),
    ...(band && { 'band off by one': { ...input, band: { ...band, offset: (band.offset ?? S - N) + 1 } } }),
    ...(input.list && {
      'lists of the next block': {
        ...input,
        list: { ...input.list, lists: input.list.lists.map((_, i, all) => all[(i + 1) % all.length]) },
      },
    }),
  };
}

describe.skipIf(noDevice)('attend on a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle: %s', async (_name, input) => {
    const got = await onDevice(gpu, input);
    const want = oracle(input);
    check(got, want);
    for (const mutant of Object.values(mutants(input))) {
      const wrong = oracle(mutant);
      // A mutant that changes nothing here (one key: any scale) proves nothing either way.
      if (wrong.out.every((x, i) => Math.abs(x - want.out[i]) < 1e-9)) continue;
      expectMutantFails(() => check(got, wrong));
    }
  });

  // The last value of every batch's last head: hidden by padding, seen by the last query alone, left out by some lists.
  it.each(['padding', 'causal', 'lists of blocks'])('does not read what no query sees: %s', async (name) => {
    const input = cases[name];
    const { E } = input;
    const want = oracle(input);
    const changed = oracle({ ...input, v: input.v.slice().fill(1e30, input.v.length - E) });
    const blind = Array.from(want.lse.keys()).filter((row) => want.out[row * E] === changed.out[row * E]);
    expect(blind.length).toBeGreaterThan(want.lse.length / 4);
    const got = await onDevice(gpu, { ...input, v: input.v.slice().fill(Number.NaN, input.v.length - E) });
    const pick = (out: ArrayLike<number>) => blind.flatMap((row) => Array.from(out).slice(row * E, (row + 1) * E));
    close(pick(got.out), pick(want.out), bound);
  });

  it.each([2, 3, 7])('is the same in %i parts that are merged', async (parts) => {
    for (const name of ['padding', 'a batch with every key hidden', 'widths that are no multiples of 4']) {
      check(await onDevice(gpu, cases[name], parts), oracle(cases[name]));
    }
  });

  it('cuts many keys for few queries into parts by itself, and merges them', async () => {
    const input = draw({ B: 1, H: 1, G: 1, N: 3, S: 1100, D: 32, E: 32 }, 30);
    check(await onDevice(gpu, input), oracle(input));
    const groups: Dispatch['groups'][] = [];
    const arrays = uploadAll(gpu, { q: input.q, k: input.k, v: input.v });
    const { lse } = await run(gpu, (recording) =>
      attend(
        { ...recording, dispatch: (step) => groups.push(step.groups) },
        { ...input, ...arrays, bias: undefined, list: undefined },
      ),
    );
    expect(lse.length).toBe(3);
    expect(groups).toEqual([4, 1]);
  });

  // 12 KiB hold 92 rows of 32 numbers: heads come one at a time, their rows in three pieces and their keys in two.
  it.each(Object.entries(large))('is the same where arrays are larger than a binding: %s', async (_name, input) => {
    const small = await open({ device: gpu.device, limits: { bindingBytes: 12_288 } });
    check(await onDevice(small, input), oracle(input));
    small.destroy();
  });

  it('is the same where there are more workgroups than one side of a grid holds', async () => {
    const narrow = await open({ device: gpu.device, limits: { groups: 3 } });
    const input = cases['ragged, cross'];
    check(await onDevice(narrow, input), oracle(input));
    narrow.destroy();
  });
});
