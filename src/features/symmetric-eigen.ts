/**
 * Eigenvalues and eigenvectors of a symmetric matrix, by cyclic Jacobi rotations (Jacobi 1846; Golub and Van Loan 2013,
 * section 8.5): A = Σₗ λₗ qₗqₗᵀ. A rotation of the plane (p, q) by tan θ = t, the smaller root of t² + 2τt − 1 = 0 with
 * τ = (a_qq − a_pp) / 2a_pq, makes a_pq zero; sweeps over all planes end when no entry off the diagonal is above
 * 2⁻⁵³ max |a|. Convergence is quadratic: 6 to 10 sweeps for d ≤ 128.
 *
 * Numerics: only + − × ÷ √, so that the same bits come out everywhere. Residual and loss of orthogonality are a few
 * d·2⁻⁵³ of the largest eigenvalue (test/features/symmetric-eigen.test.ts).
 * Cost: about 6d³ flops a sweep and 16d² bytes; made once a head, at calibration.
 */
import { PerformersError } from '../errors.js';
import { checkCount } from './gaussian.js';

export interface Eigen {
  readonly values: Float64Array; // [d], falling
  readonly vectors: Float64Array; // [d,d], row l is the unit vector of values[l]
}

/** @throws PerformersError PF202 unless `matrix` [d,d] is finite and symmetric; `name` is what the message calls it */
export function symmetricEigen(matrix: ArrayLike<number>, d: number, name = 'matrix'): Eigen {
  const largest = checkSymmetric(matrix, d, name);
  const a = Float64Array.from(matrix);
  const v = identity(d); // row l gathers the vector of a[l,l]
  for (let rotated = true; rotated; ) {
    rotated = false;
    for (let p = 0; p < d; p++) {
      for (let q = p + 1; q < d; q++) {
        if (Math.abs(a[p * d + q]) <= 2 ** -53 * largest) continue;
        rotate(a, v, d, p, q);
        rotated = true;
      }
    }
  }
  const order = Array.from({ length: d }, (_, l) => l).sort((l, r) => a[r * d + r] - a[l * d + l]);
  const vectors = new Float64Array(d * d);
  order.forEach((from, to) => {
    vectors.set(v.subarray(from * d, (from + 1) * d), to * d);
  });
  return { values: Float64Array.from(order, (l) => a[l * d + l]), vectors };
}

/** f(A) = Σₗ f(λₗ) qₗqₗᵀ [d,d], as for roots and inverses. */
export function spectralFunction({ values, vectors }: Eigen, f: (value: number) => number): Float64Array {
  const d = values.length;
  const out = new Float64Array(d * d);
  for (let l = 0; l < d; l++) {
    const weight = f(values[l]);
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < d; j++) out[i * d + j] += weight * vectors[l * d + i] * vectors[l * d + j];
    }
  }
  return out;
}

/** Makes a[p,q] zero by a rotation of rows and columns p and q; rows of `v` turn along. */
function rotate(a: Float64Array, v: Float64Array, d: number, p: number, q: number): void {
  const apq = a[p * d + q];
  const tau = (a[q * d + q] - a[p * d + p]) / (2 * apq);
  const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = t * c;
  a[p * d + p] -= t * apq;
  a[q * d + q] += t * apq;
  a[p * d + q] = 0;
  a[q * d + p] = 0;
  for (let k = 0; k < d; k++) {
    const [vp, vq] = [v[p * d + k], v[q * d + k]];
    v[p * d + k] = c * vp - s * vq;
    v[q * d + k] = s * vp + c * vq;
    if (k === p || k === q) continue;
    const [ap, aq] = [a[p * d + k], a[q * d + k]];
    a[p * d + k] = c * ap - s * aq;
    a[q * d + k] = s * ap + c * aq;
    a[k * d + p] = a[p * d + k];
    a[k * d + q] = a[q * d + k];
  }
}

function identity(d: number): Float64Array {
  return Float64Array.from({ length: d * d }, (_, i) => (i % (d + 1) === 0 ? 1 : 0));
}

/** The largest absolute entry. Entries that mirror one another may differ by rounding, 1e-9 of it. */
function checkSymmetric(matrix: ArrayLike<number>, d: number, name: string): number {
  checkCount('d', d);
  const fail = (message: string, mend: string): never => {
    throw new PerformersError('PF202', message, { at: `features.${name}`, mend });
  };
  if (matrix.length !== d * d) {
    fail(`${name} must have ${d} x ${d} = ${d * d} numbers, got ${matrix.length}`, 'pass a square matrix, row by row');
  }
  let largest = 0;
  for (let i = 0; i < d * d; i++) {
    if (!Number.isFinite(matrix[i])) {
      fail(`${name}[${i}] must be finite, got ${matrix[i]}`, 'drop samples that are NaN or infinite before averaging');
    }
    largest = Math.max(largest, Math.abs(matrix[i]));
  }
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < i; j++) {
      const [below, above] = [matrix[i * d + j], matrix[j * d + i]];
      if (Math.abs(below - above) <= 1e-9 * largest) continue;
      fail(`${name} must be symmetric, got ${below} at [${i},${j}] and ${above} at [${j},${i}]`, 'pass E[zzᵀ]');
    }
  }
  return largest;
}
