/**
 * The signed measure of a kernel: its own where it has one, otherwise a signed mixture fitted to its profile, for kernels known
 * only as a function of a distance (METHODS C.3 d, the least-squares counterpart of Oliva et al. 2016 and of DVRF):
 *   k(t) ≈ c₀ + Σᵢ (pᵢ − nᵢ) κᵢ(t),   p, n ≥ 0,   κᵢ(t) = exp(−sᵢ²t²/2) in the 2-norm, exp(−sᵢt) in the 1-norm
 *   minimise  mean_t (k − k̂)²  +  (Σᵢ (pᵢ + nᵢ) √Vᵢ)² / n
 * by non-negative least squares on both parts. The second term is the variance of k̂ with n stratified frequencies, so that the
 * two sum to the mean squared error to expect: a sharp kink, which costs mass, is fitted only as far as n pays for it, and the
 * fit tightens by itself as n grows. Being the square of one linear form it is one more row of the least-squares problem.
 * For orthogonal rows V is theirs; where parts are drawn by mass it is E cos², which bounds the variance.
 * METHODS has ridge with a λ set by hand instead; that recipe has more mass at the same error. c₀ is a feature without
 * variance, hence free.
 *
 * Numerics: columns are nearly dependent (Gaussians of neighbouring widths), the solution is sparse (3 to 8 parts).
 * Cost: 200 · 2 · 28 kernel values and some 10 QRs of 200 × 8: a few milliseconds, once a map.
 */
import { PerformersError } from '../../errors.js';
import type { Kernel } from '../kernels/kernel.js';
import { cauchyPart, gaussianPart, type SignedMeasure, type SpectralPart } from '../kernels/measure.js';
import { nonNegativeLeastSquares } from './nnls.js';

export interface FitMeasure {
  /** How many frequencies will be drawn: what mass costs. */
  readonly frequencies: number;
  /** Where the fit has to hold. */
  readonly distances: Float64Array;
  /** What one frequency of a part adds to the variance at distance t. */
  readonly spread: (kappa: (t: number) => number, t: number) => number;
}

/** @throws PerformersError PF411 when the kernel has neither measure nor profile, or is not finite where it is used */
export function spectralMeasure(kernel: Kernel, options: FitMeasure): SignedMeasure {
  const { measure, profile } = kernel;
  if (measure) return measure;
  if (!profile) {
    throw new PerformersError(
      'PF411',
      `the ${kernel.name} kernel is no function of a distance: it has no signed split`,
      {
        at: 'features.kernel',
        mend: 'use maclaurin or tensor-sketch, or a kernel with a profile',
      },
    );
  }
  const { distances } = options;
  const most = distances.reduce((max, t) => Math.max(max, t), 0) || profile.range;
  const target = distances.map((t) => profile.of(t));
  const bad = target.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new PerformersError(
      'PF411',
      `the ${kernel.name} kernel is ${target[bad]} at distance ${distances[bad]}: no finite measure has it`,
      { at: 'features.kernel', mend: 'cut the kernel off near its singularity, for example k(t) = f(max(t, 0.01))' },
    );
  }
  return fitMixture(target, dictionary(profile.norm, most), options);
}

const NODES = 28;

/** Unit parts whose widths run from an eighth of the range to far beyond it. */
function dictionary(norm: 1 | 2, most: number): SpectralPart[] {
  const [low, high] = norm === 2 ? [0.4, 24] : [0.1, 60];
  return Array.from({ length: NODES }, (_, i) => {
    const scale = (low * (high / low) ** (i / (NODES - 1))) / most;
    return norm === 2 ? gaussianPart(1, scale) : cauchyPart(1, scale);
  });
}

/** @throws PerformersError PF414 when the least squares do not end */
export function fitMixture(
  target: Float64Array,
  nodes: readonly SpectralPart[],
  { frequencies, distances, spread }: FitMeasure,
): SignedMeasure {
  const count = distances.length;
  const root = Math.sqrt(count);
  const column = (values: Float64Array, cost: number): Float64Array => {
    const out = new Float64Array(count + 1);
    values.forEach((value, i) => {
      out[i] = value / root;
    });
    out[count] = cost;
    return out;
  };
  const curves = nodes.map(({ kappa }) => distances.map(kappa));
  const costs = nodes.map(({ kappa }) => {
    return Math.sqrt(distances.reduce((sum, t) => sum + spread(kappa, t), 0) / count / frequencies);
  });
  const one = new Float64Array(count).fill(1);
  const columns = [1, -1].flatMap((sign) => [
    column(
      one.map((value) => sign * value),
      0,
    ),
    ...curves.map((curve, i) =>
      column(
        curve.map((value) => sign * value),
        costs[i],
      ),
    ),
  ]);
  const x = nonNegativeLeastSquares(columns, column(target, 0));
  const weights = Array.from({ length: nodes.length + 1 }, (_, i) => x[i] - x[nodes.length + 1 + i]);
  const fitted = target.map((_, t) => curves.reduce((sum, curve, i) => sum + weights[i + 1] * curve[t], weights[0]));
  return {
    constant: weights[0],
    parts: nodes.map((node, i) => ({ ...node, weight: weights[i + 1] })).filter(({ weight }) => weight !== 0),
    error: fitted.reduce((most, value, t) => Math.max(most, Math.abs(value - target[t])), 0),
  };
}
