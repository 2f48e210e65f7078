/**
 * Spectral features by method.
 *   rff    independent rows, for kernels of positive measure (Rahimi and Recht 2007, Algorithm 1)
 *   orf    the same with orthogonal rows (Yu et al. 2016), sorf with structured ones (its bias: features/sorf.ts)
 *   grff   independent rows on both parts of a signed measure (Liu et al. 2020, arXiv 2006.00247, Algorithm 1)
 *   gorf   orthogonal rows on both parts (Luo et al. 2021, arXiv 2104.06204), and a fixed number of rows a part
 * The number of the algorithm in Luo et al. was not at hand. METHODS marks C.1 as derived and checked numerically; its law of
 * error, for independent and for orthogonal rows, is tested here against analytic variances.
 */
import { PerformersError } from '../../errors.js';
import { checkCount, iidGaussian, type Sampler } from '../gaussian.js';
import type { Kernel } from '../kernels/kernel.js';
import { frequencyVariance, orthogonalVariance } from '../kernels/measure.js';
import { orthogonalGaussian } from '../orf.js';
import { structuredOrthogonal } from '../sorf.js';
import { usedDistances } from './distances.js';
import type { FitOptions, KernelFeatures, SignedMap } from './signed-map.js';
import { spectralFeatures } from './spectral-features.js';
import { spectralMeasure } from './spectral-measure.js';

export const rff: KernelFeatures = (kernel, options) => positive('rff', kernel, options, iidGaussian);
export const orf: KernelFeatures = (kernel, options) => positive('orf', kernel, options, orthogonalGaussian);
export const sorf: KernelFeatures = (kernel, options) => positive('sorf', kernel, options, structuredOrthogonal);

export function grff(kernel: Kernel, { m, seed = 0, rows }: FitOptions): SignedMap {
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  // A part drawn by mass adds E cos², mean and all.
  const spread = (kappa: (t: number) => number, t: number) => 0.5 * (1 + kappa(2 * t));
  const measure = spectralMeasure(kernel, { frequencies: m / 2, distances, spread });
  return spectralFeatures(kernel, measure, { m, seed, distances, sampler: iidGaussian, stratify: false });
}

export interface GorfOptions extends FitOptions {
  /** Rows of N(0, I). Default `orthogonalGaussian`. */
  readonly sampler?: Sampler;
  /** A fixed number of frequencies for each part of the measure, rather than parts drawn by mass. Default true. */
  readonly stratify?: boolean;
}

export function gorf(kernel: Kernel, options: GorfOptions): SignedMap {
  const { m, seed = 0, rows, sampler = orthogonalGaussian, stratify = true } = options;
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  // Cauchy parts are not rotation-invariant, and gain nothing sure from orthogonal rows.
  const rotates = kernel.profile?.norm === 2 && sampler !== iidGaussian;
  const spread = rotates ? orthogonalVariance(Math.max(1, Math.min(kernel.d, m / 4)), kernel.d) : frequencyVariance;
  const measure = spectralMeasure(kernel, { frequencies: m / 2, distances, spread });
  return spectralFeatures(kernel, measure, { m, seed, distances, sampler, stratify, spread });
}

function positive(method: string, kernel: Kernel, { m, seed = 0, rows }: FitOptions, sampler: Sampler): SignedMap {
  const { measure } = kernel;
  if (!measure || measure.constant < 0 || measure.parts.some(({ weight }) => weight < 0)) {
    const why = measure
      ? 'its spectral measure has a negative part'
      : 'it has no positive spectral measure in closed form';
    throw new PerformersError('PF411', `${method} cannot make features of the ${kernel.name} kernel: ${why}`, {
      at: 'features.kernel',
      mend: 'use grff or gorf, which split a signed measure into a positive and a negative block',
    });
  }
  const distances = usedDistances(kernel, rows);
  return spectralFeatures(kernel, measure, { m, seed, sampler, stratify: false, distances });
}
