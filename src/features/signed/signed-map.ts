/**
 * Features of a kernel that need not be positive definite: k(x, y) ≈ φ(x)ᵀ S φ(y), S = diag(±1). Channels of sign + come
 * first. In a linear model the signs are absorbed by the weights; where products of features are formed (Gram matrices,
 * attention, kernel sums) they must not be forgotten.
 */
import { PerformersError } from '../../errors.js';
import type { Kernel } from '../kernels/kernel.js';
import type { RowMap } from '../row-map.js';

export interface SignedMap extends RowMap {
  /** +1 or −1 a channel, all + before all −. */
  readonly signs: Int8Array; // [features]
  /** Bytes of the constants, as float64. */
  readonly bytes: number;
  /** Floating-point operations a row; a cosine, sine or exponential counts as one. */
  readonly flops: number;
  /** What the map was made from, where it is cosines and sines: for quantisers and for ONNX. */
  readonly fourier?: FourierConstants;
}

/**
 * φ(x) = [√c₀ ; aᵣ cos(ωᵣ·x) ; aᵣ sin(ωᵣ·x)] over the positive frequencies, and the same over the negative ones. The
 * constant channel of a block is there if its c₀ > 0.
 */
export interface FourierConstants {
  readonly positive: FourierBlock;
  readonly negative: FourierBlock;
}

export interface FourierBlock {
  /** c₀ ≥ 0. */
  readonly constant: number;
  readonly omega: Float64Array; // [n,d]
  readonly amplitude: Float64Array; // [n]
}

export interface FitOptions {
  /** Channels at most: what is left over from whole cosine and sine pairs is not used. */
  readonly m: number;
  /** An integer in [0, 2³²). Default 0. */
  readonly seed?: number;
  /**
   * Rows [n,d] from where the kernel will be used. Kernels whose measure is fitted are fitted for the distances between
   * these; by default for distances uniform on [0, range]. Methods without a fit spread their channels by them.
   */
  readonly rows?: ArrayLike<number>;
}

/**
 * A method: makes features of a kernel. The same options give the same features.
 * @throws PerformersError PF202 for a bad m, seed or rows, PF411 for a kernel the method does not fit, PF412 for an m too small
 */
export type KernelFeatures = (kernel: Kernel, options: FitOptions) => SignedMap;

/** K̂ [n,p] = Φ(x) S Φ(y)ᵀ of features [n,M] and [p,M], default of one set with itself. */
export function signedGram(signs: Int8Array, left: Float64Array, right: Float64Array = left): Float64Array {
  const width = signs.length;
  const [n, p] = [left.length / width, right.length / width];
  if (!Number.isInteger(n) || !Number.isInteger(p)) {
    throw new PerformersError(
      'PF202',
      `features must be rows of ${width} numbers, got ${left.length} and ${right.length}`,
      {
        at: 'features.signedGram',
        mend: 'pass what phi of the map with these signs gives',
      },
    );
  }
  const out = new Float64Array(n * p);
  const signed = new Float64Array(width);
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < width; r++) signed[r] = signs[r] * left[i * width + r];
    const end = right === left ? i + 1 : p;
    for (let j = 0; j < end; j++) out[i * p + j] = product(signed, right, j * width);
  }
  if (right === left) for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) out[i * n + j] = out[j * n + i];
  return out;
}

/** a · the row of b that begins at `at`, in four independent sums, which is what a processor needs to keep busy. */
function product(a: Float64Array, b: Float64Array, at: number): number {
  const whole = a.length - (a.length % 4);
  let [first, second, third, fourth] = [0, 0, 0, 0];
  for (let r = 0; r < whole; r += 4) {
    first += a[r] * b[at + r];
    second += a[r + 1] * b[at + r + 1];
    third += a[r + 2] * b[at + r + 2];
    fourth += a[r + 3] * b[at + r + 3];
  }
  for (let r = whole; r < a.length; r++) first += a[r] * b[at + r];
  return first + second + third + fourth;
}
