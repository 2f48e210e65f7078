/**
 * Non-negative least squares: the x ≥ 0 that minimises |Ax − b|² (Lawson and Hanson 1974, "Solving Least Squares Problems",
 * chapter 23, algorithm NNLS). The optimum is known by its KKT conditions, with gradient w = Aᵀ(b − Ax):
 *   x ≥ 0,  w ≤ tol,  and w = 0 wherever x > 0
 * Columns enter the passive set one at a time, by largest gradient, and each least-squares problem is solved by modified
 * Gram–Schmidt done twice, not by normal equations, whose condition is the square. A column that depends on those already in,
 * to 1e-10 of its length, stays out.
 *
 * Written here rather than taken from ml-fcnnls, which is kept well but solves normal equations and brings ml-matrix along: a
 * hundred lines against a matrix library in every bundle.
 *
 * Shapes    A [rows, columns] as columns, b [rows] → x [columns].
 * Cost      O(rows · passive²) flops a column that enters.
 */
import { PerformersError } from '../../errors.js';
import { dot } from '../kernels/kernel.js';

/** @throws PerformersError PF414 when it does not end in 30 rounds a column, which rounding can cause and data cannot */
export function nonNegativeLeastSquares(columns: readonly Float64Array[], b: Float64Array): Float64Array {
  const x = new Float64Array(columns.length);
  const norms = columns.map((column) => Math.sqrt(dot(column, column)));
  const tolerance = 1e-11 * Math.sqrt(dot(b, b));
  const passive: number[] = [];
  const barred = new Set<number>();
  for (let round = 0; round < 30 * columns.length + 30; round++) {
    const gradient = gradientOf(columns, b, x);
    const entering = steepest(gradient, norms, tolerance, (i) => passive.includes(i) || barred.has(i));
    if (entering < 0) return x;
    passive.push(entering);
    let solved = solve(columns, passive, b);
    // A dependent column, or one that would come in negative by rounding: leave it out until x has moved.
    if (!solved || solved[passive.length - 1] <= 0) {
      passive.pop();
      barred.add(entering);
      continue;
    }
    while (solved?.some((value) => value <= 0)) {
      step(x, passive, solved);
      solved = solve(columns, passive, b);
    }
    x.fill(0);
    passive.forEach((i, p) => {
      x[i] = solved ? solved[p] : 0;
    });
    barred.clear();
  }
  throw new PerformersError('PF414', `the fit did not end in ${30 * columns.length + 30} rounds`, {
    at: 'features.nonNegativeLeastSquares',
    mend: 'scale the columns alike, or leave out columns that are nearly equal',
  });
}

/** w = Aᵀ(b − Ax) [columns]. */
export function gradientOf(columns: readonly Float64Array[], b: Float64Array, x: Float64Array): Float64Array {
  const residual = b.slice();
  columns.forEach((column, i) => {
    if (x[i] !== 0) for (let row = 0; row < b.length; row++) residual[row] -= x[i] * column[row];
  });
  return Float64Array.from(columns, (column) => dot(column, residual));
}

function steepest(
  gradient: Float64Array,
  norms: readonly number[],
  tolerance: number,
  out: (i: number) => boolean,
): number {
  let best = -1;
  let most = tolerance;
  gradient.forEach((value, i) => {
    if (norms[i] > 0 && value / norms[i] > most && !out(i)) {
      best = i;
      most = value / norms[i];
    }
  });
  return best;
}

/** Moves x towards `solved` until the first passive variable is 0, and drops from `passive` all that are. */
function step(x: Float64Array, passive: number[], solved: Float64Array): void {
  let length = 1;
  passive.forEach((i, p) => {
    if (solved[p] <= 0) length = Math.min(length, x[i] / (x[i] - solved[p]));
  });
  passive.forEach((i, p) => {
    const moved = x[i] + length * (solved[p] - x[i]);
    x[i] = solved[p] <= 0 && moved < 1e-15 * Math.max(1, x[i]) ? 0 : Math.max(0, moved);
  });
  for (let p = passive.length - 1; p >= 0; p--) if (x[passive[p]] === 0) passive.splice(p, 1);
}

/** Least squares on the passive columns by QR; undefined when the last of them depends on the rest. */
function solve(
  columns: readonly Float64Array[],
  passive: readonly number[],
  b: Float64Array,
): Float64Array | undefined {
  const n = passive.length;
  const basis: Float64Array[] = [];
  const upper = Array.from({ length: n }, () => new Float64Array(n));
  for (let p = 0; p < n; p++) {
    const column = columns[passive[p]].slice();
    const size = Math.sqrt(dot(column, column));
    for (let pass = 0; pass < 2; pass++) {
      basis.forEach((unit, q) => {
        const projection = dot(unit, column);
        upper[q][p] += projection;
        for (let row = 0; row < column.length; row++) column[row] -= projection * unit[row];
      });
    }
    const rest = Math.sqrt(dot(column, column));
    if (rest <= 1e-10 * size) return undefined;
    upper[p][p] = rest;
    for (let row = 0; row < column.length; row++) column[row] /= rest;
    basis.push(column);
  }
  const solution = new Float64Array(n);
  for (let p = n - 1; p >= 0; p--) {
    let sum = dot(basis[p], b);
    for (let q = p + 1; q < n; q++) sum -= upper[p][q] * solution[q];
    solution[p] = sum / upper[p][p];
  }
  return solution;
}
