/**
 * Arrays beyond a binding: what is cut equals what is not, to 1e-6, down to a head in ranges of rows and of keys; and each piece counts.
 * Ten thousand bytes stand for the limits of devices, which no array of a test reaches.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians, uniforms } from '../../src/features/rng.js';
import { download, type ElementType, type GpuArray, upload } from '../../src/kernels/array.js';
import { attend } from '../../src/kernels/attend.js';
import { causalAttention } from '../../src/kernels/causal.js';
import { featureAttention } from '../../src/kernels/double-softmax.js';
import { moveKernel } from '../../src/kernels/gen/move.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { lowBitAttention } from '../../src/kernels/low-bit.js';
import { eachPiece, part, partsInto } from '../../src/kernels/pieces.js';
import { type Dispatch, type Recording, run } from '../../src/kernels/record.js';
import { sparseAttention } from '../../src/kernels/sparse.js';
import { close, expectMutantFails } from '../close.js';
import { hasF16, noDevice, open } from './device.js';

const bound = 3e-6;

interface Case {
  readonly bindingBytes: number;
  /** What is dispatched once a piece. */
  readonly counted: (step: Dispatch) => boolean;
  readonly pieces: number;
  readonly arrays: Readonly<Record<string, Float64Array>>;
  readonly record: (recording: Recording, arrays: Readonly<Record<string, GpuArray>>) => Record<string, GpuArray>;
}

interface Sizes {
  readonly B: number;
  readonly H: number;
  readonly G: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly M: number;
}

function draw({ B, H, G, N, S, D, E, M }: Sizes, masked: number) {
  const normal = gaussians(N);
  const uniform = uniforms(N);
  const rows = (length: number, size = 1) => Float64Array.from({ length }, () => size * normal());
  return {
    ...{ q: rows(B * H * N * D), k: rows(B * G * S * D), v: rows(B * G * S * E) },
    bias: Float64Array.from({ length: B * S }, (_, at) => (at % S < masked ? -Infinity : 0.3 * normal())),
    ...{ omega: rows(G * M * D, 0.5), featureBias: rows(G * M, 0.3) },
    phase: Float64Array.from({ length: G * M }, () => 2 * Math.PI * uniform()),
    weight: Float64Array.from({ length: G * M }, () => 1 + uniform()),
  };
}

const of =
  (name: string) =>
  ({ kernel }: Dispatch) =>
    kernel.name === name;

function given(sizes: Sizes, names: readonly string[], masked = 9) {
  const { D } = sizes;
  const all: Readonly<Record<string, Float64Array>> = draw(sizes, masked);
  return { shape: { ...sizes, scale: D ** -0.5 }, arrays: Object.fromEntries(names.map((name) => [name, all[name]])) };
}

function causal(sizes: Omit<Sizes, 'S'>, expected: Pick<Case, 'bindingBytes' | 'pieces'>, carried = false): Case {
  const { B, G, M, E, N } = sizes;
  const { shape, arrays } = given({ ...sizes, S: N }, ['q', 'k', 'v', 'bias', 'omega', 'featureBias'], 3);
  const normal = gaussians(77);
  const rows = (length: number) => Float64Array.from({ length }, () => normal());
  return {
    ...{ ...expected, counted: of('causal_pairs') },
    arrays: { ...arrays, ...(carried && { firstOut: rows(B * G * M * E), firstLse: rows(B * G * M) }) },
    record(recording, { q, k, v, bias, omega, featureBias, firstOut, firstLse }) {
      const state = carried ? { out: firstOut, lse: firstLse } : undefined;
      const result = causalAttention(recording, { ...shape, q, k, v, omega, featureBias, keyBias: bias, state });
      return { out: result.out, lse: result.lse, stateOut: result.state.out, stateLse: result.state.lse };
    },
  };
}

function sparse(sizes: Sizes, expected: Pick<Case, 'bindingBytes' | 'pieces'>, options: { causal?: boolean }): Case {
  const { shape, arrays } = given(sizes, ['q', 'k', 'v', 'bias']);
  const chosen = { bits: 8, threshold: 0.03, local: 8, sinks: 3, ...options } as const;
  return {
    ...{ ...expected, counted: ({ parameters }: Dispatch) => parameters.LIST === true, arrays },
    record: (recording, { q, k, v, bias }) => ({
      ...sparseAttention(recording, { ...shape, q, k, v, bias, ...chosen }),
    }),
  };
}

function lowBit(sizes: Sizes, expected: Pick<Case, 'bindingBytes' | 'pieces'>, bits: 8 | 4 | 1): Case {
  const { shape, arrays } = given(sizes, ['q', 'k', 'v', 'bias', 'omega', 'phase', 'weight']);
  return {
    ...{ ...expected, counted: of('code_product'), arrays },
    record: (recording, { q, k, v, bias, omega, phase, weight }) => ({
      out: lowBitAttention(recording, { ...shape, q, k, v, keyBias: bias, omega, phase, weight, bits }),
    }),
  };
}

const one = { B: 1, H: 1, G: 1 };
const grouped = { B: 2, H: 4, G: 2 };
const widths = { D: 8, E: 8, M: 12 };
const odd = { D: 7, E: 5, M: 12 };
const attended = given({ ...grouped, N: 70, S: 600, ...odd }, ['q', 'k', 'v', 'bias']);
const featured = given({ ...grouped, N: 70, S: 600, ...odd }, ['q', 'k', 'v', 'bias', 'omega', 'featureBias']);

