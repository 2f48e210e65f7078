/**
 * Double-variational random features, after Liu, Huang, Shi, Yang and Suykens 2020 (IEEE TNNLS 31, 2965): a Dirichlet-process mixture of
 * Gaussians on the positive and another on the negative spectral part, inferred by variational Bayes, and independent frequencies
 * from the two. A baseline: what a model of the spectrum costs beside the spectrum itself.
 *
 * Of the paper only the abstract could be read: it has the model, Kolmogorov's split into two positive definite kernels with a
 * Dirichlet-process mixture for the spectral law of each, and says that inference is a non-conjugate variational algorithm with
 * sub-sampling. That algorithm is not reproduced. Here the data are frequencies ωₙ drawn from the two parts of the measure, for
 * which truncated stick-breaking is conjugate (Blei and Jordan 2006, section 3). For components N(0, τₖ⁻¹ I), K = 10:
 *   ρₙₖ ∝ exp(E ln πₖ + d/2 E ln τₖ − E τₖ |ωₙ|²/2),   τₖ ~ Gamma(a₀ + d/2 Σₙρₙₖ, b₀ + ½Σₙρₙₖ|ωₙ|²),
 *   vₖ ~ Beta(1 + Σₙρₙₖ, α + Σₙ Σ_{j>k} ρₙⱼ)
 * Then πₖ = E πₖ and scale² = 1/E τₖ: biased, by the mismatch of that mixture. Masses and the constant are the measure's own.
 *
 * Cost as `grff`; inference 60 rounds over 400 × 10 numbers a part, some 10 ms.
 */
import { PerformersError } from '../../errors.js';
import { drawIndex } from '../draw-index.js';
import { checkCount, iidGaussian } from '../gaussian.js';
import type { Kernel } from '../kernels/kernel.js';
import { frequencyVariance, gaussianPart, type SignedMeasure, type SpectralPart } from '../kernels/measure.js';
import { gaussians, streamSeed, uniforms } from '../rng.js';
import { usedDistances } from './distances.js';
import type { FitOptions, SignedMap } from './signed-map.js';
import { spectralFeatures } from './spectral-features.js';
import { spectralMeasure } from './spectral-measure.js';

const SAMPLES = 400;
const COMPONENTS = 10;
const ROUNDS = 60;
const CONCENTRATION = 1; // α
const SHAPE = 1e-3; // a₀, and b₀ = a₀ × mean of |ω|²/d: all but flat

/** @throws PerformersError PF411 for a kernel that is no function of |x − y|₂ */
export function dvrf(kernel: Kernel, options: FitOptions): SignedMap {
  const { m, seed = 0, rows } = options;
  const measure = modelledMeasure(kernel, options);
  const distances = usedDistances(kernel, rows);
  return spectralFeatures(kernel, measure, { m, seed, sampler: iidGaussian, stratify: false, distances });
}

/** The mixtures that inference finds: what `dvrf` draws from. */
export function modelledMeasure(
  kernel: Kernel,
  { m, seed = 0, rows }: FitOptions,
): Pick<SignedMeasure, 'constant' | 'parts'> {
  checkCount('m', m);
  if (kernel.profile?.norm !== 2) {
    throw new PerformersError(
      'PF411',
      `dvrf cannot make features of the ${kernel.name} kernel: it is no function of |x − y|₂`,
      {
        at: 'features.kernel',
        mend: 'use grff or gorf',
      },
    );
  }
  const distances = usedDistances(kernel, rows);
  const { constant, parts } = spectralMeasure(kernel, { frequencies: m / 2, distances, spread: frequencyVariance });
  const modelled = [1, -1].flatMap((sign, s) => {
    const own = parts.filter(({ weight }) => weight * sign > 0);
    const mass = own.reduce((sum, { weight }) => sum + weight, 0);
    if (own.length === 0) return [];
    const squares = sampleSquares(own, kernel.d, streamSeed(seed, 3 + s));
    return posteriorMixture(squares, kernel.d).map(({ share, scale }) => gaussianPart(mass * share, scale));
  });
  return { constant, parts: modelled };
}

/** |ω|² of frequencies of the parts, taken by mass. */
function sampleSquares(parts: readonly SpectralPart[], d: number, seed: number): Float64Array {
  const normal = gaussians(streamSeed(seed, 0));
  const uniform = uniforms(streamSeed(seed, 1));
  const masses = parts.map(({ weight }) => Math.abs(weight));
  return Float64Array.from({ length: SAMPLES }, () => {
    const row = Float64Array.from({ length: d }, normal);
    parts[drawIndex(masses, uniform())].frequency(row, uniform);
    return row.reduce((sum, value) => sum + value * value, 0);
  });
}

/** Components of the mixture for |ω|² of d-wide frequencies, those of share above 1e-6, shares summing to 1. */
export function posteriorMixture(
  squares: Float64Array,
  d: number,
): { readonly share: number; readonly scale: number }[] {
  const sorted = squares.slice().sort();
  const rate = (SHAPE * sorted.reduce((sum, value) => sum + value, 0)) / sorted.length / d;
  // Quantile blocks to start from, so that no random start is needed.
  const rho = Array.from(squares, (square) => {
    const own = Math.floor((sorted.findIndex((value) => value >= square) / sorted.length) * COMPONENTS);
    return Float64Array.from({ length: COMPONENTS }, (_, k) => (k === own ? 1 : 0));
  });
  let components: { share: number; scale: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const count = sums(rho, () => 1);
    const second = sums(rho, (n) => squares[n]);
    const shape = count.map((value) => SHAPE + (d / 2) * value);
    const scale = second.map((value) => rate + value / 2);
    let logRest = 0;
    let left = 1;
    const after = count.map((_, k) => count.slice(k + 1).reduce((sum, value) => sum + value, 0));
    components = [];
    const logs = count.map((value, k) => {
      const [a, b] = [1 + value, CONCENTRATION + after[k]];
      const last = k === COMPONENTS - 1;
      const logShare = logRest + (last ? 0 : digamma(a) - digamma(a + b));
      const share = last ? left : (left * a) / (a + b);
      components.push({ share, scale: Math.sqrt(scale[k] / shape[k]) });
      logRest += digamma(b) - digamma(a + b);
      left -= share;
      return logShare + (d / 2) * (digamma(shape[k]) - Math.log(scale[k]));
    });
    rho.forEach((row, n) => {
      const exponents = logs.map((value, k) => value - (shape[k] / scale[k]) * (squares[n] / 2));
      const most = Math.max(...exponents);
      const sizes = exponents.map((value) => Math.exp(value - most));
      const sum = sizes.reduce((all, value) => all + value, 0);
      for (let k = 0; k < COMPONENTS; k++) row[k] = sizes[k] / sum;
    });
  }
  const kept = components.filter(({ share }) => share > 1e-6);
  const sum = kept.reduce((all, { share }) => all + share, 0);
  return kept.map(({ share, scale }) => ({ share: share / sum, scale }));
}

/** Σₙ ρₙₖ value(n) for every k. */
function sums(rho: readonly Float64Array[], value: (n: number) => number): number[] {
  return Array.from({ length: COMPONENTS }, (_, k) => rho.reduce((sum, row, n) => sum + row[k] * value(n), 0));
}

/** ψ(x) for x > 0: up to x ≥ 6 by recurrence, then Stirling's series (Abramowitz and Stegun 6.3.18). Error 1e-10. */
export function digamma(x: number): number {
  let value = 0;
  let at = x;
  for (; at < 6; at++) value -= 1 / at;
  const square = 1 / (at * at);
  return value + Math.log(at) - 0.5 / at - square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)));
}
