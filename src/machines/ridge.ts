/**
 * Ridge regression on features of signs S, and on a Gram matrix, indefinite kernels included:
 *   by features   (ΦᵀΦ + λS) w = Φᵀ y,   f(x) = w·φ(x)          M³·2/3 + nM² flops
 *   by the kernel (K + λI) α = y,         f(x) = Σ αᵢ k(xᵢ, x)   n³·2/3 flops
 * Both are one solution when K = Φ S Φᵀ: multiply (ΦSΦᵀ + λI) α = y by Φᵀ and put w = SΦᵀα. For S = I this is ridge regression; otherwise
 * the regularised stationary point in the Krein space (Ong et al. 2004, section 4). λ has to stay away from −λᵢ of every
 * negative eigenvalue λᵢ of K, where the system is singular: that is PF424.
 *
 * Shapes: Φ [n,M] or K [n,n], y [n] or [n,t] for t targets → w [M,t] or α [n,t].
 * Numerics: float64, elimination with row pivoting (solve.ts): K + λI need not be positive definite.
 * Bytes: 8(M² + Mt) by features, beside Φ; 8(n² + nt) by the kernel.
 */
import { checkPositive, checkRows, checkSigns, wrong } from './quadratic.js';
import { solve } from './solve.js';

export interface RidgeOptions {
  /** λ > 0. */
  readonly lambda: number;
}

/**
 * Features phi [n,M], targets [n,p] → weights w [M,p]. No bias: centre the targets, or add a constant feature.
 * @throws PerformersError PF423 for shapes or values that do not fit, PF424 for a singular system
 */
export function featureRidge(
  phi: ArrayLike<number>,
  targets: ArrayLike<number>,
  { lambda, width, signs }: RidgeOptions & { readonly width: number; readonly signs?: ArrayLike<number> },
): Float64Array {
  checkPositive('lambda', lambda);
  const x = checkRows(phi, width, 'features');
  const n = x.length / width;
  if (signs) checkSigns(signs, width);
  const y = checkRows(targets, targets.length / n, 'targets');
  const p = y.length / n;
  const system = new Float64Array(width * width);
  const right = new Float64Array(width * p);
  for (let i = 0; i < n; i++) {
    const row = x.subarray(i * width, (i + 1) * width);
    for (let r = 0; r < width; r++) {
      for (let s = 0, at = r * width; s <= r; s++, at++) system[at] += row[r] * row[s];
      for (let j = 0; j < p; j++) right[r * p + j] += row[r] * y[i * p + j];
    }
  }
  for (let r = 0; r < width; r++) {
    system[r * width + r] += lambda * (signs ? signs[r] : 1);
    for (let s = 0; s < r; s++) system[s * width + r] = system[r * width + s];
  }
  return solve(system, right, width, mend);
}

/**
 * Gram matrix K [n,n], targets [n,p] → α [n,p].
 * @throws PerformersError PF423 for shapes or values that do not fit, PF424 for a singular system
 */
export function kernelRidge(
  gram: ArrayLike<number>,
  targets: ArrayLike<number>,
  { lambda }: RidgeOptions,
): Float64Array {
  checkPositive('lambda', lambda);
  const n = Math.sqrt(gram.length);
  if (!Number.isInteger(n) || n === 0) {
    throw wrong(
      'gram',
      `a Gram matrix must be n x n numbers, got ${gram.length}`,
      'pass K of the training rows with themselves',
    );
  }
  const system = checkRows(gram, n, 'gram');
  const y = checkRows(targets, targets.length / n, 'targets');
  for (let i = 0; i < n; i++) system[i * n + i] += lambda;
  return solve(system, y, n, mend);
}

/** Predictions rows·weights [q,p]: features by w, or K(test, train) by α. @throws PerformersError PF423 */
export function ridgePredict(rows: ArrayLike<number>, weights: Float64Array, width: number): Float64Array {
  const x = checkRows(rows, width, 'rows');
  const p = weights.length / width;
  if (!Number.isInteger(p))
    throw wrong(
      'weights',
      `weights must be rows for ${width} columns, got ${weights.length} numbers`,
      'pass what training gave',
    );
  const q = x.length / width;
  const out = new Float64Array(q * p);
  for (let i = 0; i < q; i++) {
    for (let r = 0; r < width; r++) {
      for (let j = 0; j < p; j++) out[i * p + j] += x[i * width + r] * weights[r * p + j];
    }
  }
  return out;
}

const mend = 'change lambda: it meets a negative eigenvalue of the kernel; with S = I, use a larger one';
