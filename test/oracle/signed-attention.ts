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

/**
 * O_i = Σ_j (w_ij + lift e_j) v_j / D_i with e_j = exp(keyBias_j), w_ij = k̂ e_j, and D_i = Σ_j (w_ij + lift e_j), the sum of the sizes
 * Σ_j (Σᵣ |weightᵣ| cos + |constant|) e_j for 'sizes', or Σ_j e_j for 'count'. All keys masked: zeros.
 */
export function signedAttention(
  input: Attention,
  frequencies: SignedFrequencies,
  { lift = 0, by = 'weights' }: { lift?: number; by?: 'weights' | 'sizes' | 'count' } = {},
): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const sizes = {
    constant: Math.abs(frequencies.constant),
    omega: frequencies.omega,
    weight: frequencies.weight.map(Math.abs),
  };
  const out = new Float64Array(B * H * N * E);
  for (let bh = 0; bh < B * H; bh++) {
    for (let i = 0; i < N; i++) {
      const x = q.slice((bh * N + i) * D, (bh * N + i + 1) * D).map((value) => Math.sqrt(scale) * value);
      let denominator = 0;
      const sum = new Float64Array(E);
      for (let j = 0; j < S; j++) {
        const bias = keyBias ? Math.exp(keyBias[Math.floor(bh / H) * S + j]) : 1;
        if (bias === 0) continue;
        const y = k.slice((bh * S + j) * D, (bh * S + j + 1) * D).map((value) => Math.sqrt(scale) * value);
        const weight = (signedKernel(frequencies, x, y) + lift) * bias;
        denominator += { weights: weight, sizes: signedKernel(sizes, x, y) * bias, count: bias }[by];
        for (let e = 0; e < E; e++) sum[e] += weight * v[(bh * S + j) * E + e];
      }
      for (let e = 0; e < E; e++) out[(bh * N + i) * E + e] = denominator === 0 ? 0 : sum[e] / denominator;
    }
  }
  return out;
}
