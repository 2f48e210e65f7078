import { gaussians } from '../../src/features/rng.js';

/** 60 seeded rows in the plane, labelled by a circle; a positive definite and an indefinite kernel. */
const normal = gaussians(21);
export const rows = Array.from({ length: 60 }, () => [normal(), normal()]);
export const circle = Float64Array.from(rows, ([a, b]) => (a * a + b * b > 1.4 ? 1 : -1));
export const sectors = Int32Array.from(rows, ([a, b]) => (a > 0.3 ? 7 : b > 0 ? 2 : -4));
export const heights = Float64Array.from(rows, ([a, b]) => Math.sin(2 * a) + b / 2);

const square = (x: readonly number[], y: readonly number[]) =>
  x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0);
export const gauss = (x: readonly number[], y: readonly number[]) => Math.exp(-square(x, y));
/** Delta-Gaussian: eigenvalues of both signs. */
export const difference = (x: readonly number[], y: readonly number[]) =>
  Math.exp(-2 * square(x, y)) * 2 - Math.exp(-square(x, y) / 2);

/** Signed features of width 9, whose Gram matrix is indefinite by the last three. */
export const signs = Int8Array.of(1, 1, 1, 1, 1, 1, -1, -1, -1);
export const phi = Float64Array.from({ length: 60 * 9 }, () => normal() / 2);
export const phiGram = Float64Array.from({ length: 60 * 60 }, (_, at) => {
  const [i, j] = [Math.floor(at / 60), at % 60];
  return signs.reduce((sum, sign, r) => sum + sign * phi[i * 9 + r] * phi[j * 9 + r], 0);
});
