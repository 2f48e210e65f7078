/**
 * P-model features with a budget of randomness (Choromanski and Sindhwani 2016, arXiv 1605.09049): every row of a block
 * is gᵀPᵢ for one budget g ~ N(0, I_t) and fixed Pᵢ [t,d] of orthonormal columns. Here the Pᵢ are those of a sum of
 * `rank` signed circulants, the low displacement rank of the paper with diagonal signs for its second factor:
 *   B = rank^−½ Σₖ C(gₖ) diag(εₖ),   C(g)[r,c] = g[(c − r) mod d],   t = rank · d
 * rank = 1 is `circulant`, and the rows draw near to independent ones as rank grows.
 *
 * Shapes    a block has d rows, for any d; blocks are independent, the last one is cut short.
 * Numerics  PᵢᵀPᵢ = I: every row is N(0, I_d) exactly and estimates are unbiased. Given ε two rows at distance s are
 *           jointly Gaussian with covariance c = Σₖ Σⱼ εₖ[j] εₖ[j+s] xⱼ xⱼ₊ₛ / rank along x, whence on the RBF kernel
 *             cov(cos ωᵣ·x, cos ωᵣ₊ₛ·x) = exp(−|x|²) (E cosh c − 1) ≥ 0,   about exp(−|x|²) E c² / 2 ~ 1 / rank:
 *           never below iid rows, and this is circulant's own law at rank = 1. It buys speed and memory only.
 *           The constants are the same bits everywhere; `pModelApply` goes through the FFT and agrees to rounding.
 * Cost      `pModelApply`: rank times that of `circulant`, O(rank · log p) flops a feature and 16 p · rank bytes a block;
 *           dense: 2md flops, 8md bytes.
 * METHODS marks the P-model as unverified. Derived here: orthonormal columns and the covariance above; tests verify the
 * marginals, the product and the variance by that covariance. The number of the equation in the paper was not at hand.
 */
import { circulantBlock, circulantProduct } from './circulant.js';
import { checkCount, type Draw } from './gaussian.js';
import { streamSeed } from './rng.js';
import { type Apply, applyBlocks, type Block } from './structured.js';

export interface BudgetedDraw extends Draw {
  /** Signed circulants summed in a block; the budget of a block is rank · d Gaussians. Default 4. */
  readonly rank?: number;
}

const RANK = 4;

/** @throws PerformersError PF202 for m, d or rank below 1, or a bad seed */
export function budgeted({ m, d, seed, rank = RANK }: BudgetedDraw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  checkCount('rank', rank);
  const omega = new Float64Array(m * d);
  for (let start = 0; start < m; start += d) {
    for (const { g, signs } of budget(d, streamSeed(seed, start / d), rank)) {
      for (let r = 0; r < Math.min(d, m - start); r++) {
        for (let c = 0; c < d; c++) {
          omega[(start + r) * d + c] += (g[(c - r + d) % d] * signs[c]) / Math.sqrt(rank);
        }
      }
    }
  }
  return omega;
}

/** The product with the Ω of `budgeted`, by FFT. */
export function pModelApply({ rank = RANK, ...draw }: BudgetedDraw): Apply {
  checkCount('rank', rank);
  return applyBlocks(draw, (d, seed) => summed(d, budget(d, seed, rank).map(circulantProduct)));
}

/** gₖ and εₖ of the block whose stream is `seed`. */
function budget(d: number, seed: number, rank: number) {
  return Array.from({ length: rank }, (_, k) => circulantBlock(d, streamSeed(seed, k)));
}

function summed(d: number, terms: readonly Block[]): Block {
  const y = new Float64Array(d);
  return {
    height: d,
    product: (x) => {
      y.fill(0);
      for (const { product } of terms) {
        const term = product(x);
        for (let r = 0; r < d; r++) y[r] += term[r];
      }
      for (let r = 0; r < d; r++) y[r] /= Math.sqrt(terms.length);
      return y;
    },
  };
}
