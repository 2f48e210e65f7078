/**
 * The quadratic form of a kernel machine's dual, K + 1, seen one coordinate at a time: by a Gram matrix, or by features that never form
 * one. The 1 is the bias, as a constant feature. f = (K + 1)β is what both keep; they differ in what a step of β costs:
 *   of a Gram matrix   n to change β, 1 to read f    (8n² bytes)
 *   of features        M to change β, M to read f    (8nM bytes);   w = Σᵢ βᵢ φ(xᵢ), f(x) = Σᵣ signᵣ wᵣ φᵣ(x) + Σ β
 * Signs make the form indefinite, K = Φ S Φᵀ; the exact indefinite kernel and its features then go through one solver.
 *
 * Shapes: K [n,n], Φ [n,M], β [n] → f [n].
 * Numerics: float64. A Gram matrix keeps f and adds each step to it, some 1e-16 of rounding a step; features read f from their weights.
 */
import { PerformersError } from '../errors.js';

export interface QuadraticForm {
  readonly n: number;
  /** K_ii + 1; not positive everywhere when the kernel is indefinite. */
  readonly diagonal: Float64Array;
  /** f_i = Σ_j (K_ij + 1) β_j */
  readonly read: (i: number) => number;
  /** β_i += step */
  readonly change: (i: number, step: number) => void;
  /** β back to 0. */
  readonly reset: () => void;
  /** What predicts: β's of training rows, or weights of features with the bias last. */
  readonly solution: () => Float64Array;
}

/** @throws PerformersError PF423 unless `matrix` is n × n finite numbers */
export function gramForm(matrix: ArrayLike<number>): QuadraticForm {
  const n = Math.sqrt(matrix.length);
  if (!Number.isInteger(n) || n === 0) {
    throw wrong(
      'gram',
      `a Gram matrix must be n x n numbers, got ${matrix.length}`,
      'pass K of the training rows with themselves',
    );
  }
  const lifted = finite(matrix, 'gram').map((value) => value + 1);
  const f = new Float64Array(n);
  const beta = new Float64Array(n);
  return {
    n,
    diagonal: Float64Array.from({ length: n }, (_, i) => lifted[i * n + i]),
    read: (i) => f[i],
    change: (i, step) => {
      beta[i] += step;
      // Row i is column i: a Gram matrix is symmetric.
      for (let j = 0, at = i * n; j < n; j++, at++) f[j] += step * lifted[at];
    },
    reset: () => {
      f.fill(0);
      beta.fill(0);
    },
    solution: () => beta.slice(),
  };
}

/**
 * `phi` [n,M] with the sign of each channel, all + by default.
 * @throws PerformersError PF423 unless `phi` is whole rows of finite numbers and `signs` one ±1 a channel
 */
export function featureForm(
  phi: ArrayLike<number>,
  width: number,
  signs: ArrayLike<number> = plus(width),
): QuadraticForm {
  const x = checkRows(phi, width, 'features');
  checkSigns(signs, width);
  const n = x.length / width;
  const weights = new Float64Array(width + 1); // signed, so that f(x) = w·φ(x) + bias
  const diagonal = Float64Array.from({ length: n }, (_, i) => {
    let sum = 1;
    for (let r = 0; r < width; r++) sum += signs[r] * x[i * width + r] ** 2;
    return sum;
  });
  return {
    n,
    diagonal,
    read: (i) => {
      let sum = weights[width];
      for (let r = 0, at = i * width; r < width; r++, at++) sum += weights[r] * x[at];
      return sum;
    },
    change: (i, step) => {
      for (let r = 0, at = i * width; r < width; r++, at++) weights[r] += step * signs[r] * x[at];
      weights[width] += step;
    },
    reset: () => {
      weights.fill(0);
    },
    solution: () => weights.slice(),
  };
}

/**
 * Decision values f(x) [p, solutions] of test rows: `rows` [p,width] are K(test, train) for solutions of a Gram matrix, features for
 * solutions of features.
 * @throws PerformersError PF423 unless rows fit the solutions
 */
export function decide(
  rows: ArrayLike<number>,
  solutions: readonly Float64Array[],
  kind: 'gram' | 'features',
): Float64Array {
  const width = (solutions[0]?.length ?? 0) - (kind === 'features' ? 1 : 0);
  const x = checkRows(rows, width, 'rows');
  const p = x.length / width;
  const out = new Float64Array(p * solutions.length);
  solutions.forEach((solution, c) => {
    const bias = kind === 'features' ? solution[width] : solution.reduce((sum, beta) => sum + beta, 0);
    for (let i = 0; i < p; i++) {
      let sum = bias;
      for (let r = 0, at = i * width; r < width; r++, at++) sum += solution[r] * x[at];
      out[i * solutions.length + c] = sum;
    }
  });
  return out;
}

/** @throws PerformersError PF423 unless `values` are whole rows of finite numbers, one at least */
export function checkRows(values: ArrayLike<number>, width: number, name: string): Float64Array {
  if (!Number.isInteger(width) || width < 1 || values.length === 0 || values.length % width !== 0) {
    throw wrong(
      name,
      `${name} must be rows of ${width} numbers, got ${values.length} numbers`,
      'pass whole rows, one at least',
    );
  }
  return finite(values, name);
}

export function checkSigns(signs: ArrayLike<number>, width: number): void {
  const bad = Array.from({ length: width }, (_, r) => r).find((r) => signs[r] !== 1 && signs[r] !== -1);
  if (signs.length === width && bad === undefined) return;
  const what =
    signs.length === width
      ? `signs[${bad}] must be 1 or -1, got ${signs[bad ?? 0]}`
      : `signs must be ${width} numbers, got ${signs.length}`;
  throw wrong('signs', what, 'pass the signs of the map that made the features');
}

/** @throws PerformersError PF423 unless `value` is finite and > 0 */
export function checkPositive(name: string, value: number): void {
  if (value > 0 && Number.isFinite(value)) return;
  throw wrong(name, `${name} must be a positive number, got ${value}`, `use ${name} = 1`);
}

/** @throws PerformersError PF423 unless there is one finite target for each of n rows */
export function checkTargets(name: string, targets: ArrayLike<number>, n: number): Float64Array {
  if (targets.length !== n)
    throw wrong(
      name,
      `${name} must be ${n} numbers, one a row, got ${targets.length}`,
      'pass one for each training row',
    );
  return finite(targets, name);
}

export function wrong(name: string, message: string, mend: string): PerformersError {
  return new PerformersError('PF423', message, { at: `machines.${name}`, mend });
}

function finite(values: ArrayLike<number>, name: string): Float64Array {
  const out = Float64Array.from(values);
  const bad = out.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return out;
  throw wrong(name, `${name}[${bad}] must be finite, got ${out[bad]}`, 'mask or drop rows that are NaN or infinite');
}

function plus(width: number): Int8Array {
  return new Int8Array(Math.max(width, 0) || 0).fill(1);
}
