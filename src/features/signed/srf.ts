/**
 * Spherical random features (Pennington, Yu and Kumar 2015, "Spherical Random Features for Polynomial Kernels", section 3): the
 * best *positive* rotation-invariant measure for k, and independent frequencies from it. What k has of a negative part is lost: the
 * error has a floor that no m lowers, and in return there is no negative block.
 *   k(t) ≈ Σⱼ pⱼ Λ_d(rⱼt),   p ≥ 0,   ω = rⱼu with probability pⱼ/Σp, u uniform on the sphere
 *
 * The paper has a mixture of ten Gaussians for the density of the radius, cut off at 0 and fitted by descent from random starts.
 * Here the measure sits on a grid of radii and is fitted by non-negative least squares, which is convex and holds the paper's family up
 * to the grid: the floor is as low as theirs or lower. METHODS marks SRF as read in code; the fit is derived here.
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

const RADII = 48;

/** @throws PerformersError PF411 for a kernel that is no function of |x − y|₂, or of which no positive measure has any part */
export function srf(kernel: Kernel, { m, seed = 0, rows }: FitOptions): SignedMap {
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  // Fitted on all of [0, range], as in the paper: only there is the total mass, k(0), held down.
  const parts = positiveParts(kernel, usedDistances(kernel));
  return spectralFeatures(
    kernel,
    { constant: 0, parts },
    { m, seed, sampler: iidGaussian, stratify: false, distances },
  );
}

function positiveParts(kernel: Kernel, distances: Float64Array): SpectralPart[] {
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
  const weights = nonNegativeLeastSquares(
    nodes.map(({ curve }) => curve),
    distances.map(profile.of),
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
