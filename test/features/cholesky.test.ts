/** L and what it solves against the matrices they are of, at sizes below, at and beyond a panel and its blocks. */
import { describe, expect, it } from 'vitest';
import { cholesky, solveCholesky } from '../../src/features/cholesky.js';
import { gaussians } from '../../src/features/rng.js';
import { close, expectMutantFails } from '../close.js';

const normal = gaussians(5);
const matrix = (rows: number, columns: number) => Float64Array.from({ length: rows * columns }, () => normal());

/** A Bᵀ of [m,n] and [p,n], in naive loops. */
function timesTransposed(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const [m, p] = [a.length / n, b.length / n];
  const out = new Float64Array(m * p);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < p; j++) for (let k = 0; k < n; k++) out[i * p + j] += a[i * n + k] * b[j * n + k];
  return out;
}

function positiveDefinite(n: number): Float64Array {
  const rows = matrix(n, n);
  const square = timesTransposed(rows, rows, n);
  for (let i = 0; i < n; i++) square[i * n + i] += n;
  return square;
}

describe.each([1, 5, 48, 49, 101, 131])('of %d rows', (n) => {
  const a = positiveDefinite(n);
  const above = (i: number, j: number) => j > i;
  const pick = (of: Float64Array, take: (i: number, j: number) => boolean) =>
    of.map((x, at) => (take(Math.floor(at / n), at % n) ? x : 0));

  it('L Lᵀ is the matrix, and what is above L is left', () => {
    const given = a.map((x, at) => (above(Math.floor(at / n), at % n) ? 7 : x));
    const found = cholesky(given, n);
    const lower = pick(found, (i, j) => !above(i, j));
    close(timesTransposed(lower, lower, n), a, 1e-13);
    expect(found.every((x, at) => !above(Math.floor(at / n), at % n) || x === 7)).toBe(true);
    const mutant = lower.map((x, at) => (at === n * n - 1 ? 1.01 * x : x));
    expectMutantFails(() => close(timesTransposed(mutant, mutant, n), a, 1e-13));
  });

  it.each([1, 3, 6])('solves for %d columns', (p) => {
    const want = matrix(n, p);
    const transposed = Float64Array.from(want, (_, at) => want[(at % n) * p + Math.floor(at / n)]);
    const given = timesTransposed(a, transposed, n);
    const l = cholesky(Float64Array.from(a), n);
    close(solveCholesky(l, Float64Array.from(given), n), want, 1e-11);
    const mutant = l.map((x, at) => (at === n * n - 1 ? 1.01 * x : x));
    expectMutantFails(() => close(solveCholesky(mutant, Float64Array.from(given), n), want, 1e-11));
  });
});
