/**
 * What a kernel is to the methods that approximate it: a function of two rows, and as much of its structure as is known.
 * A method says what it needs (a signed measure, a profile, a series) and refuses a kernel that lacks it with PF411.
 */
import { PerformersError } from '../../errors.js';
import { checkCount } from '../gaussian.js';
import type { SignedMeasure } from './measure.js';

export interface Kernel {
  /** As in the registry. */
  readonly name: string;
  /** Width of a row. */
  readonly d: number;
  /** 'sphere': rows are unit vectors, and elsewhere k means nothing. */
  readonly domain: 'space' | 'sphere';
  /** k(x, y), x and y [d]. Unchecked: `gram` checks rows. */
  readonly value: (x: ArrayLike<number>, y: ArrayLike<number>) => number;
  /** k as a function of one distance, for kernels that are. */
  readonly profile?: Profile;
  /** The spectral measure, where it is known in closed form and has finite mass. Otherwise it is fitted to the profile. */
  readonly measure?: SignedMeasure;
  /** k as a power series in x·y, for kernels that have one: what Maclaurin and tensor sketches work on. */
  readonly series?: readonly Series[];
}

/** k(x, y) = of(|x − y|), in the 1-norm or the 2-norm. */
export interface Profile {
  readonly norm: 1 | 2;
  readonly of: (distance: number) => number;
  /** Largest distance expected: 2 on the sphere. Fits hold on [0, range] and not beyond. */
  readonly range: number;
}

/** One term of k(x, y) = Σ factor(|x|²) factor(|y|²) Σₙ coefficient(n) (x·y)ⁿ. Coefficients may be negative. */
export interface Series {
  readonly coefficient: (n: number) => number;
  /** The last n whose coefficient is not 0; Infinity for a series without end. */
  readonly degree: number;
  /** Default 1. */
  readonly factor?: (square: number) => number;
  /** Where the series is (offset + slope x·y)^degree, offset ≥ 0, slope > 0: one tensor sketch then serves all of it. */
  readonly power?: { readonly offset: number; readonly slope: number; readonly degree: number };
}

/** K [n,p] of rows x [n,d] and y [p,d], default y = x. @throws PerformersError PF202, PF413 */
export function gram(kernel: Kernel, x: ArrayLike<number>, y: ArrayLike<number> = x): Float64Array {
  const left = splitRows(kernel, x);
  const right = y === x ? left : splitRows(kernel, y);
  const out = new Float64Array(left.length * right.length);
  left.forEach((row, i) => {
    right.forEach((other, j) => {
      out[i * right.length + j] = kernel.value(row, other);
    });
  });
  return out;
}

/** The rows of x [n,d], checked: whole, finite, and of unit length where the kernel asks for it. */
export function splitRows(kernel: Pick<Kernel, 'd' | 'domain' | 'name'>, x: ArrayLike<number>): Float64Array[] {
  const { d } = kernel;
  if (x.length % d !== 0) {
    throw new PerformersError('PF202', `x must be rows of d = ${d} numbers, got ${x.length} numbers`, {
      at: 'features.x',
      mend: `pass whole rows of width ${d}, or make the kernel for the width of x`,
    });
  }
  return Array.from({ length: x.length / d }, (_, i) => {
    const row = Float64Array.from({ length: d }, (_, l) => x[i * d + l]);
    const bad = row.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new PerformersError('PF202', `x[${i * d + bad}] must be finite, got ${row[bad]}`, {
        at: 'features.x',
        mend: 'mask or drop rows that are NaN or infinite',
      });
    }
    if (kernel.domain === 'sphere') checkUnit(kernel.name, row, i);
    return row;
  });
}

/** @throws PerformersError PF413 unless |row| = 1 to float32 rounding */
export function checkUnit(kernel: string, row: Float64Array, index: number): void {
  const length = Math.sqrt(dot(row, row));
  if (Math.abs(length - 1) < 1e-4) return;
  throw new PerformersError('PF413', `row ${index} must have length 1 for the ${kernel} kernel, got ${length}`, {
    at: 'features.x',
    mend: 'divide every row by its length, or append coordinates that make all lengths equal',
  });
}

/** @throws PerformersError PF410 unless `value` is finite and > 0 */
export function checkPositive(kernel: string, name: string, value: number): void {
  if (Number.isFinite(value) && value > 0) return;
  throw new PerformersError('PF410', `${name} must be finite and > 0, got ${value}`, {
    at: `kernels.${kernel}.${name}`,
    mend: `use a positive ${name}, of the order of the distances between rows`,
  });
}

/** @throws PerformersError PF202 for a d that is no count, PF410 for a parameter that is not positive */
export function checkParameters(kernel: string, d: number, parameters: Record<string, number>): void {
  checkCount('d', d);
  for (const [name, value] of Object.entries(parameters)) checkPositive(kernel, name, value);
}

export function dot(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let l = 0; l < x.length; l++) sum += x[l] * y[l];
  return sum;
}

/** |x − y| in the 1-norm or the 2-norm. */
export function distance(norm: 1 | 2, x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let l = 0; l < x.length; l++) sum += norm === 1 ? Math.abs(x[l] - y[l]) : (x[l] - y[l]) ** 2;
  return norm === 1 ? sum : Math.sqrt(sum);
}

/** A kernel that is its profile. */
export function distanceKernel(
  kernel: Omit<Kernel, 'value' | 'profile'> & { readonly profile: Profile },
): Kernel & { readonly profile: Profile } {
  const { norm, of } = kernel.profile;
  return { ...kernel, value: (x, y) => of(distance(norm, x, y)) };
}
