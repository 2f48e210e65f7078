/** Nyström attention by segment means (Xiong et al. 2021), by definition: float64, naive loops. */
import type { Attention } from './attention.js';

type Matrix = number[][];

/** O = F Z B v of every head, Z by `steps` steps of the iteration. In self-attention queries of masked tokens are no landmarks. */
export function nystromAttention(input: Attention, { m, steps = 6 }: { m: number; steps?: number }): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const out = new Float64Array(B * H * N * E);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++) {
      const at = b * H + h;
      const rows = (array: Float64Array, count: number, width: number): Matrix =>
        Array.from({ length: count }, (_, i) =>
          Array.from({ length: width }, (_, d) => array[(at * count + i) * width + d]),
        );
      const visible = (j: number) => !keyBias || keyBias[b * S + j] !== -Infinity;
      const [Q, K, V] = [rows(q, N, D).map((row) => row.map((x) => scale * x)), rows(k, S, D), rows(v, S, E)];
      const queries = means(Q, m, N === S ? visible : () => true);
      const keys = means(K, m, visible);
      const seen = keys.map((row) => row !== undefined);
      const zero = new Array<number>(D).fill(0);
      const [q0, k0] = [queries, keys].map((all) => all.map((row) => row ?? zero));
      const F = softmax(product(Q, transpose(k0)), (c) => seen[c]);
      const A = softmax(product(q0, transpose(k0)), (c) => seen[c]);
      const all = softmax(product(q0, transpose(K)), visible);
      if (!seen.some(Boolean)) continue;
      const O = product(F, product(iterate(A, steps), product(all, V)));
      for (const [i, row] of O.entries()) for (const [e, x] of row.entries()) out[(at * N + i) * E + e] = x;
    }
  return out;
}

/** Of the rows of segment ⌊i m / n⌋ that count; undefined where there is none. */
function means(rows: Matrix, m: number, counts: (i: number) => boolean): (number[] | undefined)[] {
  return Array.from({ length: m }, (_, segment) => {
    const own = rows.filter((_, i) => Math.floor((i * m) / rows.length) === segment && counts(i));
    return own.length === 0 ? undefined : own[0].map((_, d) => own.reduce((sum, row) => sum + row[d], 0) / own.length);
  });
}

function iterate(A: Matrix, steps: number): Matrix {
  const columns = A[0].map((_, c) => A.reduce((sum, row) => sum + Math.abs(row[c]), 0));
  const rowSums = A.map((row) => row.reduce((sum, x) => sum + Math.abs(x), 0));
  const norm = Math.max(...columns) * Math.max(...rowSums);
  let Z = transpose(A).map((row) => row.map((x) => x / norm));
  const less = (factor: number, X: Matrix) => X.map((row, i) => row.map((x, j) => (i === j ? factor : 0) - x));
  for (let step = 0; step < steps; step++) {
    const AZ = product(A, Z);
    const next = product(Z, less(13, product(AZ, less(15, product(AZ, less(7, AZ))))));
    Z = next.map((row) => row.map((x) => x / 4));
  }
  return Z;
}

function softmax(X: Matrix, seen: (column: number) => boolean): Matrix {
  return X.map((row) => {
    const most = Math.max(...row.filter((_, c) => seen(c)));
    const weights = row.map((x, c) => (seen(c) ? Math.exp(x - most) : 0));
    const total = weights.reduce((sum, x) => sum + x, 0);
    return weights.map((x) => x / total);
  });
}

const transpose = (X: Matrix): Matrix => X[0].map((_, c) => X.map((row) => row[c]));
const product = (X: Matrix, Y: Matrix): Matrix =>
  X.map((row) => Y[0].map((_, c) => row.reduce((sum, x, i) => sum + x * Y[i][c], 0)));
