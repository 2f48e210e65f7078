/**
 * A trained deep kernel network as it is kept: packed matrices and a few float32 numbers. It predicts from these, in plain JavaScript and
 * float64; nothing of training is needed.
 */
import { PerformersError } from '../errors.js';
import type { DeepKernelShape } from '../quant/memory.js';
import { dequantize, type Quantized, quantizedBytes } from '../quant/scheme.js';

export type StoredMatrix = Quantized | { readonly bits: 32; readonly data: Float32Array };

export interface DeepKernelParts {
  readonly shape: DeepKernelShape;
  readonly layers: readonly StoredMatrix[];
  readonly gains: Float32Array;
  readonly head: StoredMatrix;
  readonly bias: Float32Array;
}

export interface DeepKernelModel extends DeepKernelParts {
  /** Of all that is kept. */
  readonly bytes: number;
  /** The last layer's features h [n,2D] of rows x [n,d]. @throws PerformersError PF425 unless x is whole rows of finite numbers */
  readonly features: (x: ArrayLike<number>) => Float64Array;
  /** Class scores [n,outputs]. @throws PerformersError PF425 unless x is whole rows of finite numbers */
  readonly scores: (x: ArrayLike<number>) => Float64Array;
  /** The class of the largest score [n]. @throws PerformersError PF425 unless x is whole rows of finite numbers */
  readonly predict: (x: ArrayLike<number>) => Int32Array;
}

export function deepKernelModel(parts: DeepKernelParts): DeepKernelModel {
  const { shape, layers, gains, head, bias } = parts;
  const { inputs, width, outputs } = shape;
  const features = (x: ArrayLike<number>): Float64Array => {
    let h = checkedRows(x, inputs);
    let cols = inputs;
    layers.forEach((layer, l) => {
      const angles = product(h, numbers(layer), cols);
      const n = angles.length / width;
      const next = new Float64Array(n * 2 * width);
      for (let i = 0; i < n; i++) {
        for (let r = 0; r < width; r++) {
          const angle = gains[l] * angles[i * width + r];
          next[i * 2 * width + r] = Math.cos(angle) / Math.sqrt(width);
          next[i * 2 * width + width + r] = Math.sin(angle) / Math.sqrt(width);
        }
      }
      h = next;
      cols = 2 * width;
    });
    return h;
  };
  const scores = (x: ArrayLike<number>): Float64Array =>
    product(features(x), numbers(head), 2 * width).map((value, at) => value + bias[at % outputs]);
  const predict = (x: ArrayLike<number>): Int32Array => {
    const values = scores(x);
    return Int32Array.from({ length: values.length / outputs }, (_, i) => {
      const row = values.subarray(i * outputs, (i + 1) * outputs);
      return row.indexOf(Math.max(...row));
    });
  };
  const bytes = [...layers, head].reduce((sum, matrix) => sum + matrixBytes(matrix), 4 * (gains.length + bias.length));
  return { ...parts, bytes, features, scores, predict };
}

function numbers(matrix: StoredMatrix): Float64Array {
  return 'scheme' in matrix ? dequantize(matrix) : Float64Array.from(matrix.data);
}

function matrixBytes(matrix: StoredMatrix): number {
  return 'scheme' in matrix ? quantizedBytes(matrix) : matrix.data.byteLength;
}

/** x wᵀ for x [n,cols], w [rows,cols]. */
function product(x: Float64Array, w: Float64Array, cols: number): Float64Array {
  const rows = w.length / cols;
  const n = x.length / cols;
  const out = new Float64Array(n * rows);
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let c = 0, a = i * cols, b = r * cols; c < cols; c++, a++, b++) sum += x[a] * w[b];
      out[i * rows + r] = sum;
    }
  }
  return out;
}

function checkedRows(x: ArrayLike<number>, d: number): Float64Array {
  const fail = (message: string): never => {
    throw new PerformersError('PF425', message, { at: 'learn.x', mend: `pass whole rows of ${d} finite numbers` });
  };
  if (x.length % d !== 0) fail(`x must be rows of d = ${d} numbers, got ${x.length} numbers`);
  const rows = Float64Array.from(x);
  const bad = rows.findIndex((value) => !Number.isFinite(value));
  return bad < 0 ? rows : fail(`x[${bad}] must be finite, got ${rows[bad]}`);
}
