import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { attend } from '../../src/kernels/attend.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { merge } from '../../src/kernels/merge.js';
import { close, expectMutantFails } from '../close.js';
import { attendOverKeys } from '../oracle/key-sets.js';
import { noDevice, open, outputs, uploadAll } from './device.js';

const bound = 1e-5;

/** Attention to the first `first` keys and to the others, merged, and by definition to all. */
async function bothWays(gpu: Gpu, { E, first, hidden }: { E: number; first: number; hidden?: 'first' | 'both' }) {
  const shape = { B: 1, H: 2, N: 9, D: 8, E, scale: 8 ** -0.5 };
  const S = 20;
  const normal = gaussians(E);
  const draw = (length: number) => Float64Array.from({ length }, () => Math.fround(normal()));
  const [q, k, v] = [2 * 9 * 8, 2 * S * 8, 2 * S * E].map(draw);
  const bias = Float64Array.from({ length: S }, (_, j) => (hidden && (hidden === 'both' || j < first) ? -Infinity : 0));
  const part = (data: Float64Array, width: number, rest: boolean) =>
    data.filter((_, at) => Math.floor(at / width) % S < first !== rest);
  const [a, b] = [false, true].map((rest) => ({
    ...{ ...shape, S: rest ? S - first : first },
    ...uploadAll(gpu, { q, k: part(k, 8, rest), v: part(v, E, rest), bias: part(bias, 1, rest) }),
  }));
  const merged = await outputs(gpu, (recording) => {
    const [one, other] = [attend(recording, a), attend(recording, b)];
    return { ...merge(recording, one, other), first: one.out, second: other.out, m1: one.lse, m2: other.lse };
  });
  const want = attendOverKeys({ ...shape, G: 2, S, q, k, v, bias: ({ j }) => bias[j] });
  return { merged, want };
}

describe.skipIf(noDevice)('merge on a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each([
    { E: 8, first: 7 },
    { E: 5, first: 19 },
    { E: 8, first: 6, hidden: 'first' as const },
  ])('of attention to two sets of keys is attention to both: %o', async (options) => {
    const { merged, want } = await bothWays(gpu, options);
    close(merged.out, want.out, bound);
    close(merged.lse, want.lse, bound);
    expectMutantFails(() => close(merged.first, want.out, bound));
    if (!options.hidden) expectMutantFails(() => close(merged.second, want.out, bound));
  });

  it('of two that saw nothing has seen nothing', async () => {
    const { merged } = await bothWays(gpu, { E: 8, first: 6, hidden: 'both' });
    expect(merged.out.every((x) => x === 0)).toBe(true);
    expect(merged.lse.every((x) => x < -1e38)).toBe(true);
  });
});
