/**
 * Uniform landmarks: m distinct rows, each set as likely as any other (Williams and Seeger 2001, section 3). The baseline other
 * ways are measured against; good enough where rows are spread evenly, and the cheapest by far.
 *
 * Shapes    rows [n,d] → landmarks [m,d], distinct rows of x, though their values may repeat.
 * Numerics  none. Cost: n random numbers, no flops, 4n bytes.
 */
import { rowsAt } from '../data/frequencies.js';
import { permutation } from '../fastfood.js';
import { uniforms } from '../rng.js';
import { candidates, type LandmarkChoice } from './choose.js';

/** @throws PerformersError PF202 for a bad d, m or seed, PF401 for bad rows, PF402 for fewer rows than m */
export const uniformRows: LandmarkChoice = (options) => {
  const { n, all } = candidates(options);
  const order = permutation(n, uniforms(options.seed ?? 0));
  return rowsAt(all, order.subarray(0, options.m), options.d);
};
