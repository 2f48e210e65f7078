/**
 * Surrogate leverage, SLS-RFF (Liu, Huang, Chen, Yang and Suykens 2020, arXiv 1911.09158): LS-RFF with the inverse
 * replaced by one that needs no solving, (yyᵀ + nI) / n²λ, which asks how well a feature is aligned with the labels,
 *   qᵣ ∝ (yᵀzᵣ)² + n|zᵣ|² = |Σᵢ yᵢ exp(iωᵣ·xᵢ)|² + n²,   aᵣ² = 1 / (m P qᵣ)
 * for zᵣ = exp(iωᵣ·x), the cosine and the sine together; λ cancels. With |yᵢ| ≤ 1 no frequency counts more than twice
 * another: the gain is bounded, and so is the harm of wrong labels.
 *
 * Shapes    rows [n,d], labels [n] → Ω [m,d], amplitudes [m]; a frequency may come more than once.
 * Numerics  unbiased for the Gaussian kernel given the pool and the labels, as LS-RFF is; nothing grows.
 * Cost      nP(2d + 6) flops, once; 16nP bytes meanwhile; then as LS-RFF.
 * METHODS marks it as unverified; public code of the authors drops the n². Verified here: the probabilities against their
 * definition, unbiasedness with the exact conditional variance. The number of the equation was not at hand.
 */
import {
  alignments,
  type DataOptions,
  drawPool,
  type Frequencies,
  importanceSample,
  type Pool,
} from './frequencies.js';

/** @throws PerformersError PF202 for a bad option, PF401, PF403 for bad rows or labels, PF402 for a pool smaller than m */
export function surrogateLeverage(options: DataOptions): Frequencies {
  const pool = drawPool(options, 'labels');
  return importanceSample(pool, surrogateScores(pool), options);
}

/** n²λ lᵣ of every frequency of a pool [P]. */
export function surrogateScores(pool: Pool): Float64Array {
  const n = pool.labels.length;
  return alignments(pool).map((value) => value + n * n);
}
