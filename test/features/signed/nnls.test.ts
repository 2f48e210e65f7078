import { describe, expect, it } from 'vitest';
import { gaussians } from '../../../src/features/rng.js';
import { gradientOf, nonNegativeLeastSquares } from '../../../src/features/signed/nnls.js';
import { close, expectMutantFails } from '../../close.js';

const residual = (columns: readonly Float64Array[], b: Float64Array, x: ArrayLike<number>) =>
  b.reduce((sum, value, row) => sum + (value - columns.reduce((at, column, i) => at + column[row] * x[i], 0)) ** 2, 0);

/** The optimality conditions: x ≥ 0, no ascent left, none along what is in use. */
function checkOptimal(columns: readonly Float64Array[], b: Float64Array, x: Float64Array): void {
  const size = Math.sqrt(b.reduce((sum, value) => sum + value * value, 0));
  gradientOf(columns, b, x).forEach((slope, i) => {
    const length = Math.sqrt(columns[i].reduce((sum, value) => sum + value * value, 0));
    expect(x[i]).toBeGreaterThanOrEqual(0);
    expect(slope).toBeLessThan(1e-9 * size * length);
    if (x[i] > 0) expect(Math.abs(slope)).toBeLessThan(1e-9 * size * length);
  });
}

const draw = (rows: number, count: number, seed: number) => {
  const normal = gaussians(seed);
  return {
    columns: Array.from({ length: count }, () => Float64Array.from({ length: rows }, normal)),
    b: Float64Array.from({ length: rows }, normal),
  };
};

describe('non-negative least squares', () => {
  it.each(Array.from({ length: 12 }, (_, seed) => seed))('is optimal on random data, seed %i', (seed) => {
    const { columns, b } = draw(20, 1 + seed, seed);
    const x = nonNegativeLeastSquares(columns, b);
    checkOptimal(columns, b, x);
    // Off by 1 % it is optimal no longer.
    if (x.some((value) => value > 0)) {
      expectMutantFails(() =>
        checkOptimal(
          columns,
          b,
          x.map((value) => 1.01 * value),
        ),
      );
    }
  });

  it('finds what was mixed, and what a search over all subsets of two columns finds', () => {
    const { columns } = draw(30, 8, 99);
    const truth = [0, 2, 0, 0, 0.5, 0, 3, 0];
    const b = columns[0].map((_, row) => columns.reduce((sum, column, i) => sum + truth[i] * column[row], 0));
    close(nonNegativeLeastSquares(columns, b), truth, 1e-12);
    const [first, second] = [Float64Array.of(1, 2, 2), Float64Array.of(3, 4, 0)];
    // b makes the second column negative in plain least squares: only the first is left, at (a·b)/(a·a).
    const c = Float64Array.of(1, 1, 3);
    const x = nonNegativeLeastSquares([first, second], c);
    close(x, [1, 0], 1e-14);
    expect(residual([first, second], c, [1, 0.01])).toBeGreaterThan(residual([first, second], c, x));
  });

  it('is optimal on Gaussians of neighbouring widths, whose columns nearly depend on one another', () => {
    const grid = Float64Array.from({ length: 200 }, (_, i) => i / 100);
    const columns = [1, -1].flatMap((sign) =>
      Array.from({ length: 40 }, (_, i) => grid.map((t) => sign * Math.exp(-0.5 * (0.2 * 1.12 ** i * t) ** 2))),
    );
    const b = grid.map((t) => Math.max(0, 1 - t));
    const x = nonNegativeLeastSquares(columns, b);
    expect(Math.sqrt(residual(columns, b, x) / 200)).toBeLessThan(2e-3);
    expect(x.every((value) => value >= 0)).toBe(true);
  });

  it('gives zeros where every column points away, and copes with a column of zeros and with twins', () => {
    const b = Float64Array.of(1, 2);
    expect(nonNegativeLeastSquares([Float64Array.of(-1, 0), Float64Array.of(0, -1)], b)).toEqual(new Float64Array(2));
    expect(nonNegativeLeastSquares([new Float64Array(2)], b)).toEqual(new Float64Array(1));
    const twins = [Float64Array.of(1, 0), Float64Array.of(1, 0), Float64Array.of(0, 1)];
    const x = nonNegativeLeastSquares(twins, b);
    close([x[0] + x[1], x[2]], b, 1e-14);
  });
});
