/**
 * Attention with positive features by definition, for maps whose sides differ or whose features have weights of their own: float64, and
 * sharing nothing with src/. Exponents are lowered by one number a query, which divides out.
 */
import type { Attention } from './attention.js';

/** φ_q(x)ᵣ = exp(qᵣ·x + bᵣ), φ_k(y)ᵣ = exp(kᵣ·y − |Gy|²/2 + bᵣ); what φ_q has of |x| alone cancels. */
export interface PositiveSides {
  readonly queryOmega: ArrayLike<number>; // [H,M,D]
  readonly keyOmega: ArrayLike<number>; // [H,M,D]
  readonly keyBasis?: ArrayLike<number>; // [H,D,D], default the identity
  readonly bias: ArrayLike<number>; // [H,M]
}

/** O_i = Σ_j w_ij v_j / Σ_j w_ij, w_ij = Σᵣ φ_q(x_i)ᵣ φ_k(y_j)ᵣ exp(keyBias_j). All keys masked: zeros. */
export function positiveAttention(input: Attention, sides: PositiveSides): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const M = sides.bias.length / H;
  const out = new Float64Array(B * H * N * E);
  const row = (rows: Float64Array, at: number) =>
    rows.slice(at * D, (at + 1) * D).map((value) => Math.sqrt(scale) * value);
  const dot = (omega: ArrayLike<number>, at: number, x: Float64Array) =>
    x.reduce((sum, value, d) => sum + omega[at * D + d] * value, 0);
  for (let bh = 0; bh < B * H; bh++) {
    const h = bh % H;
    const keyLogits: { readonly j: number; readonly r: number; readonly exponent: number }[] = [];
    for (let j = 0; j < S; j++) {
      const bias = keyBias ? keyBias[Math.floor(bh / H) * S + j] : 0;
      if (bias === -Infinity) continue;
      const y = row(k, bh * S + j);
      const { keyBasis } = sides;
      const turned = keyBasis ? y.map((_, d) => dot(keyBasis, h * D + d, y)) : y;
      const square = turned.reduce((sum, value) => sum + value * value, 0);
      for (let r = 0; r < M; r++) {
        const exponent = dot(sides.keyOmega, h * M + r, y) - square / 2 + 2 * sides.bias[h * M + r] + bias;
        keyLogits.push({ j, r, exponent });
      }
    }
    for (let i = 0; i < N; i++) {
      const x = row(q, bh * N + i);
      const own = Float64Array.from({ length: M }, (_, r) => dot(sides.queryOmega, h * M + r, x));
      const most = keyLogits.reduce((max, { r, exponent }) => Math.max(max, exponent + own[r]), -Infinity);
      let total = 0;
      for (const { j, r, exponent } of keyLogits) {
        const weight = Math.exp(exponent + own[r] - most);
        total += weight;
        for (let e = 0; e < E; e++) out[(bh * N + i) * E + e] += weight * v[(bh * S + j) * E + e];
      }
      if (total > 0) for (let e = 0; e < E; e++) out[(bh * N + i) * E + e] /= total;
    }
  }
  return out;
}
