/**
 * Columns of a panel. What stands behind a panel is brought up to date with all of it at once, two rows by four columns at a time, so that a
 * number read serves several products; from a copy of the panel, whose rows lie side by side: rows a whole matrix apart may all fall into
 * the same few places of a cache.
 */
const panel = 48;

/**
 * A = L Lᵀ of a positive definite matrix (Golub and Van Loan 2013, Algorithm 4.2.1, by panels). Reads the lower triangle [n,n] and
 * overwrites it by L; what is above is left. n³/3 flops. NaN where A is not positive definite.
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  for (let first = 0; first < n; first += panel) {
    const last = Math.min(n, first + panel);
    for (let j = first; j < last; j++) {
      for (let i = j; i < n; i++) {
        let sum = a[i * n + j];
        for (let k = first; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
        a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j];
      }
    }
    const behind = behindPanel(a, n, first, last);
    for (let i = last; i < n; i += 2) takeOff(a, behind, n, { first, last, row: i, rows: n, below: true });
  }
  return a;
}

/** X [n,p] with L Lᵀ X = B, in the place of B [n,p]; 2n²p flops. */
export function solveCholesky(l: Float64Array, b: Float64Array, n: number): Float64Array {
  const p = b.length / n;
  // Rows of Bᵀ, so that products are of numbers side by side; and backwards, what solves L solves Lᵀ.
  const rows = new Float64Array(b.length);
  for (let i = 0; i < n; i++) for (let c = 0; c < p; c++) rows[c * n + i] = b[i * p + c];
  substitute(l, rows, n);
  const backwards = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) backwards[(n - 1 - j) * n + n - 1 - i] = l[i * n + j];
  for (let c = 0; c < p; c++) rows.subarray(c * n, (c + 1) * n).reverse();
  substitute(backwards, rows, n);
  for (let c = 0; c < p; c++) for (let i = 0; i < n; i++) b[i * p + c] = rows[c * n + n - 1 - i];
  return b;
}

/** Rows X [p,n] with X Lᵀ = B, in the place of B: forward substitution. */
function substitute(l: Float64Array, x: Float64Array, n: number): void {
  const p = x.length / n;
  for (let first = 0; first < n; first += panel) {
    const last = Math.min(n, first + panel);
    for (let c = 0; c < p; c++) {
      for (let j = first; j < last; j++) {
        let sum = x[c * n + j];
        for (let k = first; k < j; k++) sum -= x[c * n + k] * l[j * n + k];
        x[c * n + j] = sum / l[j * n + j];
      }
    }
    const behind = behindPanel(l, n, first, last);
    for (let c = 0; c < p; c += 2) takeOff(x, behind, n, { first, last, row: c, rows: p, below: false });
  }
}

/** The rows behind a panel [n−last,last−first]. */
function behindPanel(l: Float64Array, n: number, first: number, last: number): Float64Array {
  const behind = new Float64Array((n - last) * (last - first));
  for (let j = last, to = 0; j < n; j++, to += last - first) behind.set(l.subarray(j * n + first, j * n + last), to);
  return behind;
}

/**
 * x_ij −= Σ_k x_ik l_jk over the columns k of a panel, for two rows i and the columns j behind it, whose rows l are: all of them, or with
 * `below` those up to the diagonal.
 */
function takeOff(
  x: Float64Array,
  l: Float64Array,
  n: number,
  { first, last, row, rows, below }: { first: number; last: number; row: number; rows: number; below: boolean },
): void {
  const end = below ? row + 1 : n;
  const width = last - first;
  let j = last;
  if (row + 1 < rows)
    for (; j + 4 <= end; j += 4) {
      let a0 = 0;
      let a1 = 0;
      let a2 = 0;
      let a3 = 0;
      let b0 = 0;
      let b1 = 0;
      let b2 = 0;
      let b3 = 0;
      for (let a = row * n + first, at = (j - last) * width, stop = at + width; at < stop; a++, at++) {
        const p = x[a];
        const q = x[a + n];
        const u = l[at];
        const v = l[at + width];
        const w = l[at + 2 * width];
        const z = l[at + 3 * width];
        a0 += p * u;
        a1 += p * v;
        a2 += p * w;
        a3 += p * z;
        b0 += q * u;
        b1 += q * v;
        b2 += q * w;
        b3 += q * z;
      }
      const to = row * n + j;
      x[to] -= a0;
      x[to + 1] -= a1;
      x[to + 2] -= a2;
      x[to + 3] -= a3;
      x[to + n] -= b0;
      x[to + n + 1] -= b1;
      x[to + n + 2] -= b2;
      x[to + n + 3] -= b3;
    }
  for (let i = row; i < Math.min(row + 2, rows); i++)
    for (let c = j; c < (below ? i + 1 : n); c++) {
      let sum = 0;
      for (let k = 0, at = (c - last) * width; k < width; k++, at++) sum += x[i * n + first + k] * l[at];
      x[i * n + c] -= sum;
    }
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
