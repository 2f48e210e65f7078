/**
 * Log kernel k(x, y) = −ln(1 + |x − y|²/σ²): negative, and positive definite only on weights that sum to 0 (conditionally
 * positive definite: ln(1 + u) is a Bernstein function; Schoenberg 1938). With u = |δ|²/σ² (METHODS C.3, derived and checked):
 *   k = ∫₀^∞ (e^−t/t)(e^−tu − 1) dt ≈ Σ over strata of ∫ (e^−t/t) N(0, 2t/σ² I) dt − E₁(ε) δ₀
 * a positive mixture of Gaussians less a constant feature, which has no variance. The mass of t < ε is left out, which lowers |k|
 * by less than εu, ε = 1e-4. Strata grow by factors of 5: the many frequencies near 0, which hardly vary, then take few rows.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64, by log1p: k of near rows keeps its digits.
 * Cost: 3d + 20 flops a pair; K takes 8np bytes.
 */
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';
import type { SpectralPart } from './measure.js';

export interface LogOptions {
  readonly d: number;
  /** Default √d, fit for coordinates of unit size. */
  readonly sigma?: number;
}

const EPSILON = 1e-4;
const RATIO = 5;
const STRATA = 8; // up to t = 39, beyond which e^−t/t has mass 1e-19

/** @throws PerformersError PF410 for σ ≤ 0, PF202 for d < 1 */
export function log({ d, sigma = Math.sqrt(d) }: LogOptions): Kernel {
  checkParameters('log', d, { sigma });
  const parts = Array.from({ length: STRATA }, (_, i) => stratum(EPSILON * RATIO ** i, sigma));
  return distanceKernel({
    name: 'log',
    d,
    domain: 'space',
    profile: { norm: 2, range: 2 * sigma, of: (t) => -Math.log1p((t / sigma) ** 2) },
    measure: { constant: -parts.reduce((sum, { weight }) => sum + weight, 0), parts, error: 4 * EPSILON },
  });
}

/** The frequencies of t in [low, RATIO·low], t of density e^−t/t and ω ~ N(0, 2t/σ² I). */
function stratum(low: number, sigma: number): SpectralPart {
  const mass = (rate: number) => expIntegral(rate * low) - expIntegral(rate * RATIO * low);
  const weight = mass(1);
  return {
    weight,
    kappa: (distance) => mass(1 + (distance / sigma) ** 2) / weight,
    frequency: (row, uniform) => {
      // ln t is uniform but for e^−t, by which it is accepted or not.
      let t = low * RATIO ** uniform();
      while (uniform() > Math.exp(low - t)) t = low * RATIO ** uniform();
      for (let l = 0; l < row.length; l++) row[l] *= Math.sqrt(2 * t) / sigma;
    },
  };
}

/**
 * E₁(x) = ∫ₓ^∞ e^−t/t dt, x > 0 (Abramowitz and Stegun 5.1.11 below 1.5, the continued fraction 5.1.22 above). Relative error
 * below 1e-12.
 */
export function expIntegral(x: number): number {
  if (x < 1.5) {
    let sum = -0.5772156649015329 - Math.log(x);
    for (let k = 1, term = x; Math.abs(term / k) > 1e-18; k++, term *= -x / k) sum += term / k;
    return sum;
  }
  // The farther out, the fewer terms: 68 at 1.5, 15 from 12 on.
  let fraction = x;
  for (let k = Math.ceil(10 + 87 / x); k >= 1; k--) fraction = x + k / (1 + k / fraction);
  return Math.exp(-x) / fraction;
}
