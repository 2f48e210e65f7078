/**
 * LM-RFF (Li and Li 2021, "Quantization algorithms for random Fourier features"): the codebook of least mean square error for
 * one cosine feature. cos θ with θ uniform has the arcsine law 1 / (π√(1 − c²)) whatever the kernel and its bandwidth, so
 * that one codebook serves all. Lloyd's iteration in angles: cut at tᵢ between centroids, and the centroid of [tᵢ, tᵢ₊₁] is
 *   (sin θᵢ − sin θᵢ₊₁) / (θᵢ − θᵢ₊₁),  θᵢ = arccos tᵢ
 * METHODS D.4 has the law from the abstract; derived here. Verified here: both of Lloyd's conditions, and lower error
 * than equal steps at every width. Biased, as `nearest` is, by the same series. 1 bit: levels ±2/π.
 *
 * Widths to 4: Lloyd's iteration converges as 1 − O(4^−b), and at 8 bits there is nothing left to gain.
 *
 * Cost: as `nearest`; the codebook is a function of b and is never stored.
 */
import { largest, midpoints, type Scheme, uniformLevels } from './scheme.js';

export const lloydMax: Scheme = {
  id: 3,
  of: 'features',
  widths: [1, 2, 4],
  levels: arcsineLevels,
  cuts: (bits) => midpoints(arcsineLevels(bits)),
  scale: (values, _bits, range) => range ?? largest(values),
  clips: false,
  sides: 'both',
  unbiased: false,
  budget: { 1: 0.5, 2: 0.12, 4: 0.01 },
};

const codebooks = new Map<number, Float64Array>();

function arcsineLevels(bits: number): Float64Array {
  const known = codebooks.get(bits);
  if (known) return known;
  // Equal steps of the angle are the limit for many levels, and a start from which the iteration keeps its symmetry.
  const count = 2 ** bits;
  let levels = bits === 1 ? uniformLevels(1) : uniformLevels(bits).map((level) => Math.sin((level * Math.PI) / 2));
  for (let change = 1; change > 1e-14; ) {
    const angles = [Math.PI, ...Array.from(midpoints(levels), Math.acos), 0];
    const next = Float64Array.from(
      { length: count },
      (_, i) => (Math.sin(angles[i + 1]) - Math.sin(angles[i])) / (angles[i + 1] - angles[i]),
    );
    change = next.reduce((most, level, i) => Math.max(most, Math.abs(level - levels[i])), 0);
    levels = next;
  }
  codebooks.set(bits, levels);
  return levels;
}
