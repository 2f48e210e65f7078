/**
 * Hybrid random features with the angular weight, HRF (Choromanski et al. 2022, arXiv 2110.04367, section 2.4): trigonometric
 * features where x and y point alike, hyperbolic ones where they are opposed,
 *   K̂ = λ̂ K̂_hyp + (1 − λ̂) K̂_trig,   λ̂ = ½ − 1/2n Σₜ sgn(τₜ·x) sgn(τₜ·y),   E λ̂ = θ_xy/π,   τ, Ω_hyp, Ω_trig independent
 * As products: ½K̂_hyp + ½K̂_trig ∓ 1/2n Σₜ (sgn τₜ·x φ(x))·(sgn τₜ·y φ(y)), of which the minus sign of the hyperbolic part is
 * carried by the keys. Unbiased for exp(x·y); at θ = 0 the trigonometric estimate is exact, at θ = π the hyperbolic one for
 * |x| = |y|. (A public notebook of the authors has the two weights swapped; METHODS A.14.)
 *
 * Shapes    x [N,d] → [N,(n + 1) m]: hyperbolic m/2 and trigonometric m/2 channels, then both again for every τ. 4 | m.
 * Numerics  features are signed and so may be the sum of weights: normalisers need a guard. exp(|x|²/2) is refused where it
 *           overflows. At an equal number of channels n + 1 times more frequencies of one kind do better unless angles are
 *           extreme.
 * Cost      (m/2 + n)·2d + (n + 1)m flops and m exponentials, sines or cosines a row; 8d(m/2 + n) bytes (float64).
 * METHODS: read in code and checked numerically. Verified here: unbiased with the exact variance, and by it the weights.
 */
import { PerformersError } from '../errors.js';
import { checkCount, iidGaussian } from './gaussian.js';
import { orthogonalGaussian } from './orf.js';
import { streamSeed } from './rng.js';
import { finiteExp, type PairMap, project, type RowMapOptions, rowMap, square } from './row-map.js';

export interface HybridOptions extends RowMapOptions {
  /** n, the sign projections that estimate the angle. Default 8. */
  readonly angles?: number;
}

/** @throws PerformersError PF202 for an m that 4 does not divide, d or angles below 1, or a bad seed */
export function hrf({ d, m, angles = 8, seed = 0, sampler = orthogonalGaussian }: HybridOptions): PairMap {
  checkCount('m', m);
  checkCount('angles', angles);
  if (m % 4 !== 0) {
    throw new PerformersError(
      'PF202',
      `m must be a multiple of 4, two channels for each of m/4 + m/4 draws, got ${m}`,
      {
        at: 'features.m',
        mend: `use m = ${4 * Math.ceil(m / 4)}`,
      },
    );
  }
  const n = m / 4;
  const hyperbolic = sampler({ m: n, d, seed: streamSeed(seed, 0) });
  const trigonometric = sampler({ m: n, d, seed: streamSeed(seed, 1) });
  const tau = iidGaussian({ m: angles, d, seed: streamSeed(seed, 2) });
  const side = (sign: 1 | -1) =>
    rowMap(d, (angles + 1) * m, (row, into) => {
      const half = square(row) / 2;
      const size = finiteExp(half, '|x|²/2') / Math.sqrt(2 * n);
      for (let r = 0; r < n; r++) {
        const along = project(hyperbolic, row, r);
        into[r] = Math.exp(along - half) / Math.sqrt(4 * n);
        into[n + r] = Math.exp(-along - half) / Math.sqrt(4 * n);
        const angle = project(trigonometric, row, r);
        into[2 * n + r] = size * Math.cos(angle);
        into[3 * n + r] = size * Math.sin(angle);
      }
      for (let t = 0; t < angles; t++) {
        const weight = (project(tau, row, t) < 0 ? -1 : 1) / Math.sqrt(angles);
        const block = into.subarray((t + 1) * m, (t + 2) * m);
        for (let c = 0; c < m; c++) block[c] = weight * (c < m / 2 ? sign : 1) * into[c];
      }
    });
  const query = side(1);
  return { d, features: query.features, query: query.phi, key: side(-1).phi };
}
