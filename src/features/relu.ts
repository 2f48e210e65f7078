/**
 * ReLU features, the generalised attention of Performers (Choromanski et al. 2021, section 2.2):
 *   φ(x)ᵣ = (f(ωᵣ·x) + ε) / √m,  f = relu unless given,  ε = 1e-3
 * Not an estimate of softmax. For ε = 0 its mean is half the arc-cosine kernel of degree 1 (Cho and Saul 2009, section 2)
 *   E[φ(x)·φ(y)] = |x||y| (sin θ + (π − θ) cos θ) / 2π,  θ the angle of x and y
 * and ε adds ε(|x| + |y|)/√2π + ε². A map to train with, cheap and stable; no theory for replacing softmax afterwards.
 * Public code leaves out 1/√m; a normaliser cancels it. Positive for ε > 0 and f ≥ 0.
 * METHODS A.4: read in code, mean numerically checked. Verified here: the mean with and without ε, its analytic variance.
 *
 * Shapes: x [N,d] → [N,m]. Numerics: none that float64 notices; φ grows as |x|.
 * Cost: N(2md + 3m) flops; 8md bytes of Ω (float64).
 */
import { PerformersError } from '../errors.js';
import { checkCount } from './gaussian.js';
import { orthogonalGaussian } from './orf.js';
import { project, type RowMap, type RowMapOptions, rowMap } from './row-map.js';

export interface ReluOptions extends RowMapOptions {
  /** Default relu. */
  readonly f?: (value: number) => number;
  /** ε ≥ 0, default 1e-3. */
  readonly epsilon?: number;
}

/** @throws PerformersError PF202 for m or d below 1, a bad seed, or ε that is negative or not finite */
export function relu(options: ReluOptions): RowMap {
  const { d, m, seed = 0, sampler = orthogonalGaussian, f = (value) => Math.max(0, value), epsilon = 1e-3 } = options;
  checkCount('m', m);
  if (!(epsilon >= 0 && epsilon < Infinity)) {
    throw new PerformersError('PF202', `epsilon must be finite and >= 0, got ${epsilon}`, {
      at: 'features.epsilon',
      mend: 'use epsilon = 0.001, or 0 for the arc-cosine kernel itself',
    });
  }
  const omega = sampler({ m, d, seed }); // [m,d]
  return rowMap(d, m, (row, into) => {
    for (let r = 0; r < m; r++) into[r] = (f(project(omega, row, r)) + epsilon) / Math.sqrt(m);
  });
}
