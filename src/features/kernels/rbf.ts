/**
 * Gaussian kernel k(x, y) = exp(−|x − y|²/2σ²), of spectral law N(0, σ⁻² I) (Rahimi and Recht 2007, Figure 1).
 * Positive definite: the kernel that `rff`, `orf` and `sorf` are for, and `grff`, `gorf` agree with them on it.
 * As a series: exp(−|x|²/2σ²) exp(−|y|²/2σ²) Σ (x·y/σ²)ⁿ/n!.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64; 0 beyond |x − y| = 38.6σ, where exp underflows.
 * Cost: 3d + 10 flops a pair, with its exponential; K takes 8np bytes.
 */
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';
import { gaussianPart } from './measure.js';
import { gaussianSeries } from './series.js';

export interface RbfOptions {
  readonly d: number;
  /** Default √d, fit for coordinates of unit size. */
  readonly sigma?: number;
}

/** @throws PerformersError PF410 for σ ≤ 0, PF202 for d < 1 */
export function rbf({ d, sigma = Math.sqrt(d) }: RbfOptions): Kernel {
  checkParameters('rbf', d, { sigma });
  return distanceKernel({
    name: 'rbf',
    d,
    domain: 'space',
    profile: { norm: 2, range: 3 * sigma, of: (t) => Math.exp(-0.5 * (t / sigma) ** 2) },
    measure: { constant: 0, parts: [gaussianPart(1, 1 / sigma)], error: 0 },
    series: [gaussianSeries(1, sigma)],
  });
}
