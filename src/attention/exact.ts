/**
 * Softmax attention (Vaswani et al. 2017, eq. 1), the one every other module here approximates:
 *   O_i = Σ_j softmax_j(scale·q_i·k_j + keyBias_j) v_j
 * computed online (Milakov and Gimelshein 2018; Rabe and Staats 2021): keys come in blocks, and when a block raises the
 * maximum from μ to μ′, the running sum and output are multiplied by exp(μ − μ′). Memory is one block of scores, and exp
 * never overflows. A query with every key masked has no softmax; it gives zeros.
 */
import { PerformersError } from '../errors.js';

export type Reals = Float32Array | Float64Array;

/** One attention layer, arrays row-major; read in their own precision, computed in float64. */
export interface AttentionInput {
  readonly B: number;
  readonly H: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly q: Reals; // [B,H,N,D]
  readonly k: Reals; // [B,H,S,D]
  readonly v: Reals; // [B,H,S,E]
  readonly scale: number;
  /** Added to every score of a key; −Infinity masks the key. Default: none. */
  readonly keyBias?: Reals; // [B,S]
}

/** @throws PerformersError PF202 naming every array of the wrong length */
export function exactAttention(input: AttentionInput, { block = 256 }: { block?: number } = {}): Float64Array {
  checkInput(input);
  checkWhole('block', block, 1);
  const { B, H, N, S, E } = input;
  const out = new Float64Array(B * H * N * E); // [B,H,N,E]
  const keys = Int32Array.from({ length: S }, (_, j) => j);
  for (let bh = 0; bh < B * H; bh++) {
    for (let i = 0; i < N; i++) attend(input, bh, i, keys, block, out);
  }
  return out;
}

/** Attends query `i` of batch-head `bh` to `keys` alone, `block` of them at a time, into its row of `out` [B,H,N,E]. */
export function attend(
  { H, N, S, D, E, q, k, v, scale, keyBias }: AttentionInput,
  bh: number,
  i: number,
  keys: Int32Array,
  block: number,
  out: Float64Array,
): void {
  const query = (bh * N + i) * D;
  const biasRow = Math.floor(bh / H) * S;
  const row = out.subarray((bh * N + i) * E, (bh * N + i + 1) * E);
  const scores = new Float64Array(Math.min(block, keys.length));
  let max = -Infinity;
  let sum = 0;
  for (let start = 0; start < keys.length; start += block) {
    const part = keys.subarray(start, start + block);
    let raised = max;
    for (let t = 0; t < part.length; t++) {
      scores[t] = scale * dot(q, query, k, (bh * S + part[t]) * D, D) + (keyBias ? keyBias[biasRow + part[t]] : 0);
      raised = Math.max(raised, scores[t]);
    }
    // Nothing but masked keys so far; exp(−∞ + ∞) would be NaN.
    if (raised === -Infinity) continue;
    const rescale = Math.exp(max - raised);
    sum *= rescale;
    for (let e = 0; e < E; e++) row[e] *= rescale;
    for (let t = 0; t < part.length; t++) {
      const weight = Math.exp(scores[t] - raised);
      // A masked key counts for nothing even where its value is not finite.
      if (weight === 0) continue;
      sum += weight;
      for (let e = 0; e < E; e++) row[e] += weight * v[(bh * S + part[t]) * E + e];
    }
    max = raised;
  }
  if (sum !== 0) for (let e = 0; e < E; e++) row[e] /= sum;
}

/** Σ_d a[i + d] b[j + d], d < width. */
export function dot(a: Reals, i: number, b: Reals, j: number, width: number): number {
  let sum = 0;
  for (let d = 0; d < width; d++) sum += a[i + d] * b[j + d];
  return sum;
}

/** @throws PerformersError PF202 naming every array of the wrong length */
export function checkInput({ B, H, N, S, D, E, q, k, v, keyBias }: AttentionInput): void {
  const wrong = [
    lengthError('q', q, '[B,H,N,D]', [B, H, N, D]),
    lengthError('k', k, '[B,H,S,D]', [B, H, S, D]),
    lengthError('v', v, '[B,H,S,E]', [B, H, S, E]),
    keyBias && lengthError('keyBias', keyBias, '[B,S]', [B, S]),
  ].filter((message) => message !== undefined);
  if (wrong.length === 0) return;
  throw new PerformersError('PF202', wrong.join('; '), {
    at: 'attention',
    mend: 'pass row-major arrays of these shapes',
  });
}

/** What is wrong with the length of `array`, or undefined. */
export function lengthError(name: string, array: Reals, axes: string, shape: number[]): string | undefined {
  const size = shape.reduce((product, axis) => product * axis, 1);
  if (array.length === size) return undefined;
  return `${name} must hold ${axes} = [${shape.join(',')}] = ${size} numbers, got ${array.length}`;
}

/** @throws PerformersError PF202 unless `value` is an integer ≥ `least` */
export function checkWhole(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new PerformersError('PF202', `${name} must be an integer >= ${least}, got ${value}`, {
    at: `attention.${name}`,
    mend: `use a whole number, ${least} or more`,
  });
}
