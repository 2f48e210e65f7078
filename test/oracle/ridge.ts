/**
 * Ridge regression towards no change, in float64 and from its definition: the minimum of
 *   Σ_n |r_n − Dᵀh_n − b|² + ridge · (Σ_n |h_n − h̄|² / K) · |D|²
 * by Gaussian elimination on the normal equations of D and b together, b unpenalised.
 */
export interface RidgeProblem {
  /** [n][K], [n][M] */
  readonly features: readonly (readonly number[])[];
  readonly residuals: readonly (readonly number[])[];
  readonly ridge: number;
}

export function ridgeSolution({ features, residuals, ridge }: RidgeProblem): {
  delta: Float64Array;
  bias: Float64Array;
} {
  const [n, K, M] = [features.length, features[0].length, residuals[0].length];
  let power = 0;
  for (let k = 0; k < K; k++) {
    let mean = 0;
    for (const row of features) mean += row[k] / n;
    for (const row of features) power += (row[k] - mean) ** 2;
  }
  // Unknowns: K rows of D, then b, for each of M columns.
  const rows: number[][] = [];
  for (let i = 0; i <= K; i++) {
    const equation = new Array<number>(K + 1 + M).fill(0);
    for (let s = 0; s < n; s++) {
      const left = i < K ? features[s][i] : 1;
      for (let j = 0; j <= K; j++) equation[j] += left * (j < K ? features[s][j] : 1);
      for (let m = 0; m < M; m++) equation[K + 1 + m] += left * residuals[s][m];
    }
    if (i < K) equation[i] += (ridge * power) / K;
    rows.push(equation);
  }
  for (let i = 0; i <= K; i++) {
    let best = i;
    for (let r = i; r <= K; r++) if (Math.abs(rows[r][i]) > Math.abs(rows[best][i])) best = r;
    [rows[i], rows[best]] = [rows[best], rows[i]];
    for (let r = 0; r <= K; r++) {
      if (r === i) continue;
      const factor = rows[r][i] / rows[i][i];
      for (let c = i; c < rows[r].length; c++) rows[r][c] -= factor * rows[i][c];
    }
  }
  const value = (i: number, m: number) => rows[i][K + 1 + m] / rows[i][i];
  return {
    delta: Float64Array.from({ length: K * M }, (_, at) => value(Math.floor(at / M), at % M)),
    bias: Float64Array.from({ length: M }, (_, m) => value(K, m)),
  };
}
