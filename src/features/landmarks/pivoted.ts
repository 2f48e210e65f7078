/**
 * Pivoted Cholesky: landmarks one after another, each by the variance that those before it leave unexplained,
 *   resᵢ = k(xᵢ, xᵢ) − k(xᵢ, Z) K_ZZ⁻¹ k(Z, xᵢ)
 *   'greedy'       the row of the largest resᵢ: the greedy maximum of det K_ZZ (Chen, Zhang and Zhou 2018, Algorithm 1)
 *   'rp-cholesky'  a row drawn ∝ resᵢ (Chen, Epperly, Tropp and Webber 2022, arXiv 2207.06503, Algorithm 2.1): near to the
 *                  best approximation of rank m in trace norm
 * 'greedy' is deterministic and takes outliers first; 'rp-cholesky' is what to use where nothing else is known.
 *
 * Shapes    rows [n,d] → landmarks [m,d], distinct rows.
 * Numerics  resᵢ is updated by subtraction and held at ≥ 0; below 1e-12 of the trace all is explained, further landmarks
 *           change nothing and PF403 says so.
 * Cost      nm kernel values and nm² flops; 8nm bytes meanwhile: no n² anywhere.
 * Verified here: residuals against their definition, the law of the first two draws.
 */
import { PerformersError } from '../../errors.js';
import { rowsAt } from '../data/frequencies.js';
import { drawIndex } from '../draw-index.js';
import { uniforms } from '../rng.js';
import { candidates, gaussianKernel, type LandmarkChoice, type LandmarkOptions } from './choose.js';

export const greedy: LandmarkChoice = (options) =>
  chosen(options, (residual) => residual.indexOf(residual.reduce((most, value) => Math.max(most, value), 0)));

export const randomlyPivoted: LandmarkChoice = (options) => {
  const uniform = uniforms(options.seed ?? 0);
  return chosen(options, (residual) => drawIndex(residual, uniform()));
};

function chosen(options: LandmarkOptions, pick: (residual: Float64Array) => number): Float64Array {
  const { d, m, kernel = gaussianKernel } = options;
  const { n, all, row } = candidates(options);
  const diagonal = Float64Array.from({ length: n }, (_, i) => kernel(row(i), row(i)));
  const column = (i: number) => Float64Array.from({ length: n }, (_, j) => kernel(row(j), row(i)));
  return rowsAt(all, pivots(diagonal, column, m, pick), d);
}

/** m indices of a positive semi-definite matrix known by its diagonal [n] and its columns. @throws PerformersError PF403 */
export function pivots(
  diagonal: Float64Array,
  column: (i: number) => Float64Array,
  m: number,
  pick: (residual: Float64Array) => number,
): number[] {
  const residual = Float64Array.from(diagonal);
  const trace = residual.reduce((sum, value) => sum + value, 0);
  const factor: Float64Array[] = [];
  const taken: number[] = [];
  while (taken.length < m) {
    const pivot = pick(residual);
    if (!(residual[pivot] > 1e-12 * trace)) {
      throw new PerformersError('PF403', `${taken.length} landmarks explain all of the rows, m = ${m} were asked for`, {
        at: 'features.m',
        mend: `use m = ${Math.max(1, taken.length)}, or rows that differ more by the kernel's measure`,
      });
    }
    const next = column(pivot);
    for (const earlier of factor) {
      const weight = earlier[pivot];
      for (let j = 0; j < next.length; j++) next[j] -= weight * earlier[j];
    }
    const scale = 1 / Math.sqrt(residual[pivot]);
    for (let j = 0; j < next.length; j++) {
      next[j] *= scale;
      residual[j] = Math.max(0, residual[j] - next[j] * next[j]);
    }
    residual[pivot] = 0;
    factor.push(next);
    taken.push(pivot);
  }
  return taken;
}
