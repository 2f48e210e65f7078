/**
 * Independent Gaussian features: every entry of Ω is N(0, 1) (Rahimi and Recht 2007). The baseline other samplers are
 * measured against. Rows are drawn in order, so that Ω for m is the head of Ω for any larger m with the same seed.
 *
 * Shapes    [m,d], any m and d.
 * Numerics  one uniform of 52 bits a normal, by the inverse distribution function: |ω| < 8.3. The same bits everywhere.
 *           On the RBF kernel m frequencies err by (1 − exp(−|x − y|²)) / √2m (their Algorithm 1, cosine and sine).
 * Cost      to draw, md normals of about 40 flops; 8md bytes; the product is dense, 2md flops a row of x.
 */
import { PerformersError } from '../errors.js';
import { gaussians } from './rng.js';

/** How many rows, how wide, and which draw. */
export interface Draw {
  readonly m: number;
  readonly d: number;
  readonly seed: number;
}

/** Draws a projection whose every row is N(0, I_d); samplers differ in how the rows depend on one another. */
export type Sampler = (draw: Draw) => Float64Array; // [m,d]

export function iidGaussian({ m, d, seed }: Draw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  const normal = gaussians(seed);
  return Float64Array.from({ length: m * d }, normal);
}

const countMends = {
  m: 'use m = 64 or more',
  d: 'pass the width of one head, such as 64',
  heads: 'pass the number of query heads of the layer',
  rank: 'use rank = 4, or more for rows that depend less on one another',
  pool: 'use pool = 10 m or more',
  angles: 'use angles = 8',
};

/** @throws PerformersError PF202 unless `value` is an integer ≥ 1 */
export function checkCount(name: keyof typeof countMends, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  const mend = countMends[name];
  throw new PerformersError('PF202', `${name} must be an integer >= 1, got ${value}`, { at: `features.${name}`, mend });
}
