/**
 * Polynomial kernel on the unit sphere, k(x, y) = (1 − |x − y|²/a²)^p = (2/a²)^p (a²/2 − 1 + x·y)^p (Pennington, Yu and Kumar
 * 2015, section 2, who need the sphere to make it a function of a distance). k(x, x) = 1; a ≥ 2 makes it positive definite
 * on the sphere, yet no positive measure of frequencies has it: as a function on R^d it is indefinite.
 *
 * Its measure is fitted. The closed form (the truncated kernel's Bessel transform, METHODS C.3) has finite mass for a = 2 only
 * at p > (d − 1)/2, and then more of it than a fit on [0, 2], which may choose how k goes on beyond 2.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64; for a < 2 the base is below 0 beyond |x − y| = a, and the sign is that of (−1)^p.
 * Cost: 3d + p + 3 flops a pair; K takes 8np bytes.
 */
import { PerformersError } from '../../errors.js';
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';
import { binomial } from './series.js';

export interface PolynomialOptions {
  readonly d: number;
  /** Distance at which k is 0. Default 2: (½ + ½x·y)^p. */
  readonly a?: number;
  /** p. Default 3. */
  readonly degree?: number;
}

/** @throws PerformersError PF410 for a ≤ 0 or a degree that is no whole number ≥ 1, PF202 for d < 1 */
export function polynomial({ d, a = 2, degree = 3 }: PolynomialOptions): Kernel {
  checkParameters('polynomial', d, { a, degree });
  if (!Number.isInteger(degree)) {
    throw new PerformersError('PF410', `degree must be an integer >= 1, got ${degree}`, {
      at: 'kernels.polynomial.degree',
      mend: `use degree = ${Math.max(1, Math.round(degree))}`,
    });
  }
  const slope = 2 / (a * a);
  return distanceKernel({
    name: 'polynomial',
    d,
    domain: 'sphere',
    profile: { norm: 2, range: 2, of: (t) => (1 - (t / a) ** 2) ** degree },
    series: [
      {
        degree,
        coefficient: (n) => binomial(degree, n) * (1 - slope) ** (degree - n) * slope ** n,
        ...(slope <= 1 ? { power: { offset: 1 - slope, slope, degree } } : {}),
      },
    ],
  });
}
