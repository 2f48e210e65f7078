/**
 * Signed circulant random features, SCRF (Feng, Hu and Liao 2015, "Random feature mapping with signed circulant matrix
 * projection"; the number of the equation was not at hand):
 *   B[r,c] = g[(c − r) mod d] ε[c],   g ~ N(0, I_d),   ε random signs
 *
 * Shapes    a block has d rows, for any d; blocks are independent, the last one is cut short.
 * Numerics  a row is a permutation of g with signs: N(0, I_d) exactly, so that estimates are unbiased. Rows of one
 *           block share one norm |g|, which costs accuracy: the error on the RBF kernel is above that of iid rows,
 *           measured 1.13 to 1.65 times at d = 4 … 16, and never below (the covariance of two rows is in p-model.ts).
 *           It buys speed only. The constants use no cos or sin and are the same bits everywhere; `circulantApply`
 *           goes through the FFT and agrees to rounding.
 * Cost      `circulantApply`: O(log p) flops a feature, about 10p log₂ p for each block of d with p = d for a power of
 *           two and else the least power of two ≥ 2d − 1, and 16p bytes of constants a block;
 *           dense: 2md flops, 8md bytes.
 * METHODS marks the form as seen in code; tests here verify the marginals and the product. Its claim that the variance
 * lies between iid and ORF is false on the RBF kernel: given the signs rows are jointly Gaussian, so that their cosines
 * are never negatively correlated; the tests find it above iid.
 */
import { convolver } from './fft.js';
import { checkCount, type Draw } from './gaussian.js';
import { gaussians, streamSeed, uniforms } from './rng.js';
import { type Apply, applyBlocks, type Block } from './structured.js';
import { paddedWidth, randomSigns } from './walsh-hadamard.js';

/** What one block is made of, both [d]. */
export interface CirculantBlock {
  readonly g: Float64Array;
  readonly signs: Float64Array;
}

/** g and ε of the block whose stream is `seed`. */
export function circulantBlock(d: number, seed: number): CirculantBlock {
  return {
    g: Float64Array.from({ length: d }, gaussians(streamSeed(seed, 1))),
    signs: randomSigns(d, uniforms(streamSeed(seed, 0))),
  };
}

export function signedCirculant({ m, d, seed }: Draw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  const omega = new Float64Array(m * d);
  for (let start = 0; start < m; start += d) {
    const { g, signs } = circulantBlock(d, streamSeed(seed, start / d));
    for (let r = 0; r < Math.min(d, m - start); r++) {
      for (let c = 0; c < d; c++) omega[(start + r) * d + c] = g[(c - r + d) % d] * signs[c];
    }
  }
  return omega;
}

/** The product with the Ω of `signedCirculant`, by FFT. */
export function circulantApply(draw: Draw): Apply {
  return applyBlocks(draw, (d, seed) => circulantProduct(circulantBlock(d, seed)));
}

/** y[r] = Σ_c h[r − c] ε[c] x[c] with h[k] = g[−k mod d]: a convolution, cyclic in p. */
export function circulantProduct({ g, signs }: CirculantBlock): Block {
  const d = g.length;
  const p = paddedWidth(d) === d ? d : paddedWidth(2 * d - 1);
  const hRe = new Float64Array(p);
  const hIm = new Float64Array(p);
  for (let k = 1 - d; k < d; k++) hRe[(k + p) % p] = g[(d - k) % d];
  const convolve = convolver(hRe, hIm);
  const re = new Float64Array(p);
  const im = new Float64Array(p);
  return {
    height: d,
    product: (x) => {
      re.fill(0);
      im.fill(0);
      for (let c = 0; c < d; c++) re[c] = x[c] * signs[c];
      convolve(re, im);
      return re.subarray(0, d);
    },
  };
}
