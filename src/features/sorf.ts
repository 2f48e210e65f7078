/**
 * Structured orthogonal random features (Yu et al. 2016, arXiv 1610.09072), with norms restored:
 *   B = diag(ρ) · Ĥ D₃ Ĥ D₂ Ĥ D₁,   Ĥ = H / √p,   Dₖ random signs,   ρ independent χ(p)
 * The paper has √d for ρ. With χ(p) the norms of p wide rows are those of Gaussian ones, as in ORF.
 *
 * Shapes    d is padded to p, the least power of two ≥ d, with zeros in x: Ω keeps the first d columns of each block.
 *           A block has p rows; blocks are independent, the last one is cut short.
 * Numerics  E ωωᵀ = I exactly; rows of a block are orthogonal when d = p, not when d was padded. Rows are *not*
 *           exactly Gaussian, and the RBF kernel comes out biased at small p: measured for |x − y|² = 2 (kernel .368)
 *           and x − y along an axis, −.051 at p = 4, −.003 at p = 16, and no more than sampling noise, .002, at p = 64.
 *           Use ORF below p = 64. Only + − × ÷ √, so that the constants are the same bits everywhere.
 * Cost      `sorfApply`: 3m log₂ p + 5m flops a row of x and 32m bytes of constants (three signs and a norm a row);
 *           dense: 2md flops and 8md bytes. Dense wins where d is small or the matmul is on a GPU.
 * METHODS marks the form as seen in code; tests here verify the covariance, the product, and the bias at p = 64.
 * The number of the equation in the paper was not at hand.
 */
import type { Draw } from './gaussian.js';
import { gaussians, streamSeed, uniforms } from './rng.js';
import { type Apply, applyBlocks, type Block, chi, writeOut } from './structured.js';
import { paddedWidth, randomSigns, walshHadamard } from './walsh-hadamard.js';

/** What one block is made of: D₁ D₂ D₃ and ρ, all [p]. */
export interface SorfBlock {
  readonly signs: readonly Float64Array[];
  readonly norms: Float64Array;
}

/** The constants of the block whose stream is `seed`, for x of width d. */
export function sorfBlock(d: number, seed: number): SorfBlock {
  const p = paddedWidth(d);
  const uniform = uniforms(streamSeed(seed, 0));
  const normal = gaussians(streamSeed(seed, 1));
  return {
    signs: Array.from({ length: 3 }, () => randomSigns(p, uniform)),
    norms: Float64Array.from({ length: p }, () => chi(p, normal)),
  };
}

/** The product with the Ω of `structuredOrthogonal`, without writing Ω out. */
export function sorfApply(draw: Draw): Apply {
  return applyBlocks(draw, sorfProduct);
}

export function structuredOrthogonal(draw: Draw): Float64Array {
  return writeOut(draw, sorfApply(draw));
}

function sorfProduct(d: number, seed: number): Block {
  const { signs, norms } = sorfBlock(d, seed);
  const p = norms.length;
  const scale = 1 / (p * Math.sqrt(p));
  const y = new Float64Array(p);
  return {
    height: p,
    product: (x) => {
      y.fill(0);
      y.set(x);
      for (const sign of signs) {
        for (let i = 0; i < p; i++) y[i] *= sign[i];
        walshHadamard(y);
      }
      for (let i = 0; i < p; i++) y[i] *= norms[i] * scale;
      return y;
    },
  };
}
