/**
 * SDERF, the symmetric dense-exponential features of FAVOR# (Likhosherstov et al. 2023, arXiv 2302.00787):
 *   φ(x)ᵣ = M^−½ det(I − 4A)^¼ exp(ωᵣᵀAωᵣ + ωᵣᵀ(I − 4A)^½ x − |x|²/2),  ω ~ N(0, I),  A symmetric
 * which is a proposal N(μ, Σ), Σ = I − 4A (METHODS 0.1, A.6). With E[(z − μ)(z − μ)ᵀ] = Σₗ tₗ qₗqₗᵀ the best A has the same
 * axes and, direction by direction, OPRF's A for d = 1:
 *   φₗ = ½(1 + 2tₗ + √((1 + 2tₗ)² + 8tₗ)),  aₗ = (1 − φₗ)/8,  σₗ² = (1 + φₗ)/2,
 *   R = Πₗ (1 + φₗ)/2 φₗ^−½ exp(zₗ²/φₗ)
 * A direction without energy costs nothing, one with a large t a factor 1.2√t: all depends on the effective rank.
 * METHODS: derived and numerically checked; no public code to compare with, the paper's equation number is not known to us.
 * Verified here: σ² and R of one oblique direction (oracles.json), unbiased, error.
 *
 * As for OPRF the optimum is that of the kernel estimate, and tau < 1 narrows it. Without moments this is FAVOR+.
 * Shapes and numerics: gaussian-proposal.ts. Cost: as there, 4HMD² flops and 4HM(D + 1) bytes, with one eigen-decomposition
 * [D,D] a head.
 */
import type { FeatureConstants } from './favor-plus.js';
import { type Proposal, proposalFeatures, stored } from './gaussian-proposal.js';
import { energies, momentsOf } from './moments.js';
import { checkTau, optimalA, type WidenedOptions } from './oprf.js';

/** @throws PerformersError PF202 for a count below 1, a bad seed, tau outside [0, 1], or moments of a wrong shape */
export function sderf(options: WidenedOptions): FeatureConstants {
  return stored(proposalFeatures(options, (head) => sderfProposal(options, head)));
}

export function sderfProposal(options: WidenedOptions, head: number): Proposal {
  const { headDim: d, moments, tau = 1 } = options;
  checkTau(tau);
  const mean = momentsOf('mean', moments?.mean, d, options, head);
  const second = momentsOf('second', moments?.second, d * d, options, head);
  const { values, vectors } = energies(second, d, 'second');
  return { mean, variances: values.map((t) => 1 - 4 * tau * optimalA(t, 1)), axes: vectors };
}
