/**
 * Trained weights: symmetric steps on [−c, c] with a level at zero, Δ = 2c / (2^b − 2), c a multiple of the root mean square; and
 * at 1 bit sign(w)·E|w|, the least squares fit of ±s (Rastegari et al. 2016, "XNOR-Net", eq. 6). Forward of the straight-through layer in
 * src/learn/. Clips of 2 and 4 bits: Max 1960, Table II, for 3 and 15 levels. (METHODS
 * D.2's 2–2.5σ at 2 bits would cut everything below 1σ to zero: error .65 against .44 here.) At 8 bits the codes are those of ONNX int8 with zero point 0, shifted by 127.
 *
 * Numerics: the clip follows the weights, so no bound on them is needed; weights beyond it saturate.
 * Cost: b comparisons a weight; ⌈n·b / 8⌉ + 4 bytes.
 */
import { midpoints, type Scheme } from './scheme.js';

/** Half ranges in root mean squares of the weights. */
export const weightClips: Readonly<Record<number, number>> = { 2: 1.224, 4: 2.474, 8: 4 };

export const weights: Scheme = {
  id: 6,
  of: 'weights',
  widths: [1, 2, 4, 8],
  levels,
  cuts: (bits) => midpoints(levels(bits)),
  scale: (values, bits, range) => range ?? weightScale(values, bits),
  clips: true,
  sides: 'both',
  unbiased: false,
  budget: { 1: 0.75, 2: 0.55, 4: 0.14, 8: 0.014 },
};

/** The code 2^b − 1 stays unused above 1 bit, for the sake of an exact zero. */
function levels(bits: number): Float64Array {
  if (bits === 1) return Float64Array.of(-1, 1);
  const half = 2 ** (bits - 1) - 1;
  return Float64Array.from({ length: 2 * half + 1 }, (_, code) => (code - half) / half);
}

function weightScale(values: Float64Array, bits: number): number {
  const mean = (f: (value: number) => number) =>
    values.reduce((sum, value) => sum + f(value), 0) / (values.length || 1);
  return bits === 1 ? mean(Math.abs) : weightClips[bits] * Math.sqrt(mean((value) => value * value));
}
