import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { type JaxArray, loadJax } from '../../src/learn/peer.js';
import { straightThrough } from '../../src/learn/straight-through.js';
import { dequantize, quantize } from '../../src/quant/scheme.js';
import { weightClips, weights } from '../../src/quant/weights.js';
import { close, expectMutantFails } from '../close.js';

const jax = await loadJax();
const { numpy: np } = jax;
const normal = gaussians(6);
const w = Float32Array.from({ length: 400 }, () => 0.3 * normal());
const size = Math.sqrt(w.reduce((sum, value) => sum + value * value, 0) / w.length);

describe.each([1, 2, 4, 8])('the straight-through quantiser at %i bits', (bits) => {
  it('computes what the packed weights will be', async () => {
    const got = Float32Array.from(await straightThrough(jax, np.array(w), bits).data());
    const want = dequantize(quantize(w, { scheme: weights, bits, rows: 20, cols: 20 }));
    close(got, want, 1e-6);
    expectMutantFails(() =>
      close(
        got,
        want.map((value) => 1.01 * value),
        1e-6,
      ),
    );
    expect(new Set(got.map((value) => Math.round(value * 1e5))).size).toBeLessThanOrEqual(2 ** bits);
  });

  it('gives every weight the gradient of its quantised value, and none beyond the clip', async () => {
    // L = Σ cᵢ ŵᵢ: the gradient is c inside the clip and 0 outside.
    const c = Float32Array.from(w, (_, i) => 1 + (i % 7));
    const gradient = jax.grad((x: JaxArray) => np.sum(straightThrough(jax, x, bits).mul(np.array(c))))(np.array(w));
    const clip = (weightClips[bits] ?? 3) * size;
    const want = Array.from(w, (value, i) => (Math.abs(value) <= clip ? c[i] : 0));
    close(await gradient.data(), want, 1e-6);
    // 4 root mean squares at 8 bits: one weight in 16,000 lies beyond.
    if (bits < 8) expect(want).toContain(0);
    expectMutantFails(() =>
      close(
        want.map((value, i) => (value === 0 ? c[i] : 1.01 * value)),
        want,
        1e-6,
      ),
    );
  });
});

it('leaves float32 alone', async () => {
  expect(await straightThrough(jax, np.array(w), 32).data()).toEqual(w);
});
