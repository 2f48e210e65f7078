/**
 * OPRF, the positive branch of FAVOR++ (Likhosherstov et al. 2022, "Chefs' Random Tables", GERF with optimal A):
 *   φ(x)ᵣ = M^−½ D exp(A|ωᵣ|² + B ωᵣ·x − |x|²/2),  ω ~ N(0, I),  B = √(1 − 4A),  D = (1 − 4A)^{d/4},  A ≤ 0
 * which is a proposal N(0, (1 − 4A)I) with rows Bω (METHODS 0.1, A.5). With φ = 1 − 8A and t = E|z|²,
 *   R = ((1 + φ)/2)^d φ^{−d/2} exp(|z|²/φ),  least at φ = (d + 2t + √((d + 2t)² + 8dt)) / 2d
 * where |z|² is replaced by its mean t. Here t is the trace of `moments.second`, about `moments.mean` where one is given.
 * METHODS: read in code (its official form too), derived and numerically checked; the equation number is not known to us.
 * Verified here: A, B, D and R to 1e-12 (oracles.json), optimality, unbiased, error.
 *
 * The optimum is that of an unbiased estimate. For M ≪ R, the usual case, its wide proposal makes normalised attention
 * worse than FAVOR+ (METHODS A.5): use tau < 1 there, chosen on calibration data.
 * Shapes, numerics and cost: those of FAVOR+, 2HMD flops to make the constants, 4HM(D + 1) bytes (gaussian-proposal.ts). Without moments t = 0 and A = 0, which is FAVOR+.
 */
import { PerformersError } from '../errors.js';
import type { FeatureConstants } from './favor-plus.js';
import { checkCount } from './gaussian.js';
import { type Proposal, proposalFeatures, stored } from './gaussian-proposal.js';
import { type CalibratedOptions, energies, momentsOf } from './moments.js';

export interface WidenedOptions extends CalibratedOptions {
  /** A is replaced by tau·A, 0 ≤ tau ≤ 1. Default 1; 0 is the shift alone. */
  readonly tau?: number;
}

/** @throws PerformersError PF202 for a count below 1, a bad seed, tau outside [0, 1], or moments of a wrong shape */
export function oprf(options: WidenedOptions): FeatureConstants {
  return stored(proposalFeatures(options, (head) => oprfProposal(options, head)));
}

export function oprfProposal(options: WidenedOptions, head: number): Proposal {
  const { headDim: d, moments, tau = 1 } = options;
  checkTau(tau);
  const mean = momentsOf('mean', moments?.mean, d, options, head);
  const second = momentsOf('second', moments?.second, d * d, options, head);
  const t = energies(second, d, 'second').values.reduce((sum, energy) => sum + energy, 0);
  return { mean, variances: new Float64Array(d).fill(1 - 4 * tau * optimalA(t, d)) };
}

/** The A ≤ 0 of least R for d directions that share the energy t = E|z|². */
export function optimalA(t: number, d: number): number {
  checkCount('d', d);
  if (!(t >= 0 && t < Infinity)) {
    throw new PerformersError('PF202', `t = E|z|² must be finite and >= 0, got ${t}`, {
      at: 'features.t',
      mend: 'pass the mean of |x + y|² over calibration pairs',
    });
  }
  // 1 − φ, with the root rationalised: exact for small t, where the plain form cancels.
  const b = d + 2 * t;
  const root = Math.sqrt(b * b + 8 * d * t);
  const excess = (2 * t + (4 * t * t + 12 * d * t) / (root + d)) / (2 * d);
  return -excess / 8;
}

/** @throws PerformersError PF202 unless 0 ≤ tau ≤ 1 */
export function checkTau(tau: number): void {
  if (tau >= 0 && tau <= 1) return;
  throw new PerformersError('PF202', `tau must be in [0, 1], got ${tau}`, {
    at: 'features.tau',
    mend: 'use tau = 1 for the optimum of the kernel estimate, or less where attention errs',
  });
}
