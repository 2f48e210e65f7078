/** Leading eigenvectors against matrices made of known ones. */
import { describe, expect, it } from 'vitest';
import { leadingEigen } from '../../../src/calibrate/heal/leading-eigen.js';
import { gaussians } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';

/** Σ_l λ_l q_l q_lᵀ, q_l by Gram and Schmidt of N(0,1) rows. */
function matrixOf(eigenvalues: readonly number[], d: number): { matrix: Float64Array; vectors: Float64Array[] } {
  const normal = gaussians(5);
  const vectors: Float64Array[] = [];
  const product = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  for (const _ of eigenvalues) {
    let row = Float64Array.from({ length: d }, () => normal());
    for (let twice = 0; twice < 2; twice++)
      for (const q of vectors) {
        const overlap = product(row, q);
        row = row.map((x, i) => x - overlap * q[i]);
      }
    const length = Math.sqrt(product(row, row));
    vectors.push(row.map((x) => x / length));
  }
  const matrix = new Float64Array(d * d);
  for (const [l, q] of vectors.entries())
    for (let at = 0; at < d * d; at++) matrix[at] += eigenvalues[l] * q[Math.floor(at / d)] * q[at % d];
  return { matrix, vectors };
}

describe('leading eigenvectors', () => {
  it.each([
    ['a part of the directions', 60, 5],
    ['all of them', 12, 12],
    ['more than there are', 12, 30],
  ])('are those the matrix was made of: %s', (_, d, count) => {
    const eigenvalues = Array.from({ length: d }, (_, l) => 3 * 0.5 ** l);
    const { matrix, vectors } = matrixOf(eigenvalues, d);
    const got = leadingEigen(matrix, d, count);
    expect(got.values).toHaveLength(Math.min(count, d));
    close(got.values, eigenvalues.slice(0, count), 1e-9);
    expectMutantFails(() =>
      close(
        got.values,
        eigenvalues.slice(0, count).map((x) => 1.001 * x),
        1e-9,
      ),
    );
    for (const [l, q] of vectors.slice(0, count).entries()) {
      const overlap = Math.abs(q.reduce((sum, x, i) => sum + x * got.vectors[l * d + i], 0));
      expect(overlap).toBeGreaterThan(1 - 1e-9);
    }
    const other = vectors[1].reduce((sum, x, i) => sum + x * got.vectors[i], 0);
    expect(Math.abs(other)).toBeLessThan(1e-6);
  });

  it('of less than was asked for are followed by zeros, not by NaN', () => {
    const { matrix } = matrixOf([2, 1], 40);
    const { values, vectors } = leadingEigen(matrix, 40, 6);
    close(values.subarray(0, 2), [2, 1], 1e-9);
    expect(Math.max(...values.subarray(2).map(Math.abs))).toBeLessThan(1e-9);
    expect([...vectors].every(Number.isFinite)).toBe(true);
  });
});
