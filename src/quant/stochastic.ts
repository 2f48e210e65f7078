/**
 * LP-RFF (Zhang, May, Dao, Ré 2019, "Low-precision random Fourier features for memory-constrained kernel approximation",
 * section 2.1): features in [−r, r], r = √(2/m), on 2^b levels at equal steps Δ, rounded up or down at random so that
 * E[x̂] = x. Rows are rounded independently, so k̂(x, y) = x̂·ŷ stays unbiased for x ≠ y, with
 *   Var[x̂·ŷ | features] = Σᵢ xᵢ²s²(yᵢ) + yᵢ²s²(xᵢ) + s²(xᵢ)s²(yᵢ),  s²(u) = (u − below)(above − u) ≤ Δ²/4
 * METHODS D.2, D.4: read in code (lp_rffs quantizer.py), measured. Verified here: conditional mean and variance.
 * For x = y the estimate is |x̂|², which is Σ s²(xᵢ) too large: leave the diagonal to the kernel itself.
 *
 * Cost: one uniform number a feature beside the rounding; ⌈nm·b / 8⌉ + 4 bytes for n rows of m features.
 */
import { largest, type Scheme, uniformLevels } from './scheme.js';

export const stochastic: Scheme = {
  id: 1,
  of: 'features',
  widths: [1, 2, 4, 8],
  levels: uniformLevels,
  cuts: 'stochastic',
  scale: (values, _bits, range) => range ?? largest(values),
  clips: false,
  sides: 'both',
  unbiased: true,
  budget: { 1: 0.2, 2: 0.06, 4: 0.012, 8: 0.0008 },
};
