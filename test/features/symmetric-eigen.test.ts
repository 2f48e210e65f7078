import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { spectralFunction, symmetricEigen } from '../../src/features/symmetric-eigen.js';
import { close, expectMutantFails } from '../close.js';

/** A symmetric Gaussian matrix [d,d]. */
function symmetric(d: number, seed: number): Float64Array {
  const normal = gaussians(seed);
  const a = Float64Array.from({ length: d * d }, normal);
  return a.map((value, i) => value + a[(i % d) * d + Math.floor(i / d)]);
}

function product(a: Float64Array, b: Float64Array, d: number): Float64Array {
  const entry = (i: number, j: number) => Array.from({ length: d }, (_, k) => a[i * d + k] * b[k * d + j]);
  return Float64Array.from({ length: d * d }, (_, at) =>
    entry(Math.floor(at / d), at % d).reduce((sum, value) => sum + value, 0),
  );
}

const identity = (d: number) => Float64Array.from({ length: d * d }, (_, i) => Number(i % (d + 1) === 0));
const transposed = (a: Float64Array, d: number) => a.map((_, i) => a[(i % d) * d + Math.floor(i / d)]);

describe('symmetric eigen-solver', () => {
  it.each([1, 2, 5, 16, 64])('gives orthonormal vectors that rebuild a random matrix of d = %i', (d) => {
    const a = symmetric(d, d);
    const eigen = symmetricEigen(a, d);
    const check = (slip: number) => {
      close(
        spectralFunction({ ...eigen, values: eigen.values.map((value) => slip * value) }, (l) => l),
        a,
        1e-13,
      );
    };
    check(1);
    expectMutantFails(() => check(1.01));
    close(product(eigen.vectors, transposed(eigen.vectors, d), d), identity(d), 1e-13);
    expect([...eigen.values]).toEqual([...eigen.values].sort((l, r) => r - l));
  });

  it('finds the known spectrum of the second difference, 2 − 2 cos(πl/(d + 1))', () => {
    const d = 24;
    const entry = (i: number, j: number) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0);
    const a = Float64Array.from({ length: d * d }, (_, at) => entry(Math.floor(at / d), at % d));
    const want = Float64Array.from({ length: d }, (_, l) => 2 - 2 * Math.cos((Math.PI * (d - l)) / (d + 1)));
    close(symmetricEigen(a, d).values, want, 1e-14);
    expectMutantFails(() => close(symmetricEigen(a, d).values.reverse(), want, 1e-14));
  });

  it('holds for equal, zero, huge and tiny eigenvalues', () => {
    expect([...symmetricEigen(identity(4), 4).values]).toEqual([1, 1, 1, 1]);
    expect([...symmetricEigen(new Float64Array(9), 3).values]).toEqual([0, 0, 0]);
    for (const size of [1e-200, 1e200]) {
      const { values } = symmetricEigen([2 * size, size, size, 2 * size], 2);
      close(
        values.map((value) => value / size),
        [3, 1],
        1e-15,
      );
    }
    const z = [0.9, 0.4, 0, 0];
    const rankOne = symmetricEigen(
      Float64Array.from({ length: 16 }, (_, i) => z[i >> 2] * z[i % 4]),
      4,
    );
    close(rankOne.values, [0.97, 0, 0, 0], 1e-15);
  });

  it('makes roots and inverses', () => {
    const d = 12;
    const g = symmetric(d, 3);
    const a = product(g, g, d);
    const eigen = symmetricEigen(a, d);
    const root = spectralFunction(eigen, Math.sqrt);
    close(product(root, root, d), a, 1e-13);
    close(
      product(
        spectralFunction(eigen, (value) => 1 / value),
        a,
        d,
      ),
      identity(d),
      1e-10,
    );
    expectMutantFails(() => close(product(root, g, d), a, 1e-13));
  });

  it('gives the same bits again and leaves its input alone', () => {
    const a = symmetric(8, 1);
    const copy = a.slice();
    expect(symmetricEigen(a, 8)).toEqual(symmetricEigen(a, 8));
    expect(a).toEqual(copy);
  });

  it('refuses what is not a finite symmetric matrix', () => {
    expect(() => symmetricEigen([1, 2, 3], 2)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  matrix must have 2 x 2 = 4 numbers, got 3
        at   features.matrix
        mend pass a square matrix, row by row]
    `);
    expect(() => symmetricEigen([1, Number.NaN, 0, 1], 2)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  matrix[1] must be finite, got NaN
        at   features.matrix
        mend drop samples that are NaN or infinite before averaging]
    `);
    expect(() => symmetricEigen([1, 2, 3, 4], 2, 'moments.second')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.second must be symmetric, got 3 at [1,0] and 2 at [0,1]
        at   features.moments.second
        mend pass E[zzᵀ]]
    `);
    expect(() => symmetricEigen([], 0)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  d must be an integer >= 1, got 0
        at   features.d
        mend pass the width of one head, such as 64]
    `);
  });
});
