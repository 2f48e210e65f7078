/**
 * What attention is, written to be read: float64, naive loops, the definition and nothing cleverer. It judges src/ and
 * so imports nothing from it, and where src/ uses an identity (online softmax, the double softmax) this file does not.
 */
export interface Attention {
  readonly B: number;
  readonly H: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly q: Float64Array; // [B,H,N,D]
  readonly k: Float64Array; // [B,H,S,D]
  readonly v: Float64Array; // [B,H,S,E]
  readonly scale: number;
  /** Added to the scores of a key; −Infinity masks it. */
  readonly keyBias?: Float64Array; // [B,S]
  /** Added to the scores of every pair; a row of −Infinity gives zeros. */
  readonly bias?: Float64Array; // [H,N,S]
}

export interface Window {
  readonly block: number;
  readonly window: number;
  readonly globals: readonly number[];
}

/** O_i = Σ_j exp(s_ij) v_j / Σ_j exp(s_ij), s_ij = scale·q_i·k_j + keyBias_j + bias_hij. All keys masked: zeros. */
export function softmaxAttention(input: Attention): Float64Array {
  return weightedMeans(input, (b, h, i) => softmaxWeights(input, b, h, i, () => true)); // [B,H,N,E]
}

/** Softmax over the keys in [b − halo, b + block + halo) or in `globals`, for a query in the block that begins at b. */
export function windowAttention(input: Attention, { block, window, globals }: Window): Float64Array {
  const halo = (window - block) / 2;
  return weightedMeans(input, (b, h, i) => {
    const start = i - (i % block);
    const seen = (j: number) => (j >= start - halo && j < start + block + halo) || globals.includes(j);
    return softmaxWeights(input, b, h, i, seen);
  });
}

/**
 * FAVOR+ by definition: w_ij = Σ_r φ_r(x_i) φ_r(y_j) exp(keyBias_j), φ_r(x) = exp(ω_r·x − |x|²/2) / √M, x = √scale·q,
 * y = √scale·k, O_i = Σ_j w_ij v_j / Σ_j w_ij. All key exponents of a head are lowered by one constant, which cancels.
 */
export function featureAttention(input: Attention, omega: Float64Array, M: number): Float64Array {
  const { B, H, S, D, q, k, keyBias, scale } = input;
  const shared = omega.length === M * D; // [1,M,D] rather than [H,M,D]

  const exponent = (x: Float64Array, at: number, h: number, r: number): number => {
    let projection = 0;
    let square = 0;
    for (let d = 0; d < D; d++) {
      const coordinate = Math.sqrt(scale) * x[at + d];
      projection += omega[((shared ? 0 : h) * M + r) * D + d] * coordinate;
      square += coordinate * coordinate;
    }
    return projection - square / 2;
  };
  const keyExponent = (b: number, h: number, j: number, r: number): number =>
    exponent(k, ((b * H + h) * S + j) * D, h, r) + (keyBias ? keyBias[b * S + j] : 0);

  const phiK = new Float64Array(B * H * S * M);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      let shift = -Infinity;
      for (let j = 0; j < S; j++) for (let r = 0; r < M; r++) shift = Math.max(shift, keyExponent(b, h, j, r));
      if (shift === -Infinity) continue;
      for (let j = 0; j < S; j++) {
        for (let r = 0; r < M; r++) {
          phiK[((b * H + h) * S + j) * M + r] = Math.exp(keyExponent(b, h, j, r) - shift) / Math.sqrt(M);
        }
      }
    }
  }
  return weightedMeans(input, (b, h, i) => {
    const phiQ = new Float64Array(M);
    for (let r = 0; r < M; r++) phiQ[r] = Math.exp(exponent(q, ((b * H + h) * input.N + i) * D, h, r)) / Math.sqrt(M);
    const weights = new Float64Array(S);
    for (let j = 0; j < S; j++) {
      for (let r = 0; r < M; r++) weights[j] += phiQ[r] * phiK[((b * H + h) * S + j) * M + r];
    }
    const masked = (j: number) => keyBias !== undefined && keyBias[b * S + j] === -Infinity;
    if (weights.every((w, j) => w === 0 && !masked(j)))
      throw new RangeError('underflow: the definition needs smaller q');
    return weights;
  });
}

/** exp(s_ij − max) for the keys `seen` [S]; zero for the others. */
function softmaxWeights(
  { H, N, S, D, q, k, keyBias, bias, scale }: Attention,
  b: number,
  h: number,
  i: number,
  seen: (j: number) => boolean,
): Float64Array {
  const scores = new Float64Array(S).fill(-Infinity);
  for (let j = 0; j < S; j++) {
    if (!seen(j)) continue;
    let product = 0;
    for (let d = 0; d < D; d++) product += q[((b * H + h) * N + i) * D + d] * k[((b * H + h) * S + j) * D + d];
    scores[j] = scale * product + (keyBias ? keyBias[b * S + j] : 0) + (bias ? bias[(h * N + i) * S + j] : 0);
  }
  const max = Math.max(...scores);
  return max === -Infinity ? new Float64Array(S) : scores.map((score) => Math.exp(score - max));
}

/** O[b,h,i,:] = Σ_j w_j v_j / Σ_j w_j with w = weights(b, h, i) [S]; zeros when no key has weight. */
function weightedMeans(
  { B, H, N, S, E, v, keyBias }: Attention,
  weights: (b: number, h: number, i: number) => Float64Array,
): Float64Array {
  const out = new Float64Array(B * H * N * E);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < N; i++) {
        const w = weights(b, h, i);
        for (let e = 0; e < E; e++) {
          let numerator = 0;
          let denominator = 0;
          for (let j = 0; j < S; j++) {
            if (keyBias && keyBias[b * S + j] === -Infinity) continue;
            numerator += w[j] * v[((b * H + h) * S + j) * E + e];
            denominator += w[j];
          }
          out[((b * H + h) * N + i) * E + e] = denominator === 0 ? 0 : numerator / denominator;
        }
      }
    }
  }
  return out;
}
