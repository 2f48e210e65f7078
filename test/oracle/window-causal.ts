/**
 * Causal attention over a sliding window and sinks by its definition (float64, per query). Judges src/ and imports nothing from
 * it.
 */
import type { Attention } from './attention.js';

export interface CausalWindow {
  /** Keys a query sees, its own among them. */
  readonly window: number;
  /** First keys, which every later query sees. */
  readonly sinks: number;
}

/** [B,H,N,E]; N = S, keys with bias −∞ are not there at all, and their queries give NaN. */
export function causalWindowAttention(input: Attention, { window, sinks }: CausalWindow): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const out = new Float64Array(B * H * N * E).fill(Number.NaN);
  for (let b = 0; b < B; b++) {
    const tokens = Array.from({ length: S }, (_, j) => j).filter((j) => !keyBias || keyBias[b * S + j] === 0);
    for (let h = 0; h < H; h++) {
      const at = (b * H + h) * S;
      for (let i = 0; i < tokens.length; i++) {
        const query = at + tokens[i];
        const seen = tokens.filter((_, j) => j <= i && (i - j < window || j < sinks)).map((j) => at + j);
        const logits = seen.map((key) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += q[query * D + d] * k[key * D + d];
          return scale * dot;
        });
        const most = Math.max(...logits);
        const weights = logits.map((logit) => Math.exp(logit - most));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let e = 0; e < E; e++)
          out[query * E + e] = seen.reduce((sum, key, p) => sum + (weights[p] / total) * v[key * E + e], 0);
      }
    }
  }
  return out;
}
