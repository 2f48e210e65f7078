/**
 * Energy-based exploration of random features, EERF (Shahrampour, Beirami and Tarokh 2018, arXiv 1712.07102): keep the m
 * frequencies of the pool with the largest empirical score
 *   S(ω) = |1/n Σᵢ yᵢ exp(iω·xᵢ)|
 * The limit of alignment for a large ball, without its draw. For a linear model on top, which finds its own weights.
 *
 * Shapes    rows [n,d], labels [n] → Ω [m,d] by falling score, amplitudes m^−½. Ties go to the earlier row of the pool.
 * Numerics  deterministic given the pool. k̂ estimates no fixed kernel: what is kept is what the labels ask for.
 * Cost      nP(2d + 6) + P log P flops, once; 16nP bytes meanwhile; then 8m(d + 1) bytes, m(2d + 4) flops a row of x.
 * METHODS marks it as unverified: the paper has cos(ω·x + b), here the cosine and the sine count together, which is the same
 * without the phase b. Verified here: the choice against scores worked out naively.
 */
import { alignments, type DataOptions, drawPool, type Frequencies, rowsAt } from './frequencies.js';

/** @throws PerformersError PF202 for a bad option, PF401, PF403 for bad rows or labels, PF402 for a pool smaller than m */
export function energyBased(options: DataOptions): Frequencies {
  const { d, m } = options;
  const pool = drawPool(options, 'labels');
  const scores = alignments(pool);
  const best = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
  return {
    omega: rowsAt(pool.omega, best.slice(0, m), d),
    amplitude: new Float64Array(m).fill(1 / Math.sqrt(m)),
  };
}
