import { describe, expect, it } from 'vitest';
import { fitHealing } from '../../../src/calibrate/heal/gain.js';
import { gaussians } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';

const [B, H, N, E, F] = [1, 3, 200, 4, 7];
const normal = gaussians(3);
const draw = (dims: readonly number[]) => ({
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => normal()),
});

/** Contexts that are the original's, each head bent by a gain and a bias. */
const gains = [0.5, 1, 2];
const bend = (x: number, i: number) => {
  const head = Math.floor(i / (N * E)) % H;
  return (x - (head + (i % E))) / gains[head];
};
const pairs = Array.from({ length: 4 }, () => {
  const original = draw([B, H, N, E]);
  return { original, patched: { dims: original.dims, data: original.data.map(bend) } };
});
const weight = draw([H, E, F]);
const wantGain = Float64Array.from(gains);
const wantBias = Float64Array.from({ length: H * E }, (_, i) => Math.floor(i / E) + (i % E));

describe('healing by a gain and a bias a head', () => {
  it.each([
    ['through the output weight', weight],
    ['where there is none in sight', undefined],
  ])('undoes a bend of every head, %s', (_, through) => {
    const { gain, bias } = fitHealing(pairs, through);
    // The ridge draws gains to 1 by about a hundredth of the way.
    close(gain, wantGain, 0.04);
    close(bias, wantBias, 0.04);
    const swapped = [gain[1], gain[0], gain[2]];
    expectMutantFails(() => close(swapped, wantGain, 0.04));
  });

  it('leaves alone what is right already', () => {
    const { gain, bias } = fitHealing(
      pairs.map(({ original }) => ({ original, patched: original })),
      weight,
    );
    close(gain, Float64Array.of(1, 1, 1), 1e-6);
    expect(Math.max(...bias.map(Math.abs))).toBeLessThan(1e-6);
  });

  it('draws a head that says nothing to its mean, without NaN', () => {
    const silent = pairs.map(({ original, patched }) => ({
      original,
      patched: { dims: patched.dims, data: patched.data.map((x, i) => (Math.floor(i / (N * E)) % H === 1 ? 0 : x)) },
    }));
    const { gain, bias } = fitHealing(silent, weight);
    expect([...gain, ...bias].every(Number.isFinite)).toBe(true);
  });
});
