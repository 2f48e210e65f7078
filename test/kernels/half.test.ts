/**
 * Arrays of float16, sums in float32: at most twice as far from the oracle as the same attention with every step rounded to float16
 * (FlashAttention's rule). Adapters without shader-f16, such as Chromium's software one, refuse float16 by name (gpu.test.ts).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { download, upload } from '../../src/kernels/array.js';
import { attend } from '../../src/kernels/attend.js';
import { causalAttention } from '../../src/kernels/causal.js';
import { featureAttention } from '../../src/kernels/double-softmax.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { hybridAttention } from '../../src/kernels/hybrid.js';
import { lowBitAttention } from '../../src/kernels/low-bit.js';
import { run } from '../../src/kernels/record.js';
import { sparseAttention } from '../../src/kernels/sparse.js';
import { expectMutantFails, relRMS } from '../close.js';
import { halfBits } from '../half.js';
import { causalFeatureAttention } from '../oracle/causal-features.js';
import { hybridAttention as hybridOracle } from '../oracle/hybrid.js';
import { attendOverKeys } from '../oracle/key-sets.js';
import { lowBitAttention as lowBitOracle } from '../oracle/low-bit-attention.js';
import { positiveAttention } from '../oracle/positive-attention.js';
import { hasF16, open, uploadAll } from './device.js';

const shape = { B: 1, H: 2, N: 40, S: 40, D: 32, E: 32, scale: 32 ** -0.5 };
const { H, N, D, E, scale } = shape;
const M = 16;

/** A number as float16 has it. */
function half(x: number): number {
  const bits = halfBits(x);
  const exponent = (bits >> 10) & 31;
  const size = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1024 + (bits & 1023)) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

const normal = gaussians(5);
const draw = (length: number) => Float64Array.from({ length }, () => half(normal()));
const [q, k, v, omega] = [H * N * D, H * N * D, H * N * E, H * M * D].map(draw);

/** Scores, their exponentials, both sums and the quotient, each rounded to float16 at every step. */
function naiveHalf(): Float64Array {
  const out = new Float64Array(H * N * E);
  for (let row = 0; row < H * N; row++) {
    const first = Math.floor(row / N) * N;
    const scores = Array.from({ length: N }, (_, j) => {
      let sum = 0;
      for (let d = 0; d < D; d++) sum = half(sum + half(half(scale * q[row * D + d]) * k[(first + j) * D + d]));
      return sum;
    });
    const most = Math.max(...scores);
    const weights = scores.map((score) => half(Math.exp(half(score - most))));
    const total = weights.reduce((sum, weight) => half(sum + weight), 0);
    for (let e = 0; e < E; e++) {
      const sum = weights.reduce((acc, weight, j) => half(acc + half(weight * v[(first + j) * E + e])), 0);
      out[row * E + e] = half(sum / total);
    }
  }
  return out;
}

