/**
 * Volume sampling: m landmarks with probability ∝ det K_ZZ, a determinantal point process of fixed size (Kulesza and
 * Taskar 2011, "k-DPPs", Algorithm 1). With K = Σₗ λₗ vₗvₗᵀ and eₘ the elementary symmetric polynomial,
 *   P(Z) = det K_ZZ / eₘ(λ₁ … λₙ):
 * first a set of m eigenvectors, from the last to the first with probability λₗ eₖ₋₁(λ₁ … λₗ₋₁) / eₖ(λ₁ … λₗ), then m rows of
 * the projection on them, by pivoted Cholesky, whose pivots drawn ∝ the residual are exactly its law.
 * Such landmarks err by at most (m + 1) times the best approximation of rank m, in expectation and trace norm (Belabbas and
 * Wolfe 2009, Theorem 1).
 *
 * Shapes    rows [n,d] → landmarks [m,d], distinct rows.
 * Numerics  only quotients eₖ/eₖ₋₁ are formed, so that nothing overflows.
 *           Fewer than m λ above 1e-12 λ₁ is PF403: there is no volume.
 * Cost      n² kernel values, an eigen-decomposition [n,n] of about 50n³ flops and 16n² bytes: for n up to some hundreds.
 *           'rp-cholesky' draws from nearly as good a law in nm² flops.
 * Verified here: the probability of every pair of five rows, by its definition.
 */
import { PerformersError } from '../../errors.js';
import { rowsAt } from '../data/frequencies.js';
import { drawIndex } from '../draw-index.js';
import { uniforms } from '../rng.js';
import { symmetricEigen } from '../symmetric-eigen.js';
import { candidates, gaussianKernel, type LandmarkChoice } from './choose.js';
import { pivots } from './pivoted.js';

export const volumeSampled: LandmarkChoice = (options) => {
  const { d, m, kernel = gaussianKernel, seed = 0 } = options;
  const { n, all, row } = candidates(options);
  const k = Float64Array.from({ length: n * n }, (_, at) => kernel(row(Math.floor(at / n)), row(at % n)));
  const { values, vectors } = symmetricEigen(k, n, 'kernel');
  const rank = values.filter((value) => value > 1e-12 * values[0]).length;
  if (rank < m) {
    throw new PerformersError(
      'PF403',
      `the kernel matrix of the rows has rank ${rank}, which spans no volume of m = ${m}`,
      {
        at: 'features.m',
        mend: `use m = ${Math.max(1, rank)} or less, or rows that differ more by the kernel's measure`,
      },
    );
  }
  const uniform = uniforms(seed);
  const kept = chooseEigenvectors(values.subarray(0, rank), m, uniform);
  const projection = (i: number, j: number) =>
    kept.reduce((sum, l) => sum + vectors[l * n + i] * vectors[l * n + j], 0);
  const diagonal = Float64Array.from({ length: n }, (_, i) => projection(i, i));
  const column = (i: number) => Float64Array.from({ length: n }, (_, j) => projection(j, i));
  return rowsAt(
    all,
    pivots(diagonal, column, m, (residual) => drawIndex(residual, uniform())),
    d,
  );
};

function chooseEigenvectors(values: Float64Array, m: number, uniform: () => number): number[] {
  const n = values.length;
  // ratios[l][k]: of eₖ over the first l values, the share that has the lth. With rₖ = eₖ / eₖ₋₁ of the first l − 1 it is
  // λₗ / (rₖ + λₗ), and all of it where those are fewer than k: no product of eigenvalues is ever formed.
  const ratios: Float64Array[] = [new Float64Array(m + 1)];
  const quotient = new Float64Array(m + 1); // rₖ
  for (let l = 1; l <= n; l++) {
    const share = new Float64Array(m + 1);
    for (let k = Math.min(l, m); k >= 1; k--) {
      const value = values[l - 1];
      const sum = quotient[k] + value;
      share[k] = value / sum;
      // eₖ grows by the factor sum/rₖ and eₖ₋₁ by (rₖ₋₁ + λ)/rₖ₋₁, e₀ not at all.
      quotient[k] = k === 1 ? sum : (sum * quotient[k - 1]) / (quotient[k - 1] + value);
    }
    ratios.push(share);
  }
  const kept: number[] = [];
  for (let l = n; l >= 1 && kept.length < m; l--) {
    const left = m - kept.length;
    if (uniform() < ratios[l][left]) kept.push(l - 1);
  }
  return kept;
}
