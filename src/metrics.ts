import { halfToNumber } from './onnx/tensor.js';
import type { TensorLike } from './session.js';

/** How far one output is from the original's. */
export interface OutputError {
  readonly name: string;
  /** √(Σ(got − want)² / Σ want²); 0 when both are zero, Infinity when only the original is or shapes differ. */
  readonly relRMS: number;
  readonly maxAbs: number;
}

/** Errors of all outputs. Integer outputs count a differing element as an error of its difference. */
export function compareOutputs(
  got: Readonly<Record<string, TensorLike>>,
  want: Readonly<Record<string, TensorLike>>,
): OutputError[] {
  return Object.entries(want).map(([name, tensor]) => ({ name, ...compare(toNumbers(got[name]), toNumbers(tensor)) }));
}

/** Compares element by element; NaN or a missing element on one side alone makes the error infinite. */
export function compare(got: ArrayLike<number>, want: ArrayLike<number>): { relRMS: number; maxAbs: number } {
  if (got.length !== want.length) return { relRMS: Number.POSITIVE_INFINITY, maxAbs: Number.POSITIVE_INFINITY };
  let difference = 0;
  let size = 0;
  let maxAbs = 0;
  for (let i = 0; i < want.length; i++) {
    const [x, y] = [got[i] ?? Number.NaN, want[i] ?? Number.NaN];
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
      if (Number.isFinite(y)) size += y * y;
      continue;
    }
    const error = Math.abs(x - y);
    if (!Number.isFinite(error)) return { relRMS: Number.POSITIVE_INFINITY, maxAbs: Number.POSITIVE_INFINITY };
    difference += error * error;
    size += y * y;
    maxAbs = Math.max(maxAbs, error);
  }
  return { relRMS: difference === 0 ? 0 : Math.sqrt(difference / size), maxAbs };
}

/** Pearson correlation; 0 when either side is constant. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = Math.min(a.length, b.length);
  let [sumA, sumB] = [0, 0];
  for (let i = 0; i < n; i++) {
    sumA += a[i] ?? 0;
    sumB += b[i] ?? 0;
  }
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [(a[i] ?? 0) - sumA / n, (b[i] ?? 0) - sumB / n];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

/** The elements of a tensor of any type as numbers; none of none. */
export function toNumbers(tensor: TensorLike | undefined): ArrayLike<number> {
  if (!tensor) return [];
  // Where there is no Float16Array, onnxruntime gives the bits.
  if (tensor.data instanceof Uint16Array && tensor.type === 'float16')
    return Float32Array.from(tensor.data, halfToNumber);
  return tensor.data instanceof Float32Array
    ? tensor.data
    : Array.from<number | bigint | string, number>(tensor.data, Number);
}
