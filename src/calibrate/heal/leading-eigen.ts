/**
 * The largest eigenvalues of a positive semidefinite matrix A [d,d], and their vectors, by subspace iteration from a random
 * start (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.3): Q ← orth(A Q), then A in that subspace by Jacobi rotations.
 * An eigenvalue of rank l is right to (λ_{p+1}/λ_l)^(2·rounds), p the width of the subspace: exact where p = d. Cost: rounds · d²p flops.
 */
import { gaussians } from '../../features/rng.js';
import { type Eigen, symmetricEigen } from '../../features/symmetric-eigen.js';

const rounds = 3;
/** Directions beside those asked for: what is asked for last converges by the gap to them. */
const spare = 8;

/** values [count], falling; vectors [count,d], row l the unit vector of values[l]; count is d at most. */
export function leadingEigen(matrix: Float64Array, d: number, count: number): Eigen {
  const p = Math.min(d, count + spare);
  if (p === d) {
    const { values, vectors } = symmetricEigen(matrix, d);
    return { values: values.slice(0, count), vectors: vectors.slice(0, Math.min(count, d) * d) };
  }
  const normal = gaussians(d);
  let basis = orthonormal(
    Float64Array.from({ length: p * d }, () => normal()),
    p,
    d,
  );
  for (let round = 0; round < rounds; round++) basis = orthonormal(timesRows(matrix, basis, p, d), p, d);
  const image = timesRows(matrix, basis, p, d);
  const small = new Float64Array(p * p);
  for (let a = 0; a < p; a++)
    for (let b = 0; b <= a; b++) small[a * p + b] = small[b * p + a] = dot(basis, a, image, b, d);
  const { values, vectors } = symmetricEigen(small, p);
  const turned = new Float64Array(count * d);
  for (let l = 0; l < count; l++)
    for (let a = 0; a < p; a++) {
      const weight = vectors[l * p + a];
      for (let i = 0; i < d; i++) turned[l * d + i] += weight * basis[a * d + i];
    }
  return { values: values.slice(0, count), vectors: turned };
}

/** Rows [p,d] made orthonormal, by Gram and Schmidt twice; a row that the others span becomes 0. */
function orthonormal(rows: Float64Array, p: number, d: number): Float64Array {
  for (let a = 0; a < p; a++) {
    const before = Math.sqrt(dot(rows, a, rows, a, d));
    for (let twice = 0; twice < 2; twice++)
      for (let b = 0; b < a; b++) {
        const overlap = dot(rows, a, rows, b, d);
        for (let i = 0; i < d; i++) rows[a * d + i] -= overlap * rows[b * d + i];
      }
    const length = Math.sqrt(dot(rows, a, rows, a, d));
    const scale = length > 1e-12 * before ? 1 / length : 0;
    for (let i = 0; i < d; i++) rows[a * d + i] *= scale;
  }
  return rows;
}

/** Every row of Q [p,d] times the symmetric A [d,d]. */
function timesRows(matrix: Float64Array, rows: Float64Array, p: number, d: number): Float64Array {
  const out = new Float64Array(p * d);
  for (let a = 0; a < p; a++)
    for (let i = 0; i < d; i++) {
      const x = rows[a * d + i];
      for (let j = 0; j < d; j++) out[a * d + j] += x * matrix[i * d + j];
    }
  return out;
}

function dot(x: Float64Array, a: number, y: Float64Array, b: number, d: number): number {
  let sum = 0;
  for (let i = 0; i < d; i++) sum += x[a * d + i] * y[b * d + i];
  return sum;
}
