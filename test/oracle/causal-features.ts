/**
 * Causal attention with positive features by definition: float64, every pair of tokens and every feature. Judges src/kernels and imports
 * nothing from src/.
 */
export interface CausalFeatures {
  readonly B: number;
  readonly H: number;
  readonly G: number;
  readonly N: number;
  readonly D: number;
  readonly E: number;
  readonly M: number;
  readonly q: ArrayLike<number>; // [B,H,N,D]
  readonly k: ArrayLike<number>; // [B,G,N,D]
  readonly v: ArrayLike<number>; // [B,G,N,E]
  readonly omega: ArrayLike<number>; // [G,M,D]
  readonly featureBias: ArrayLike<number>; // [G,M]
  /** −Infinity hides a key. */
  readonly keyBias?: ArrayLike<number>; // [B,N]
  readonly scale: number;
  /** Query i sees keys 0 … i + ahead. Default: 0. */
  readonly ahead?: number;
}

/** O_i = Σ_{j≤i} w_ij v_j / Σ_{j≤i} w_ij with w_ij = Σ_r exp(ω_r·x_i + ω_r·y_j − |y_j|²/2 + 2b_r + keyBias_j); nothing seen: zeros. */
export function causalFeatureAttention(input: CausalFeatures): Float64Array {
  const { B, H, G, N, D, E, M, q, k, v, omega, featureBias, keyBias, scale, ahead = 0 } = input;
  const out = new Float64Array(B * H * N * E);
  const root = Math.sqrt(scale);
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += a[i * D + d] * b[j * D + d];
    return sum;
  };
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor((h * G) / H);
      for (let i = 0; i < N; i++) {
        const query = (b * H + h) * N + i;
        const exponents: number[][] = [];
        for (let j = 0; j <= i + ahead && j < N; j++) {
          const key = (b * G + g) * N + j;
          const given = (keyBias ? keyBias[b * N + j] : 0) - (scale * dot(k, key, k, key)) / 2;
          exponents.push(
            Array.from({ length: M }, (_, r) => {
              const feature = g * M + r;
              return (
                root * (dot(omega, feature, q, query) + dot(omega, feature, k, key)) + given + 2 * featureBias[feature]
              );
            }),
          );
        }
        const most = Math.max(...exponents.flat());
        if (most === -Infinity) continue;
        const weights = exponents.map((row) => row.reduce((sum, exponent) => sum + Math.exp(exponent - most), 0));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let e = 0; e < E; e++) {
          let sum = 0;
          for (const [j, weight] of weights.entries()) sum += weight * v[((b * G + g) * N + j) * E + e];
          out[query * E + e] = sum / total;
        }
      }
    }
  }
  return out;
}
