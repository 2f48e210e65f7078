/**
 * A structured projection is a stack of blocks B₀, B₁, … each of `height` rows and drawn from its own stream, the last
 * one cut short: Ω [m,d] for m is the head of Ω for any larger m with the same seed. A block is known by the product
 * it makes, so that Ω x costs O(m log d) flops and Ω itself, 8md bytes, need never be stored.
 */
import { PerformersError } from '../errors.js';
import { checkCount, type Draw } from './gaussian.js';
import { streamSeed } from './rng.js';

/** x [n,d] → Ω xᵀ for every row of x [n,m]. */
export type Apply = (x: Float64Array) => Float64Array;

/** One block: how many rows, and the product of all of them with one x [d] → [height], overwritten by the next call. */
export interface Block {
  readonly height: number;
  readonly product: (x: Float64Array) => Float64Array;
}

/** @throws PerformersError PF202 unless m and d are counts, `seed` a seed, and every x whole rows of d finite numbers */
export function applyBlocks({ m, d, seed }: Draw, draw: (d: number, seed: number) => Block): Apply {
  checkCount('m', m);
  checkCount('d', d);
  const blocks: Block[] = [];
  for (let rows = 0; rows < m; rows += blocks[0].height) blocks.push(draw(d, streamSeed(seed, blocks.length)));
  const { height } = blocks[0];
  return (x) => {
    if (x.length % d !== 0) {
      throw new PerformersError('PF202', `x must hold rows of d = ${d} numbers, got ${x.length} numbers`, {
        at: 'features.apply',
        mend: `pass a row-major [n, ${d}] array of n * ${d} numbers`,
      });
    }
    const bad = x.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new PerformersError('PF202', `x[${bad}] must be finite, got ${x[bad]}`, {
        at: 'features.apply',
        mend: 'mask or drop rows that are NaN or infinite',
      });
    }
    const out = new Float64Array((x.length / d) * m); // [n,m]
    for (let n = 0; n * d < x.length; n++) {
      const row = x.subarray(n * d, (n + 1) * d);
      for (let b = 0; b < blocks.length; b++) {
        const rows = blocks[b].product(row);
        out.set(m < (b + 1) * height ? rows.subarray(0, m - b * height) : rows, n * m + b * height);
      }
    }
    return out;
  };
}

/** Ω [m,d] written out, a column at a time: the product with the d unit vectors. */
export function writeOut({ m, d }: Draw, apply: Apply): Float64Array {
  const omega = new Float64Array(m * d);
  const unit = new Float64Array(d);
  for (let c = 0; c < d; c++) {
    unit.fill(0);
    unit[c] = 1;
    apply(unit).forEach((value, r) => {
      omega[r * d + c] = value;
    });
  }
  return omega;
}

/** The length χ(p) of a fresh Gaussian vector of width p. */
export function chi(p: number, normal: () => number): number {
  let square = 0;
  for (let i = 0; i < p; i++) square += normal() ** 2;
  return Math.sqrt(square);
}
