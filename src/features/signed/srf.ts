/**
 * Spherical random features (Pennington, Yu and Kumar 2015, "Spherical Random Features for Polynomial Kernels", section 3): the
 * *positive* rotation-invariant measure nearest to k, and independent frequencies from it. What k has of a negative part is lost: the
 * error has a floor that no m lowers, and in return there is no negative block.
 *   k(t) ≈ Σⱼ pⱼ Λ_d(rⱼt),   p ≥ 0,   Σp = k(0),   minimising ∫ (k̂ − k)² dt over [0, range]
 *   ω = rⱼu with probability pⱼ/Σp, u uniform on the sphere
 * That objective, positivity and the mass are those of the authors' code (github.com/felixyu/SRF, read for this file). It looks among
 * densities of the radius  p(w) ∝ max(0, Σᵢ cᵢ (w/2σᵢ)^(d−1) exp(−w²/4σᵢ²)/σᵢ), ten terms, by descent from random starts. Here the
 * measure sits on a grid of radii, which holds those densities up to the grid, and the problem is convex: non-negative least squares finds
 * the floor itself. A test has that no density of theirs it finds lies lower. Features are cosines and sines, theirs cosines with a
 * random phase: the same kernel, less variance.
 *
 * Numerics: Λ_d by quadrature (spherical-cosine.ts). Cost as `rff`; the fit takes some 10 ms.
 */
import { PerformersError } from '../../errors.js';
import { checkCount, iidGaussian } from '../gaussian.js';
import type { Kernel } from '../kernels/kernel.js';
import type { SpectralPart } from '../kernels/measure.js';
import { usedDistances } from './distances.js';
import { nonNegativeLeastSquares } from './nnls.js';
import type { FitOptions, SignedMap } from './signed-map.js';
import { spectralFeatures } from './spectral-features.js';
import { sphericalCosine } from './spherical-cosine.js';

const RADII = 64;
/** Weight of the equation of the mass beside those of 200 distances. */
const MASS = 1e3;

/** @throws PerformersError PF411 for a kernel that is no function of |x − y|₂, or of which no positive measure has any part */
export function srf(kernel: Kernel, { m, seed = 0, rows }: FitOptions): SignedMap {
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  // Fitted on all of [0, range], as in the paper.
  const parts = positiveMeasure(kernel, usedDistances(kernel));
  return spectralFeatures(
    kernel,
    { constant: 0, parts },
    { m, seed, sampler: iidGaussian, stratify: false, distances },
  );
}

/** Shells of frequencies whose weights sum to k(0) and whose mixture is nearest to k at these distances. */
export function positiveMeasure(kernel: Kernel, distances: Float64Array): SpectralPart[] {
  const { d, name, profile } = kernel;
  if (profile?.norm !== 2) {
    throw new PerformersError(
      'PF411',
      `srf cannot make features of the ${name} kernel: it is no function of |x − y|₂`,
      {
        at: 'features.kernel',
        mend: 'use grff or gorf',
      },
    );
  }
  const lambda = sphericalCosine(d);
  const most = distances.reduce((max, t) => Math.max(max, t), 0) || profile.range;
  // Radii scale as √d: Λ_d(t) is close to exp(−t²/2d).
  const nodes = Array.from({ length: RADII }, (_, i) => {
    const radius = (Math.sqrt(d) * 0.2 * 80 ** (i / (RADII - 1))) / most;
    return { radius, curve: distances.map((t) => lambda(radius * t)) };
  });
  // The mass as one more equation, weighed so that it holds to 1e-6; a measure of mass k(0) ≤ 0 is none.
  const mass = Math.max(0, profile.of(0));
  const weights = nonNegativeLeastSquares(
    nodes.map(({ curve }) => Float64Array.of(...curve, MASS)),
    Float64Array.of(...distances.map(profile.of), MASS * mass),
  );
  const parts = nodes.flatMap(({ radius }, i) => (weights[i] > 0 ? [shell(weights[i], radius, lambda)] : []));
  if (parts.length > 0) return parts;
  throw new PerformersError('PF411', `srf cannot make features of the ${name} kernel: no positive measure is near it`, {
    at: 'features.kernel',
    mend: 'use grff or gorf, which have a negative block',
  });
}

/** Frequencies of one length and uniform direction. */
function shell(weight: number, radius: number, lambda: (t: number) => number): SpectralPart {
  return {
    weight,
    kappa: (t) => lambda(radius * t),
    frequency: (row) => {
      const length = Math.hypot(...row);
      for (let l = 0; l < row.length; l++) row[l] *= radius / length;
    },
  };
}
