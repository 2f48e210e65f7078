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
