/**
 * Frequencies Ω ~ N(0, 1) at low width, variance matched. Equal steps Δ (Max 1960, "Quantizing for minimum distortion", Table II:
 * least error for a Gaussian), cuts at the multiples of Δ, levels half way between them, multiplied by one number that makes the
 * variance of the quantised law 1 again. Without it, a step Δ acts as smoothing: E[k̂] = k·exp(−Δ²|δ|²/24) at any m. With it,
 * for iid rows,
 *   E[k̂(δ)] = Πₗ ψ(δₗ),  ψ(t) = Σ_q p_q cos(ŵ_q t) = 1 − t²/2 + O(t⁴ (3 − κ)),  κ the kurtosis of the levels
 * against exp(−t²/2). METHODS D.3: derived and measured (variance taken from the sample there, from the law here). Verified here: unit
 * variance, and the product.
 *
 * Numerics: 8 bits lose 1e-4 of the kernel, 4 bits below 1 %, 1 bit is a Rademacher matrix and sees d corners only.
 * Cost: b comparisons a number, once; ⌈md·b / 8⌉ + 4 bytes. Fold another σ into the input, not into Ω.
 */
import { midpoints, type Scheme } from './scheme.js';

/** Max 1960, Table II; 1 bit: 2·√(2/π). */
const steps: Readonly<Record<number, number>> = { 1: 1.5957691216, 2: 0.9957, 4: 0.3352, 8: 0.0308 };

export const frequencies: Scheme = {
  id: 5,
  of: 'frequencies',
  widths: [1, 2, 4, 8],
  levels: (bits) => matched(bits),
  cuts: (bits) => midpoints(stepped(bits)),
  scale: () => 1,
  clips: true,
  sides: 'both',
  unbiased: false,
  budget: { 1: 0.12, 2: 0.07, 4: 0.02, 8: 0.0015 },
};

/** (code − 2^(b−1) + ½) Δ */
function stepped(bits: number): Float64Array {
  return Float64Array.from({ length: 2 ** bits }, (_, code) => (code - 2 ** (bits - 1) + 0.5) * steps[bits]);
}

function matched(bits: number): Float64Array {
  const levels = stepped(bits);
  const edges = [-Infinity, ...midpoints(levels), Infinity];
  let variance = 0;
  for (let i = 0; i < levels.length; i++)
    variance += levels[i] ** 2 * (normalBelow(edges[i + 1]) - normalBelow(edges[i]));
  return levels.map((level) => level / Math.sqrt(variance));
}

/** Φ(x) by its series ½ + φ(x)(x + x³/3 + x⁵/15 + …): all terms of one sign, 1e-15 for |x| ≤ 8, beyond which Φ is 0 or 1. */
function normalBelow(x: number): number {
  if (Math.abs(x) > 8) return x < 0 ? 0 : 1;
  let term = x;
  let sum = x;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
