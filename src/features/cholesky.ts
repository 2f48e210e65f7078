/**
 * A = L Lᵀ of a positive definite matrix (Golub and Van Loan 2013, Algorithm 4.2.1). Reads the lower triangle [n,n] and
 * overwrites it by L; what is above is left. n³/3 flops. NaN where A is not positive definite.
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j];
    }
  }
  return a;
}

/** X [n,p] with L Lᵀ X = B, in the place of B [n,p]; 2n²p flops. */
export function solveCholesky(l: Float64Array, b: Float64Array, n: number): Float64Array {
  const p = b.length / n;
  const eliminate = (i: number, j: number, factor: number) => {
    if (factor === 0) return;
    for (let c = 0, to = i * p, from = j * p; c < p; c++, to++, from++) b[to] -= factor * b[from];
  };
  const scale = (i: number) => {
    for (let c = 0; c < p; c++) b[i * p + c] /= l[i * n + i];
  };
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) eliminate(i, j, l[i * n + j]);
    scale(i);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let j = i + 1; j < n; j++) eliminate(i, j, l[j * n + i]);
    scale(i);
  }
  return b;
}

/** [A⁻¹]_cc = |L⁻¹ e_c|² for every c [n], by forward substitution; n³/3 flops. */
export function inverseDiagonal(l: Float64Array, n: number): Float64Array {
  const x = new Float64Array(n);
  return Float64Array.from({ length: n }, (_, c) => {
    let square = 0;
    for (let i = c; i < n; i++) {
      let sum = i === c ? 1 : 0;
      for (let k = c; k < i; k++) sum -= l[i * n + k] * x[k];
      x[i] = sum / l[i * n + i];
      square += x[i] * x[i];
    }
    return square;
  });
}
