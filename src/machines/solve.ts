/**
 * A x = b by Gaussian elimination with partial pivoting (Golub and Van Loan, Algorithm 3.4.1). It asks for no definiteness, which the
 * systems of indefinite kernels do not have. n³·2/3 flops, float64.
 */
import { PerformersError } from '../errors.js';

/**
 * X [n,p] with A X = B, A [n,n], B [n,p]; A and B are left alone.
 * @throws PerformersError PF424 when a pivot is below 1e-13 of the largest entry; `mend` is what the caller can do about it
 */
export function solve(a: Float64Array, b: Float64Array, n: number, mend: string): Float64Array {
  const m = a.slice();
  const x = b.slice();
  const p = b.length / n;
  const largest = m.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(m[i * n + k]) > Math.abs(m[pivot * n + k])) pivot = i;
    if (!(Math.abs(m[pivot * n + k]) > 1e-13 * largest)) {
      throw new PerformersError('PF424', `the system of ${n} equations is singular at its equation ${k}`, {
        at: 'machines.solve',
        mend,
      });
    }
    if (pivot !== k) {
      swapRows(m, n, k, pivot);
      swapRows(x, p, k, pivot);
    }
    for (let i = k + 1; i < n; i++) {
      const factor = m[i * n + k] / m[k * n + k];
      if (factor === 0) continue;
      for (let j = k + 1, to = i * n + k + 1, from = k * n + k + 1; j < n; j++, to++, from++) m[to] -= factor * m[from];
      for (let j = 0; j < p; j++) x[i * p + j] -= factor * x[k * p + j];
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = 0; j < p; j++) {
      let sum = x[k * p + j];
      for (let i = k + 1; i < n; i++) sum -= m[k * n + i] * x[i * p + j];
      x[k * p + j] = sum / m[k * n + k];
    }
  }
  return x;
}

function swapRows(values: Float64Array, width: number, i: number, j: number): void {
  const row = values.slice(i * width, (i + 1) * width);
  values.copyWithin(i * width, j * width, (j + 1) * width);
  values.set(row, j * width);
}
