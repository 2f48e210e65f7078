/**
 * What calibration tells a feature map of the pairs z = x + y that a head meets, x = √scale·q, y = √scale·k. All averages
 * are over pairs: uniform ones (then E[z] = E[x] + E[y], cov z = cov x + cov y) or weighted by attention.
 * Moments change the variance of an estimate, never its mean: wrong ones cost accuracy, not correctness.
 */
import { PerformersError } from '../errors.js';
import type { FeatureOptions } from './favor-plus.js';
import { checkCount } from './gaussian.js';
import { type Eigen, symmetricEigen } from './symmetric-eigen.js';

export interface PairMoments {
  /** μ = E[z]. Default 0. */
  readonly mean?: ArrayLike<number>; // [H,D]
  /** E[(z − μ)(z − μ)ᵀ]. Default 0: no energy, for which the best proposal is N(μ, I). */
  readonly second?: ArrayLike<number>; // [H,D,D]
}

export interface CalibratedOptions extends FeatureOptions {
  readonly moments?: PairMoments;
}

/** Part `head` of moments `values` [H,…size], zeros when there are none. @throws PerformersError PF202 */
export function momentsOf(
  name: string,
  values: ArrayLike<number> | undefined,
  size: number,
  { heads, headDim }: FeatureOptions,
  head: number,
): Float64Array {
  checkCount('heads', heads);
  checkCount('d', headDim);
  const at = `features.moments.${name}`;
  if (values === undefined) return new Float64Array(size);
  if (values.length !== heads * size) {
    throw new PerformersError('PF202', `moments.${name} must have ${heads} x ${size} numbers, got ${values.length}`, {
      at,
      mend: `pass moments of ${heads} heads of width ${headDim}, as in this layer`,
    });
  }
  return Float64Array.from({ length: size }, (_, i) => {
    const value = values[head * size + i];
    if (Number.isFinite(value)) return value;
    throw new PerformersError('PF202', `moments.${name}[${head * size + i}] must be finite, got ${value}`, {
      at,
      mend: 'drop samples that are NaN or infinite before averaging',
    });
  });
}

/** Principal axes and energies ≥ 0 of a second moment [d,d]. @throws PerformersError PF202 if one is negative */
export function energies(second: Float64Array, d: number, name: string): Eigen {
  const { values, vectors } = symmetricEigen(second, d, `moments.${name}`);
  const lowest = values[d - 1];
  // A sum of squares has no negative direction beyond rounding.
  if (lowest < -1e-9 * Math.abs(values[0])) {
    throw new PerformersError('PF202', `moments.${name} must be positive semi-definite, got the eigenvalue ${lowest}`, {
      at: `features.moments.${name}`,
      mend: 'pass the mean of outer products, E[zzᵀ]',
    });
  }
  return { values: values.map((value) => Math.max(0, value)), vectors };
}
