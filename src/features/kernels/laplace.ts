/**
 * Laplace kernel k(x, y) = exp(−|x − y|₁/σ), of spectral law ⊗ Cauchy(0, 1/σ) (Rahimi and Recht 2007, Figure 1).
 * Positive definite, and no function of |x − y|₂: its law is not rotation-invariant, so that orthogonal rows keep it unbiased
 * but need not lower its variance. Here rows of N(0, I) become Cauchy coordinates by Φ, one at a time.
 * Numerics: frequencies have no mean; one of 10⁴ is beyond 6000/σ, where cos of a float32 product is noise of the right law.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Cost: 2d + 10 flops a pair, with its exponential; K takes 8np bytes.
 */
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';
import { cauchyPart } from './measure.js';

export interface LaplaceOptions {
  readonly d: number;
  /** Default d, fit for coordinates of unit size. */
  readonly sigma?: number;
}

/** @throws PerformersError PF410 for σ ≤ 0, PF202 for d < 1 */
export function laplace({ d, sigma = d }: LaplaceOptions): Kernel {
  checkParameters('laplace', d, { sigma });
  return distanceKernel({
    name: 'laplace',
    d,
    domain: 'space',
    profile: { norm: 1, range: 3 * sigma, of: (t) => Math.exp(-t / sigma) },
    measure: { constant: 0, parts: [cauchyPart(1, 1 / sigma)], error: 0 },
  });
}
