/**
 * Features at 8, 4 or 2 bits, rounded to the nearest of 2^b levels at equal steps Δ = 2r / (2^b − 1) on [−r, r].
 * Half the variance of stochastic rounding or less, |x̂ − x| ≤ Δ/2 for certain, and a bias instead. For cosine features of random
 * phase the biased expectation is exact: with aₙ the Fourier coefficients of the staircase Q(cos θ) = Σ aₙ cos nθ, n odd,
 *   E[k̂(δ)] = Σₙ aₙ² k(nδ),   where a₁ → 1 and the rest → 0 as b grows
 * METHODS D.4 (derived and measured there: 4 bits cost nothing, 2 bits are biased by .1). Verified here: the series.
 *
 * Cost: b comparisons a feature; ⌈nm·b / 8⌉ + 4 bytes for n rows of m features.
 */
import { largest, midpoints, type Scheme, uniformLevels } from './scheme.js';

export const nearest: Scheme = {
  id: 2,
  of: 'features',
  widths: [2, 4, 8],
  levels: uniformLevels,
  cuts: (bits) => midpoints(uniformLevels(bits)),
  scale: (values, _bits, range) => range ?? largest(values),
  clips: false,
  sides: 'both',
  unbiased: false,
  budget: { 2: 0.18, 4: 0.018, 8: 0.0006 },
};
