/**
 * Causal attention with positive features behind a window, by its definition (float64, every pair by itself): what a key weighs
 * depends on whether it is in the window of the query's block and, if not, on how many blocks have ended since it left. Judges
 * src/ and imports nothing from it.
 */
import type { Attention } from './attention.js';

export interface CausalFeatures {
  readonly block: number;
  /** Keys of the query's block and before it that are scored exactly; 0: none, and the query's own block is scored by features. */
  readonly window: number;
  readonly m: number;
  readonly queryOmega: ArrayLike<number>; // [H,M,D]
  readonly keyOmega: ArrayLike<number>; // [H,M,D]
  readonly bias: ArrayLike<number>; // [H,M]
  /** A token of distance [H]. */
  readonly decay?: ArrayLike<number>;
}

/** [B,H,N,E]; N = S, keys with bias −∞ are not there at all, and their queries give NaN. */
export function causalFeatureAttention(input: Attention, features: CausalFeatures): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const out = new Float64Array(B * H * N * E).fill(Number.NaN);
  const row = (data: Float64Array, head: number, i: number, width: number, factor: number) =>
    Array.from(data.subarray((head * S + i) * width, (head * S + i + 1) * width), (value) => factor * value);
  for (let b = 0; b < B; b++) {
    const tokens = Array.from({ length: S }, (_, j) => j).filter((j) => !keyBias || keyBias[b * S + j] === 0);
    for (let h = 0; h < H; h++) {
      const head = b * H + h;
      const keys = tokens.map((j) => row(k, head, j, D, Math.sqrt(scale)));
      const values = tokens.map((j) => row(v, head, j, E, 1));
      for (const [position, token] of tokens.entries()) {
        const x = row(q, head, token, D, Math.sqrt(scale));
        const logits = keys.slice(0, position + 1).map((y, j) => logit(x, y, { position, j, h, features }));
        const most = Math.max(...logits);
        const weights = logits.map((value) => Math.exp(value - most));
        const total = weights.reduce((a, c) => a + c, 0);
        for (let e = 0; e < E; e++)
          out[(head * N + token) * E + e] = weights.reduce((sum, w, j) => sum + w * values[j][e], 0) / total;
      }
    }
  }
  return out;
}

interface Pair {
  readonly position: number;
  readonly j: number;
  readonly h: number;
  readonly features: CausalFeatures;
}

function logit(x: readonly number[], y: readonly number[], { position, j, h, features }: Pair): number {
  const { block, window, decay } = features;
  const beyond = Math.max(window, block) - block;
  const queryBlock = Math.floor(position / block);
  if (window > 0 && j >= queryBlock * block - beyond) return dot(x, y);
  // Where block `leaves` ends, the key has left; its own block counts as not having left.
  const leaves = Math.floor((j + beyond) / block);
  const age = Math.max(0, queryBlock - 1 - leaves);
  return logKernel(x, y, h, features) - (decay?.[h] ?? 0) * block * age;
}

/** ln Σᵣ exp(qᵣ·x − |x|²/2 + bᵣ) exp(kᵣ·y − |y|²/2 + bᵣ) */
function logKernel(x: readonly number[], y: readonly number[], h: number, features: CausalFeatures): number {
  const { m, queryOmega, keyOmega, bias } = features;
  const D = x.length;
  const project = (omega: ArrayLike<number>, r: number, z: readonly number[]) =>
    z.reduce((sum, value, d) => sum + value * omega[(h * m + r) * D + d], 0);
  const exponents = Array.from(
    { length: m },
    (_, r) => project(queryOmega, r, x) + project(keyOmega, r, y) - dot(x, x) / 2 - dot(y, y) / 2 + 2 * bias[h * m + r],
  );
  const most = Math.max(...exponents);
  return most + Math.log(exponents.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
