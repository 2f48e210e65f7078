/**
 * Positive features by importance sampling (METHODS 0.1): for ω from any Gaussian N(μ, Σ),
 *   exp(x·y) = E[φ(x) φ(y)],  φ(x) = exp(ω·x − |x|²/2 + ½ ln(N(ω; 0, I) / N(ω; μ, Σ)))
 * so that maps which sample Gaussians differ in (Ω, b) only, and one operator runs them all. With ω = μ + Σ^½ ε,
 *   bᵣ = ¼ (|εᵣ|² − |ωᵣ|² + ln det Σ) − ½ ln M
 * The relative second moment of one feature, on which everything depends, is (METHODS 0.1)
 *   R(z) = E[(φ(x) φ(y))²] / K² = √(|Σ| / |P|) exp(½ cᵀP⁻¹c + ½ μᵀΣ⁻¹μ − |z|²),  P = 2I − Σ⁻¹,  c = 2z − Σ⁻¹μ
 * and M features err by √((R − 1) / M). It is finite only where every eigenvalue of Σ is above ½.
 * METHODS marks both as derived and numerically checked; test/features/maps.test.ts checks them again for every map.
 *
 * Shapes: Ω [H,M,D], b [H,M]. Σ is held by its axes and variances, and its root is the symmetric one.
 * Numerics: float64 throughout, rounded to float32 by `stored`; for μ = 0, Σ = I the bias is −½ ln M to the bit.
 * Cost: 2HMD flops to make the constants, 4HMD² more where axes are given; 4HM(D + 1) bytes stored. The operator then takes
 * 2M(D + E) flops a query and as many a key, and holds 4M(E + 1) bytes a head, whichever map it is.
 */
import type { FeatureConstants, FeatureOptions } from './favor-plus.js';
import { checkCount } from './gaussian.js';
import { orthogonalGaussian } from './orf.js';
import { streamSeed } from './rng.js';

/** N(μ, Σ), Σ = Σₗ variancesₗ axesₗ axesₗᵀ. */
export interface Proposal {
  readonly mean: Float64Array; // [D]
  readonly variances: Float64Array; // [D]
  /** Rows are orthonormal. Default: the coordinate axes. */
  readonly axes?: Float64Array; // [D,D]
}

/** Draws Ω and b of every head from its proposal. @throws PerformersError PF202 as favorPlus does */
export function proposalFeatures(options: FeatureOptions, proposalOf: (head: number) => Proposal) {
  const { heads, headDim: d, m, seed = 0, sampler = orthogonalGaussian } = options;
  checkCount('heads', heads);
  checkCount('m', m);
  checkCount('d', d);
  const omega = new Float64Array(heads * m * d); // [H,M,D]
  const bias = new Float64Array(heads * m); // [H,M]
  for (let h = 0; h < heads; h++) {
    const { mean, variances, axes } = proposalOf(h);
    const deviations = variances.map(Math.sqrt);
    const logDet = variances.reduce((sum, variance) => sum + Math.log(variance), 0);
    const epsilon = sampler({ m, d, seed: streamSeed(seed, h) });
    for (let r = 0; r < m; r++) {
      const noise = epsilon.subarray(r * d, (r + 1) * d);
      const row = omega.subarray((h * m + r) * d, (h * m + r + 1) * d);
      row.set(axes ? stretch(noise, deviations, axes) : noise.map((e, i) => deviations[i] * e));
      for (let i = 0; i < d; i++) row[i] += mean[i];
      bias[h * m + r] = (square(noise) - square(row) + logDet) / 4 - 0.5 * Math.log(m);
    }
  }
  return { omega, bias };
}

/** The constants as a model file holds them. */
export function stored({ omega, bias }: { omega: Float64Array; bias: Float64Array }): FeatureConstants {
  return { omega: Float32Array.from(omega), bias: Float32Array.from(bias) };
}

/** R(z) of one feature of this proposal for z = x + y [D]; Infinity where the variance is infinite. */
export function rFactor({ mean, variances, axes }: Proposal, z: ArrayLike<number>): number {
  const d = variances.length;
  let log = 0;
  for (let l = 0; l < d; l++) {
    const along = (vector: ArrayLike<number>) => (axes ? dot(axes.subarray(l * d, (l + 1) * d), vector) : vector[l]);
    const [u, mu, variance] = [along(z), along(mean), variances[l]];
    const p = 2 - 1 / variance;
    if (p <= 0) return Infinity;
    const c = 2 * u - mu / variance;
    log += 0.5 * Math.log(variance / p) + (c * c) / (2 * p) + (mu * mu) / (2 * variance) - u * u;
  }
  return Math.exp(log);
}

/** Σ^½ ε = Σₗ σₗ (axesₗ·ε) axesₗ */
function stretch(noise: Float64Array, deviations: Float64Array, axes: Float64Array): Float64Array {
  const d = noise.length;
  const out = new Float64Array(d);
  for (let l = 0; l < d; l++) {
    const axis = axes.subarray(l * d, (l + 1) * d);
    const weight = deviations[l] * dot(axis, noise);
    for (let i = 0; i < d; i++) out[i] += weight * axis[i];
  }
  return out;
}

function dot(a: Float64Array, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const square = (a: Float64Array) => dot(a, a);
