/**
 * Exact attention in float64 for a few of the queries of a layer, so that every length can be judged: all keys of all heads take
 * part, and O(N) is what it costs.
 */
import { compare } from '../metrics.js';
import type { LayerShape } from './shape.js';

/** Some of an output [1,N,H·D]: these queries, so many heads from the first. */
export interface Part {
  readonly rows: readonly number[];
  readonly heads: number;
}

/** q, k, v [1,N,H·D] */
export interface LayerInputs {
  readonly n: number;
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** `count` queries from the first to the last, evenly. */
export function sampleRows(n: number, count = 8): number[] {
  const last = Math.min(count, n) - 1;
  return last === 0 ? [0] : Array.from({ length: last + 1 }, (_, i) => Math.round((i * (n - 1)) / last));
}

/** Rows [rows,H·D] of softmax(q·kᵀ/√D)·v. */
export function exactRows(shape: LayerShape, { n, q, k, v }: LayerInputs, rows: readonly number[]): Float64Array {
  const { heads, width, causal } = shape;
  const stride = heads * width;
  const out = new Float64Array(rows.length * stride);
  const scores = new Float64Array(n);
  for (const [r, i] of rows.entries()) {
    const keys = causal ? i + 1 : n;
    for (let at = 0; at < stride; at += width) {
      let most = Number.NEGATIVE_INFINITY;
      for (let j = 0; j < keys; j++) {
        let sum = 0;
        for (let d = at; d < at + width; d++) sum += q[i * stride + d] * k[j * stride + d];
        scores[j] = sum / Math.sqrt(width);
        most = Math.max(most, scores[j]);
      }
      let total = 0;
      for (let j = 0; j < keys; j++) {
        const weight = Math.exp(scores[j] - most);
        total += weight;
        for (let d = 0; d < width; d++) out[r * stride + at + d] += weight * v[j * stride + at + d];
      }
      for (let d = 0; d < width; d++) out[r * stride + at + d] /= total;
    }
  }
  return out;
}

/** Relative RMS error of a layer's output [1,N,H·D] on some of its queries. */
export function rowError(
  shape: LayerShape,
  inputs: LayerInputs,
  output: Float32Array,
  rows = sampleRows(inputs.n),
): number {
  return partError(shape, output, { rows, heads: shape.heads }, exactRows(shape, inputs, rows));
}

/** The same of the first heads alone, against `want` [rows,heads·D]. */
export function partError(
  shape: LayerShape,
  output: Float32Array,
  { rows, heads }: Part,
  want: ArrayLike<number>,
): number {
  const [stride, width] = [shape.heads * shape.width, heads * shape.width];
  const got = new Float64Array(rows.length * width);
  for (const [r, i] of rows.entries()) got.set(output.subarray(i * stride, i * stride + width), r * width);
  return compare(got, want).relRMS;
}
