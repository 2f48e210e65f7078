/**
 * Attention with a signed kernel by definition, weights written out pair by pair from cosines of differences: float64, and sharing
 * nothing with src/. It knows no summaries and no features.
 */
import type { Attention } from './attention.js';

/** Frequencies ω [n,D] with signed weights: k̂(x, y) = constant + Σᵣ weightᵣ cos(ωᵣ·(x − y)). */
export interface SignedFrequencies {
  readonly constant: number;
  readonly omega: Float64Array; // [n,D]
  readonly weight: Float64Array; // [n]
}

/** k̂ at x and y [D]. */
export function signedKernel({ constant, omega, weight }: SignedFrequencies, x: Float64Array, y: Float64Array): number {
  let sum = constant;
  for (let r = 0; r < weight.length; r++) {
    let angle = 0;
    for (let d = 0; d < x.length; d++) angle += omega[r * x.length + d] * (x[d] - y[d]);
    sum += weight[r] * Math.cos(angle);
  }
  return sum;
}

export interface SignedForm {
  readonly lift?: number;
  readonly by?: 'weights' | 'sizes' | 'count';
  /** Rows with D_i ≤ kappa √Σ_r (φ_r(x_i) Σ_j e_j φ_r(y_j))² give Σ_j e_j v_j / Σ_j e_j. Left out: no row is judged. */
  readonly kappa?: number;
  /** x and y over their lengths. */
  readonly unit?: boolean;
}

/**
 * O_i = Σ_j (w_ij + lift e_j) v_j / D_i with e_j = exp(keyBias_j), w_ij = k̂ e_j, and D_i = Σ_j (w_ij + lift e_j), the sum of the sizes
 * Σ_j (Σᵣ |weightᵣ| cos + |constant|) e_j for 'sizes', or Σ_j e_j for 'count'. All keys masked: zeros. Frequencies of all heads, or by head.
 */
export function signedAttention(
  input: Attention,
  frequencies: SignedFrequencies | ((head: number) => SignedFrequencies),
  { lift = 0, by = 'weights', kappa, unit }: SignedForm = {},
): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const row = (rows: Float64Array, at: number): Float64Array => {
    const own = rows.slice(at * D, (at + 1) * D).map((value) => Math.sqrt(scale) * value);
    const length = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    return unit ? own.map((value) => value / length) : own;
  };
  const out = new Float64Array(B * H * N * E);
  for (let bh = 0; bh < B * H; bh++) {
    const law = typeof frequencies === 'function' ? frequencies(bh % H) : frequencies;
    const sizes = { constant: Math.abs(law.constant), omega: law.omega, weight: law.weight.map(Math.abs) };
    const e = Float64Array.from({ length: S }, (_, j) => (keyBias ? Math.exp(keyBias[Math.floor(bh / H) * S + j]) : 1));
    const keys = Array.from({ length: S }, (_, j) => row(k, bh * S + j));
    const count = e.reduce((sum, weight) => sum + weight, 0);
    for (let i = 0; i < N; i++) {
      const x = row(q, bh * N + i);
      let denominator = 0;
      const sum = new Float64Array(E);
      const mean = new Float64Array(E);
      for (let j = 0; j < S; j++) {
        if (e[j] === 0) continue;
        const weight = (signedKernel(law, x, keys[j]) + lift) * e[j];
        denominator += by === 'weights' ? weight : by === 'count' ? e[j] : signedKernel(sizes, x, keys[j]) * e[j];
        for (let c = 0; c < E; c++) {
          sum[c] += weight * v[(bh * S + j) * E + c];
          mean[c] += (e[j] / count) * v[(bh * S + j) * E + c];
        }
      }
      const rejected = kappa !== undefined && !(denominator > kappa * noiseOf(law, x, keys, e));
      for (let c = 0; c < E; c++) {
        out[(bh * N + i) * E + c] = rejected ? mean[c] : denominator === 0 ? 0 : sum[c] / denominator;
      }
    }
  }
  return out;
}

/** √Σ_r (φ_r(x) Σ_j e_j φ_r(y_j))² over the constant, the cosines and the sines. */
function noiseOf(
  { constant, omega, weight }: SignedFrequencies,
  x: Float64Array,
  keys: readonly Float64Array[],
  e: Float64Array,
): number {
  const angle = (r: number, y: Float64Array) => y.reduce((sum, value, d) => sum + omega[r * y.length + d] * value, 0);
  let square = (constant * e.reduce((sum, each) => sum + each, 0)) ** 2;
  for (let r = 0; r < weight.length; r++) {
    for (const wave of [Math.cos, Math.sin]) {
      const over = keys.reduce((sum, y, j) => (e[j] === 0 ? sum : sum + e[j] * wave(angle(r, y))), 0);
      square += (weight[r] * wave(angle(r, x)) * over) ** 2;
    }
  }
  return Math.sqrt(square);
}
