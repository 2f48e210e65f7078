/**
 * Landmarks: m points that stand for n rows. Every way of choosing them is one function of the same options; maps that work
 * with landmarks take any.
 */
import { PerformersError } from '../../errors.js';
import { finite } from '../data/frequencies.js';
import { checkCount } from '../gaussian.js';

export interface LandmarkOptions {
  readonly d: number;
  /** Landmarks, at most n. */
  readonly m: number;
  readonly rows: ArrayLike<number>; // [n,d]
  /** Default 0. */
  readonly seed?: number;
  /** The kernel that landmarks should span, positive definite. Default exp(−|x − y|²/2). Ways that use distances ignore it. */
  readonly kernel?: (x: Float64Array, y: Float64Array) => number;
}

/** Chooses landmarks [m,d]. The same options give the same landmarks everywhere to rounding of the kernel. */
export type LandmarkChoice = (options: LandmarkOptions) => Float64Array;

/** Checked options: the rows as float64, cut into rows, and how many. */
export interface Candidates {
  readonly n: number;
  readonly all: Float64Array; // [n,d]
  readonly row: (i: number) => Float64Array; // [d]
}

/** @throws PerformersError PF202 for a bad d or m, PF401 for rows of a wrong shape or not finite, PF402 for fewer rows than m */
export function candidates({ d, m, rows }: LandmarkOptions): Candidates {
  checkCount('d', d);
  checkCount('m', m);
  const all = finite('rows', rows, d);
  const n = all.length / d;
  if (n < m) {
    throw new PerformersError('PF402', `there must be at least m = ${m} rows to choose landmarks from, got ${n}`, {
      at: 'features.rows',
      mend: `use m = ${n} or less, or pass more rows`,
    });
  }
  return { n, all, row: (i) => all.subarray(i * d, (i + 1) * d) };
}

/** exp(−|x − y|²/2) */
export function gaussianKernel(x: Float64Array, y: Float64Array): number {
  return Math.exp(-squaredDistance(x, y) / 2);
}

export function squaredDistance(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let l = 0; l < x.length; l++) sum += (x[l] - y[l]) ** 2;
  return sum;
}
