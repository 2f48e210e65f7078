/**
 * Centred positive features (METHODS 0.2): ω ~ N(μ, I), in place of FAVOR+'s N(0, I). For any c, e with c + e = μ
 *   exp(x·y) = exp((x − c)·(y − e)) exp(c·y) exp(e·x) exp(−c·e)
 * so that this is FAVOR+ on centred queries and keys, and R = exp(|z − μ|²) instead of exp(|z|²), z = x + y. The best μ
 * is E[z]. Key projections of trained heads have a large mean, and to remove it costs nothing at run time.
 * METHODS: derived and numerically checked. Verified here: unbiased, R and the error at μ = z/2 (oracles.json).
 *
 * Shapes, numerics and cost: those of FAVOR+, 2HMD flops to make the constants, 4HM(D + 1) bytes (gaussian-proposal.ts).
 * Without moments μ = 0, and this is FAVOR+. The shift of keys alone is that of K-smoothing (Zhang et al. 2024, SageAttention).
 */
import type { FeatureConstants } from './favor-plus.js';
import { type Proposal, proposalFeatures, stored } from './gaussian-proposal.js';
import { type CalibratedOptions, momentsOf } from './moments.js';

/** @throws PerformersError PF202 for a count below 1, a bad seed, or a mean that is not [H,D] and finite */
export function shifted(options: CalibratedOptions): FeatureConstants {
  return stored(proposalFeatures(options, (head) => shiftedProposal(options, head)));
}

export function shiftedProposal(options: CalibratedOptions, head: number): Proposal {
  const { headDim, moments } = options;
  const mean = momentsOf('mean', moments?.mean, headDim, options, head);
  return { mean, variances: new Float64Array(headDim).fill(1) };
}