describe.skipIf(!hasF16)('float16 on a device', () => {
  const exact = attendOverKeys({ ...shape, G: H, q, k, v });
  const bound = 2 * relRMS(naiveHalf(), exact.out);
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open({ f16: true });
  });
  afterAll(() => gpu?.destroy());

  /** The first columns of all arrays: the smaller, the sooner a software adapter has compiled for them. */
  const columns = (data: Float64Array, width: number) => data.filter((_, at) => at % 32 < width);
  const arrays = (width = 32) => {
    const [a, b, c, w] = [q, k, v, omega].map((data) => upload(gpu, columns(data, width), 'f16'));
    return { q: a, k: b, v: c, omega: w };
  };
  const check = (got: ArrayLike<number>, want: ArrayLike<number>) =>
    expect(relRMS(got, want)).toBeLessThanOrEqual(bound);

  it('is within twice naive float16: attend', async () => {
    const { out } = await run(gpu, (recording) => attend(recording, { ...shape, ...arrays() }));
    const got = await download(gpu, out);
    check(got, exact.out);
    expect(bound).toBeLessThan(5e-3);
    expectMutantFails(() => check(got, attendOverKeys({ ...shape, G: H, q, k, v, scale: 1.02 * scale }).out));
  });

  it('is within twice naive float16: attend, widths that are no multiples of 4', async () => {
    const odd = { ...shape, D: 31, E: 31 };
    const { out } = await run(gpu, (recording) => attend(recording, { ...odd, ...arrays(31) }));
    check(
      await download(gpu, out),
      attendOverKeys({ ...odd, G: H, q: columns(q, 31), k: columns(k, 31), v: columns(v, 31) }).out,
    );
  });

  it('is within twice naive float16: linear and causal linear attention', async () => {
    const zeros = new Float64Array(H * M);
    const linear = await run(gpu, (recording) => featureAttention(recording, { ...shape, M, ...arrays() }));
    const input = { ...shape, q, k, v };
    check(
      await download(gpu, linear.out),
      positiveAttention(input, { queryOmega: omega, keyOmega: omega, bias: zeros }),
    );
    const causal = await run(gpu, (recording) => causalAttention(recording, { ...shape, M, ...arrays() }));
    const want = causalFeatureAttention({ ...shape, G: H, M, q, k, v, omega, featureBias: zeros });
    check(await download(gpu, causal.out), want);
  });

  const narrow = { ...shape, D: 8, E: 8 };
  const rows = { q: columns(q, 8), k: columns(k, 8), v: columns(v, 8) };

  it('is within twice naive float16: the hybrid', async () => {
    const [query, weights, offsets] = [H * 8, H * 8 * 4, H * 4].map(draw);
    const options = { block: 8, window: 16, globals: 3, sinks: 1 };
    const hybrid = await run(gpu, (recording) => {
      const codebook = { codes: 4, weights: upload(gpu, weights), offsets: upload(gpu, offsets) };
      return hybridAttention(recording, { ...narrow, ...options, ...arrays(8), query: upload(gpu, query), codebook });
    });
    const given = { ...options, query, codes: 4, weights, offsets, centred: true };
    check(await download(gpu, hybrid), hybridOracle({ ...narrow, ...rows }, given));
  });

  it('is within twice naive float16: kept blocks', async () => {
    const sparse = await run(gpu, (recording) => sparseAttention(recording, { ...narrow, ...arrays(8), threshold: 0 }));
    check(await download(gpu, sparse.out), attendOverKeys({ ...narrow, ...rows, G: H }).out);
  });

  /** Drawn again until no code is so near to another that float32 may decide otherwise (low-bit-features.test.ts). */
  function lowBitCase(bits: 8 | 4 | 1) {
    const sizes = { B: 1, H: 1, G: 1, N: 24, S: 24, D: 8, E: 8, M: 8, scale: 8 ** -0.5 };
    for (let seed = 1; seed < 500; seed++) {
      const own = gaussians(seed);
      const halved = (length: number) => Float64Array.from({ length }, () => half(own()));
      const single = (from: (x: number) => number) => Float64Array.from({ length: 8 }, () => Math.fround(from(own())));
      const stored = { q: halved(192), k: halved(192), v: halved(192), omega: halved(64).map((x) => x / 2) };
      const input = { ...sizes, ...stored, phase: single((x) => 3 * x), weight: single((x) => 1 + x * x), bits };
      const { out, margins } = lowBitOracle({ ...input, queryBits: 8, block: 64 });
      if (margins.features > 2e-4 && margins.values > 4e-5 && margins.sums > 2e-4) return { input, stored, want: out };
    }
    throw new Error('no seed keeps all codes apart');
  }

  it.each([8, 4, 1] as const)('is within twice naive float16: features in %d bits', async (bits) => {
    const { input, stored, want } = lowBitCase(bits);
    const { phase, weight } = uploadAll(gpu, { phase: input.phase, weight: input.weight });
    const given = { ...input, ...uploadAll(gpu, stored, 'f16'), phase, weight };
    const out = await run(gpu, (recording) => lowBitAttention(recording, given));
    expect(out.type).toBe('f16');
    const got = await download(gpu, out);
    check(got, want);
    const scaled = { ...input, scale: 1.02 * input.scale, queryBits: 8, block: 64 };
    expectMutantFails(() => check(got, lowBitOracle(scaled).out));
  });
});
