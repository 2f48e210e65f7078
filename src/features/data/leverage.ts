/**
 * Leverage-weighted random Fourier features, LS-RFF (Li, Ton, Oglic and Sejdinovic 2019, "Towards a unified analysis of
 * random Fourier features", Algorithm 1): of a pool Z [n,2P] of features, scaled by P^−½, keep frequency r with
 *   qᵣ ∝ lᵣ = Σ of [ZᵀZ (ZᵀZ + nλI)⁻¹] on the diagonal, over its cosine and its sine,   aᵣ² = 1 / (m P qᵣ)
 * Σ lᵣ is the effective dimension of the data at ridge λ: that many features are worth having.
 *
 * Shapes    rows [n,d] → Ω [m,d], amplitudes [m]; a frequency may come more than once.
 * Numerics  given the pool E k̂ = Σ cos/P, so that k̂ is unbiased for the Gaussian kernel whatever the scores; they lower the
 *           error of the regression, not that of single kernel values. 1 − nλ [(ZᵀZ + nλI)⁻¹] loses digits once
 *           lᵣ < 1e-10, where the frequency is not drawn.
 * Cost      4nP² flops for ZᵀZ and 3P³ for the inverse, once; 8(2P)² + 16nP bytes meanwhile; then 8m(d + 1) bytes, and
 *           m(2d + 4) flops a row of x.
 * METHODS marks it as unverified. Verified here: the scores against their definition, unbiasedness with the exact
 * conditional variance. That the algorithm has this number is from memory.
 */
import { cholesky, inverseDiagonal } from '../cholesky.js';
import {
  checkScale,
  type DataOptions,
  drawPool,
  type Frequencies,
  importanceSample,
  type Pool,
} from './frequencies.js';

export interface LeverageOptions extends DataOptions {
  /** λ, the ridge of the regression to come over n. Default 1e-3. */
  readonly lambda?: number;
}

/** @throws PerformersError PF202 for a bad option, PF401 for bad rows, PF402 for a pool smaller than m */
export function leverage(options: LeverageOptions): Frequencies {
  const { lambda = 1e-3 } = options;
  checkScale('lambda', lambda);
  const pool = drawPool(options, 'rows');
  return importanceSample(pool, leverageScores(pool, lambda), options);
}

/** lᵣ of every frequency of a pool [P]. */
export function leverageScores({ size, cos, sin }: Pick<Pool, 'size' | 'cos' | 'sin'>, lambda: number): Float64Array {
  const n = cos.length / size;
  const width = 2 * size;
  const column = (c: number) =>
    c < size ? cos.subarray(c * n, (c + 1) * n) : sin.subarray((c - size) * n, (c - size + 1) * n);
  const a = new Float64Array(width * width);
  for (let c = 0; c < width; c++) {
    const left = column(c);
    for (let e = 0; e <= c; e++) {
      const right = column(e);
      let sum = 0;
      for (let i = 0; i < n; i++) sum += left[i] * right[i];
      a[c * width + e] = sum / size;
    }
    a[c * width + c] += n * lambda;
  }
  const inverse = inverseDiagonal(cholesky(a, width), width);
  return Float64Array.from({ length: size }, (_, r) => Math.max(0, 2 - n * lambda * (inverse[r] + inverse[size + r])));
}
