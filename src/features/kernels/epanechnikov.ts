/**
 * Epanechnikov kernel on the unit sphere, k(x, y) = max(0, 1 − |x − y|²/a²) (Epanechnikov 1969; METHODS C.3). Indefinite for
 * a < 2. For a ≥ 2 nothing is cut off: k = 1 − 2/a² + (2/a²) x·y, and the series of degree 1 is all of it.
 *
 * Its measure has a Bessel density whose mass is finite for d < 3 only (it decays as w^−(d+3)/2), and so it is fitted. The kink at
 * |x − y| = a is what the fit gives up first.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64; |x − y|² is summed from differences, so that near rows lose nothing.
 * Cost: 3d + 4 flops a pair; K takes 8np bytes.
 */
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';

export interface EpanechnikovOptions {
  readonly d: number;
  /** Distance beyond which k is 0. Default 1.5. */
  readonly a?: number;
}

/** @throws PerformersError PF410 for a ≤ 0, PF202 for d < 1 */
export function epanechnikov({ d, a = 1.5 }: EpanechnikovOptions): Kernel {
  checkParameters('epanechnikov', d, { a });
  const slope = 2 / (a * a);
  return distanceKernel({
    name: 'epanechnikov',
    d,
    domain: 'sphere',
    profile: { norm: 2, range: 2, of: (t) => Math.max(0, 1 - (t / a) ** 2) },
    ...(a >= 2 ? { series: [{ degree: 1, coefficient: (n: number) => [1 - slope, slope][n] ?? 0 }] } : {}),
  });
}
