/**
 * Spectral features by method.
 *   rff    independent rows, for kernels of positive measure (Rahimi and Recht 2007, Algorithm 1)
 *   orf    the same with orthogonal rows (Yu et al. 2016), sorf with structured ones (its bias: features/sorf.ts)
 *   grff   independent rows on both parts of a signed measure (Liu et al. 2020, arXiv 2006.00247, Algorithm 1)
 *   gorf   orthogonal rows on both parts (Luo et al. 2021, arXiv 2104.06204), and a fixed number of rows a part; for kernels of
 *          the 1-norm, whose laws are not rotation-invariant, rows of a shifted lattice
 * The number of the algorithm in Luo et al. was not at hand. METHODS marks C.1 as derived and checked numerically; its law of
 * error, for independent and for orthogonal rows, is tested here against analytic variances.
 */
import { PerformersError } from '../../errors.js';
import { checkCount, iidGaussian, type Sampler } from '../gaussian.js';
import type { Kernel } from '../kernels/kernel.js';
import { frequencyVariance, orthogonalVariance, type SignedMeasure } from '../kernels/measure.js';
import { latticeGaussian } from '../lattice.js';
import { orthogonalGaussian } from '../orf.js';
import { structuredOrthogonal } from '../sorf.js';
import { usedDistances } from './distances.js';
import type { FitOptions, KernelFeatures, SignedMap } from './signed-map.js';
import { mixed, spectralFeatures } from './spectral-features.js';
import { spectralMeasure } from './spectral-measure.js';

export const rff: KernelFeatures = (kernel, options) => positive('rff', kernel, options, iidGaussian);
export const orf: KernelFeatures = (kernel, options) => positive('orf', kernel, options, orthogonalGaussian);
export const sorf: KernelFeatures = (kernel, options) => positive('sorf', kernel, options, structuredOrthogonal);

export function grff(kernel: Kernel, { m, seed = 0, rows }: FitOptions): SignedMap {
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  const measure = measureByMass(kernel, m / 2, distances);
  return spectralFeatures(kernel, measure, { m, seed, distances, sampler: iidGaussian, stratify: false });
}

/**
 * The measure for parts drawn by mass. Their variance (M√V of the mixture) is not the square of a linear form in the weights, and so two
 * fits are made, one priced by V of each part, which forgets what parts differ in, one by E cos², which is too much; the one whose
 * predicted squared error, fit and variance, is less is taken.
 */
export function measureByMass(kernel: Kernel, frequencies: number, distances: Float64Array): SignedMeasure {
  const second = (kappa: (t: number) => number, t: number) => 0.5 * (1 + kappa(2 * t));
  const [light, heavy] = [second, frequencyVariance].map((spread) =>
    spectralMeasure(kernel, { frequencies, distances, spread }),
  );
  const predicted = (measure: SignedMeasure) => predictedSquare(kernel, measure, frequencies, distances);
  return predicted(light) <= predicted(heavy) ? light : heavy;
}

/** Mean over the distances of (k − k̂)² and of the variance of the best split of n frequencies, (M⁺√V⁺ + M⁻√V⁻)²/n. */
function predictedSquare(
  { profile }: Kernel,
  { constant, parts }: SignedMeasure,
  n: number,
  distances: Float64Array,
): number {
  const laws = [1, -1].flatMap((sign) => {
    const own = parts.filter(({ weight }) => weight * sign > 0);
    return own.length > 0 ? [mixed(own)] : [];
  });
  const mean = (value: (t: number) => number) => distances.reduce((sum, t) => sum + value(t), 0) / distances.length;
  const deviation = laws.reduce(
    (sum, { weight, kappa }) => sum + Math.abs(weight) * Math.sqrt(mean((t) => frequencyVariance(kappa, t))),
    0,
  );
  const fitted = (t: number) => laws.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), constant);
  return deviation ** 2 / n + mean((t) => (profile ? profile.of(t) - fitted(t) : 0) ** 2);
}

export interface GorfOptions extends FitOptions {
  /** Rows of N(0, I). Default `orthogonalGaussian`; `latticeGaussian` for kernels of the 1-norm up to d = 128, where its table ends. */
  readonly sampler?: Sampler;
  /** A fixed number of frequencies for each part of the measure, rather than parts drawn by mass. Default true. */
  readonly stratify?: boolean;
}

export function gorf(kernel: Kernel, options: GorfOptions): SignedMap {
  const { m, seed = 0, sampler = samplerFor(kernel), stratify = true } = options;
  const { measure, distances, spread } = gorfMeasure(kernel, options);
  return spectralFeatures(kernel, measure, { m, seed, distances, sampler, stratify, spread });
}

/** What `gorf` draws from: k̂ without its sampling error is measure.constant + Σ weight kappa(distance). */
export function gorfMeasure(kernel: Kernel, { m, rows, sampler = samplerFor(kernel) }: GorfOptions) {
  checkCount('m', m);
  const distances = usedDistances(kernel, rows);
  const rotates = kernel.profile?.norm === 2 && sampler !== iidGaussian;
  const spread = rotates ? orthogonalVariance(Math.max(1, Math.min(kernel.d, m / 4)), kernel.d) : frequencyVariance;
  return { measure: spectralMeasure(kernel, { frequencies: m / 2, distances, spread }), distances, spread };
}

/**
 * Cauchy parts are not rotation-invariant and gain next to nothing from orthogonal rows. A shifted lattice keeps every marginal too, and on
 * letter (d = 16) lowers the error of tl1 by a fifth and that of laplace by a third to a half (METHODS C.1 advises it).
 */
function samplerFor({ d, profile }: Kernel): Sampler {
  return profile?.norm === 1 && d <= 128 ? latticeGaussian : orthogonalGaussian;
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
