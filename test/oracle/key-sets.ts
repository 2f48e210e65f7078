/**
 * Attention with its mass, over whatever keys a query sees, by definition: float64, two passes, nothing shared between queries. Judges
 * src/kernels and imports nothing from src/.
 */
export interface KeySets {
  readonly B: number;
  readonly H: number;
  /** Key heads; query head h reads key head ⌊h G / H⌋. */
  readonly G: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly q: Float64Array; // [B,H,N,D]
  readonly k: Float64Array; // [B,G,S,D]
  readonly v: Float64Array; // [B,G,S,E]
  readonly scale: number;
  /** Added to a score; −Infinity hides the key. */
  readonly bias?: (at: { b: number; h: number; i: number; j: number }) => number;
}

/** out [B,H,N,E] and lse [B,H,N] = log Σ_j exp(s_ij). A query that sees nothing: zeros and −Infinity. */
export function attendOverKeys(input: KeySets): { out: Float64Array; lse: Float64Array } {
  const { B, H, G, N, S, D, E, q, k, v, scale, bias } = input;
  const out = new Float64Array(B * H * N * E);
  const lse = new Float64Array(B * H * N).fill(-Infinity);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = b * G + Math.floor((h * G) / H);
      for (let i = 0; i < N; i++) {
        const row = (b * H + h) * N + i;
        const scores = Array.from({ length: S }, (_, j) => {
          let product = 0;
          for (let d = 0; d < D; d++) product += q[row * D + d] * k[(g * S + j) * D + d];
          return scale * product + (bias ? bias({ b, h, i, j }) : 0);
        });
        const most = Math.max(...scores);
        if (most === -Infinity) continue;
        let total = 0;
        for (const score of scores) total += Math.exp(score - most);
        lse[row] = most + Math.log(total);
        for (let j = 0; j < S; j++) {
          if (scores[j] === -Infinity) continue;
          const weight = Math.exp(scores[j] - lse[row]);
          for (let e = 0; e < E; e++) out[row * E + e] += weight * v[(g * S + j) * E + e];
        }
      }
    }
  }
  return { out, lse };
}
