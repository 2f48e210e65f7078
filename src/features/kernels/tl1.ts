/**
 * Truncated 1-norm kernel k(x, y) = max(ρ − |x − y|₁, 0) (Huang, Suykens, Wang, Hornegger and Maier 2018, "Classification with
 * truncated ℓ1 distance kernel", who advise ρ = 0.7d for coordinates in [0, 1]). Indefinite from d = 2 on.
 *
 * Its spectral density is known (METHODS C.3, derived, checked there for d = 2 and 3), but for d > 3 as a divided difference
 * that no float64 evaluates. Here the measure is a signed mixture of Laplace kernels, ρ − s ≈ c₀ + Σ aⱼ exp(−τⱼs), fitted on
 * s ∈ [0, range] for every d; each term is a product of Cauchy laws. Give the fit rows: coordinates in [0, 1] are usually far
 * closer than d apart, and a fit that need not reach the kink is much lighter.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64 sums of absolute differences, nothing cancels.
 * Cost: 3d flops a pair; K takes 8np bytes.
 */
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';

export interface Tl1Options {
  readonly d: number;
  /** Distance beyond which k is 0. Default 0.7d. */
  readonly rho?: number;
  /** Largest 1-norm distance between rows. Default d: coordinates in [0, 1]. */
  readonly range?: number;
}

/** @throws PerformersError PF410 for ρ or a range ≤ 0, PF202 for d < 1 */
export function tl1({ d, rho = 0.7 * d, range = d }: Tl1Options): Kernel {
  checkParameters('tl1', d, { rho, range });
  return distanceKernel({
    name: 'tl1',
    d,
    domain: 'space',
    profile: { norm: 1, range, of: (t) => Math.max(rho - t, 0) },
  });
}
