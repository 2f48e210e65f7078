/**
 * Hyperbolic positive features: FAVOR+ in antithetic pairs (Choromanski et al. 2021, Lemma 1, the cosh form):
 *   φ(x) = [exp(μ·x ± ε·x − |x|²/2 + b±)],  ε ~ N(0, I),  M/2 pairs ω = μ ± ε
 * The two estimates of a pair are negatively correlated: R of a pair is cosh(|z − μ|²), z = x + y, so that at an equal
 * count of features the variance is (1 − exp(−|z − μ|²)) of FAVOR+'s. Never worse; the gain is gone once |z − μ|² > 3.
 * Pairs lie about μ = E[z] where moments give one (METHODS 0.2), else about 0.
 * METHODS: read in code, derived and numerically checked. Verified here: unbiased, R and error (oracles.json).
 *
 * Shapes: row 2r of Ω holds μ + ε, row 2r + 1 holds μ − ε; an odd M leaves the last row alone, still unbiased.
 * Numerics: gaussian-proposal.ts. Cost: as there, 4HM(D + 1) bytes, with half the random draws; an implementation that knows of the pairs
 * saves half of the projection, MD flops a row, which the shared operator does not.
 */
import type { FeatureConstants } from './favor-plus.js';
import { checkCount, type Sampler } from './gaussian.js';
import { proposalFeatures, stored } from './gaussian-proposal.js';
import type { CalibratedOptions } from './moments.js';
import { orthogonalGaussian } from './orf.js';
import { shiftedProposal } from './shift.js';

/** @throws PerformersError PF202 for a count below 1, a bad seed, or a mean that is not [H,D] and finite */
export function hyperbolic(options: CalibratedOptions): FeatureConstants {
  const sampler = antithetic(options.sampler ?? orthogonalGaussian);
  return stored(proposalFeatures({ ...options, sampler }, (head) => shiftedProposal(options, head)));
}

/** Follows every row of a sampler by its negative. Rows stay N(0, I), so that any map may use it. */
export function antithetic(sampler: Sampler): Sampler {
  return ({ m, d, seed }) => {
    checkCount('m', m);
    const half = sampler({ m: Math.ceil(m / 2), d, seed });
    return Float64Array.from({ length: m * d }, (_, i) => {
      const row = Math.floor(i / d);
      return (row % 2 === 0 ? 1 : -1) * half[(row >> 1) * d + (i % d)];
    });
  };
}