const cases: Record<string, Case> = {
  'attend: heads, their rows and their keys': {
    ...{ bindingBytes: 4096, counted: of('attend'), pieces: 2 * 4 * 5, arrays: attended.arrays },
    record: (recording, { q, k, v, bias }) => ({ ...attend(recording, { ...attended.shape, q, k, v, bias }) }),
  },
  'featureAttention: heads that share keys, and their keys': {
    ...{ bindingBytes: 6144, counted: of('attend'), pieces: 2 * 2 * (4 + 1), arrays: featured.arrays },
    record: (recording, { q, k, v, bias, omega, featureBias }) => ({
      ...featureAttention(recording, { ...featured.shape, q, k, v, keyBias: bias, omega, featureBias }),
    }),
  },
  'causalAttention: heads': causal({ ...grouped, N: 45, ...widths }, { bindingBytes: 4096, pieces: 4 }),
  'causalAttention: pieces of a prompt': causal({ ...one, N: 200, ...widths }, { bindingBytes: 2560, pieces: 4 }),
  'causalAttention: both, a state before': causal(
    { ...grouped, N: 77, ...odd },
    { bindingBytes: 1536, pieces: 8 * 3 },
    true,
  ),
  'sparseAttention: heads': sparse({ ...grouped, N: 70, S: 100, ...widths }, { bindingBytes: 5120, pieces: 4 }, {}),
  'sparseAttention: rows and keys': sparse(
    { ...one, N: 150, S: 300, ...widths },
    { bindingBytes: 4608, pieces: 2 * 3 },
    {},
  ),
  'sparseAttention: heads, rows and keys; causal': sparse(
    { ...grouped, N: 150, S: 200, ...odd },
    { bindingBytes: 3000, pieces: 8 * 3 * 4 },
    { causal: true },
  ),
  'lowBitAttention: heads': lowBit({ ...grouped, N: 30, S: 60, ...widths }, { bindingBytes: 8192, pieces: 4 * 2 }, 8),
  'lowBitAttention: rows and keys': lowBit(
    { ...one, N: 2000, S: 2500, ...widths },
    { bindingBytes: 30_000, pieces: 3 + 5 },
    8,
  ),
};

async function results(gpu: Gpu, given: Case, leaveOut?: number) {
  const { arrays, record } = given;
  const uploaded = Object.fromEntries(Object.entries(arrays).map(([name, data]) => [name, upload(gpu, data)]));
  const at: number[] = [];
  let steps = 0;
  const made = await run(gpu, (recording) =>
    record(
      {
        ...recording,
        dispatch(step: Dispatch) {
          if (given.counted(step)) at.push(steps);
          if (steps++ !== leaveOut) recording.dispatch(step);
        },
      },
      uploaded,
    ),
  );
  const read: Record<string, ArrayLike<number>> = {};
  for (const [name, array] of Object.entries(made)) read[name] = await download(gpu, array);
  for (const { buffer } of [...Object.values(uploaded), ...Object.values(made)]) gpu.pool.give(buffer);
  expect(gpu.pool.counts().used).toBe(0);
  return { read, at };
}

function check(got: Record<string, ArrayLike<number>>, want: Record<string, ArrayLike<number>>): void {
  for (const [name, values] of Object.entries(want)) close(got[name], values, bound);
}

describe.skipIf(noDevice)('arrays beyond a binding', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('are cut, and nothing changes: %s', async (_name, given) => {
    const want = await results(gpu, given);
    const small = await open({ device: gpu.device, limits: { bindingBytes: given.bindingBytes } });
    const got = await results(small, given);
    check(got.read, want.read);
    const { at } = got;
    expect(at.length).toBe(given.pieces);
    // The first piece, one in the middle, and the last.
    for (const leaveOut of new Set([at[0], at[at.length >> 1], at[at.length - 1]])) {
      const wrong = await results(small, given, leaveOut);
      expectMutantFails(() => check(wrong.read, want.read));
    }
    small.destroy();
  });

  it.each<ElementType>(hasF16 ? ['f32', 'u32', 'f16'] : ['f32', 'u32'])(
    'come apart and together bit by bit, wherever a piece begins: %s',
    async (type) => {
      const numbers = Float64Array.from({ length: 1001 }, (_, i) => i % 1000);
      const from = upload(gpu, numbers, type);
      const joined = await run(gpu, (recording) => {
        const into = recording.result(type, numbers.length);
        eachPiece(recording, numbers.length, 77, (first, length) => {
          const piece = part(recording, from, first, length);
          // Not by `copy`, which takes whole words.
          partsInto(recording, [[into, first, length]], (own) =>
            recording.dispatch({
              kernel: moveKernel,
              parameters: { elem: type },
              bindings: { given: piece, out: own },
              uniform: { length, givenBase: 0, outBase: 0 },
              groups: 2,
            }),
          );
        });
        return into;
      });
      expect(Array.from(await download(gpu, joined))).toEqual(Array.from(numbers));
    },
  );

  it('take no more memory than one piece does', async () => {
    const { used, created } = await run(gpu, (recording) => {
      gpu.pool.trim();
      const before = gpu.pool.counts();
      eachPiece(recording, 10, 1, () => recording.scratch('f32', 1e5));
      const { used, created } = gpu.pool.counts();
      return { used: used - before.used, created: created - before.created };
    });
    expect({ used, created }).toEqual({ used: 1, created: 1 });
  });
});
