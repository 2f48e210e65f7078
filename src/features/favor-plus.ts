/**
 * FAVOR+: positive random features of the softmax kernel (Choromanski et al. 2021, Lemma 1; our M is their m):
 *   φ(x)ᵣ = exp(ωᵣ·x − |x|²/2 + bᵣ),  ω ~ N(0, I),  bᵣ = −½ ln M,  E[φ(x)·φ(y)] = exp(x·y)
 * for x = √scale·q and y = √scale·k. One feature has relative variance exp(|x + y|²) − 1, so that M features have the
 * relative error √((exp|x + y|² − 1) / M): fine for |x + y|² up to about 4, hopeless for most pre-trained heads.
 *
 * This file only makes the constants; attention/double-softmax.ts runs them, as it runs every positive map of the form
 * exp(ωᵣ·x − |x|²/2 + bᵣ). There the key side carries 2b for both sides. When bᵣ is one constant b for all r, as here,
 * 2b shifts every feature alike and cancels in the normaliser: a lowering may leave it out.
 *
 * Shapes    Ω [H,M,D], b [H,M]. Numerics: rounded to float32, as a model file holds them; the operator subtracts maxima.
 * Cost      that of the sampler to draw, 4HM(D + 1) bytes stored. The operator takes 2M(D + E) flops a query and as many a key,
 *           and holds 4M(E + 1) bytes a head.
 */
import { checkCount, type Sampler } from './gaussian.js';
import { orthogonalGaussian } from './orf.js';
import { streamSeed } from './rng.js';

export interface FeatureOptions {
  /** Query heads H. Every head draws its own Ω, so that heads do not err together. */
  readonly heads: number;
  /** Head width D. */
  readonly headDim: number;
  /** Features a head M. */
  readonly m: number;
  /** Default 0. The same seed gives the same constants everywhere. */
  readonly seed?: number;
  /** Default `orthogonalGaussian`. */
  readonly sampler?: Sampler;
}

/** What the double-softmax operator needs of a positive feature map; stored in the model file, hence float32. */
export interface FeatureConstants {
  readonly omega: Float32Array; // [H,M,D]
  readonly bias: Float32Array; // [H,M]
}

/** Makes the constants of one layer. */
export type FeatureMap = (options: FeatureOptions) => FeatureConstants;

/** @throws PerformersError PF202 for a count below 1 or a seed outside [0, 2³²) */
export function favorPlus(options: FeatureOptions): FeatureConstants {
  const { heads, headDim, m, seed = 0, sampler = orthogonalGaussian } = options;
  checkCount('heads', heads);
  checkCount('m', m);
  checkCount('d', headDim);
  const omega = new Float32Array(heads * m * headDim);
  for (let h = 0; h < heads; h++) {
    omega.set(sampler({ m, d: headDim, seed: streamSeed(seed, h) }), h * m * headDim);
  }
  return { omega, bias: new Float32Array(heads * m).fill(-0.5 * Math.log(m)) };
}
