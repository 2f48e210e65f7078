/**
 * Feature maps as functions of rows: φ [d] → [features], for a kernel K(x, y) ≈ φ(x)·φ(y), or an attention weight. They are
 * what does not fit the constants (Ω, b) of the double-softmax operator: signed maps, maps of other kernels, and maps
 * without randomness. Features may be negative where the header does not say otherwise: normalisers need a guard.
 */
import { PerformersError } from '../errors.js';
import { checkCount, type Sampler } from './gaussian.js';

export interface RowMap {
  /** Width of an input row. */
  readonly d: number;
  /** Width of a feature row. */
  readonly features: number;
  /**
   * Rows x [N,d] to features [N,features]. `first` is the position of the first row in its sequence, default 0; only maps
   * that know positions read it.
   * @throws PerformersError PF202 unless x is whole rows of finite numbers
   */
  readonly phi: (x: ArrayLike<number>, first?: number) => Float64Array;
}

export interface RowMapOptions {
  readonly d: number;
  /** Features asked for; maps of a fixed width ignore it. */
  readonly m: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default `orthogonalGaussian`. */
  readonly sampler?: Sampler;
}

/** Two maps, one a side, for a weight query(x)·key(y) whose sides need not share their features. */
export interface PairMap {
  /** Width of an input row. */
  readonly d: number;
  /** Width of a feature row, the same on both sides. */
  readonly features: number;
  readonly query: RowMap['phi'];
  readonly key: RowMap['phi'];
}

/** Both sides of a row map, for what takes pairs. */
export function bothSides({ d, features, phi }: RowMap): PairMap {
  return { d, features, query: phi, key: phi };
}

/** Makes a map; the same options give the same features everywhere. */
export type RowMapFactory = (options: RowMapOptions) => RowMap;

/** A map from what it does to one row: read `row` [d], write `into` [features]. */
export function rowMap(
  d: number,
  features: number,
  fill: (row: Float64Array, into: Float64Array, position: number) => void,
): RowMap {
  checkCount('d', d);
  const phi: RowMap['phi'] = (x, first = 0) => {
    const rows = checkedRows(x, d);
    const count = rows.length / d;
    const out = new Float64Array(count * features);
    for (let i = 0; i < count; i++) {
      fill(rows.subarray(i * d, (i + 1) * d), out.subarray(i * features, (i + 1) * features), first + i);
    }
    return out;
  };
  return { d, features, phi };
}

/** exp(exponent), which may not overflow. @throws PerformersError PF202 naming the exponent as `what` */
export function finiteExp(exponent: number, what: string): number {
  const value = Math.exp(exponent);
  if (value < Infinity) return value;
  throw new PerformersError('PF202', `exp(${what}) must be finite, got ${what} = ${exponent}`, {
    at: 'features.x',
    mend: 'normalise the rows of x, or use a map of the double-softmax form',
  });
}

/** |x|² */
export function square(row: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] * row[i];
  return sum;
}

/** Ω x of one row, Ω [rows,d]. */
export function project(omega: Float64Array, row: Float64Array, r: number): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += omega[r * row.length + i] * row[i];
  return sum;
}

function checkedRows(x: ArrayLike<number>, d: number): Float64Array {
  if (x.length % d !== 0) {
    throw new PerformersError('PF202', `x must be rows of d = ${d} numbers, got ${x.length} numbers`, {
      at: 'features.x',
      mend: `pass whole rows of width ${d}, or make the map for the width of x`,
    });
  }
  return Float64Array.from({ length: x.length }, (_, i) => {
    if (Number.isFinite(x[i])) return x[i];
    throw new PerformersError('PF202', `x[${i}] must be finite, got ${x[i]}`, {
      at: 'features.x',
      mend: 'mask or drop rows that are NaN or infinite',
    });
  });
}
