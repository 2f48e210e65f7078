/**
 * Refit of a matrix under a heavy ridge, drawn to no change: what a product h W lacks towards a target, r = t − h W,
 *
 *   Δ, b = argmin Σ_n |r_n − Δᵀh_n − b|² + λ n̄ |Δ|²        n̄ = Σ_n |h_n − h̄|² / K, the mean power of a feature
 *   (H_cᵀH_c + λ n̄ I) Δ = H_cᵀR_c,  b = r̄ − Δᵀh̄           c: less the mean
 *
 * Heavy on purpose: what a far field gets wrong is much the same for all tokens of one input, so the sample size is the
 * number of inputs, and a light ridge memorises them (QUALITY: λ = 1 for text, 10 for images). λ is chosen, and whether to
 * change anything at all, on inputs that the fit has not seen.
 *
 * Of Δ is kept what most of its effect on the features needs, by its principal directions (reduced-rank regression,
 * Izenman 1975): Δ V Vᵀ, V [M,r] the leading eigenvectors of Δᵀ(H_cᵀH_c)Δ. λ is compared on a few random mixtures of the
 * residuals (`mixed`), whose squares are in the mean those of all.
 *
 * Shapes: features [n,K], residuals [n,M]. Float64; cost: K³/3 + 2K²M flops a solution.
 */
import { cholesky, solveCholesky } from '../../features/cholesky.js';
import { gaussians } from '../../features/rng.js';
import { leadingEigen } from './leading-eigen.js';

/** Sums over rows: all that a fit needs of features h [K] and residuals r [M]. */
export interface RowMoments {
  rows: number;
  /** Σ|r|² */
  energy: number;
  /** Σh [K], Σr [M], Σhhᵀ [K,K], Σhrᵀ [K,M] */
  readonly features: Float64Array;
  readonly residuals: Float64Array;
  readonly gram: Float64Array;
  readonly cross: Float64Array;
}

export interface Refit {
  /** [K,M] */
  readonly delta: Float64Array;
  /** [M] */
  readonly bias: Float64Array;
  /** λ n̄ */
  readonly pull: number;
}

export interface LowRank {
  readonly rank: number;
  /** [K,r], [r,M] */
  readonly down: Float32Array;
  readonly up: Float32Array;
}

export function emptyMoments(K: number, M: number): RowMoments {
  return {
    rows: 0,
    energy: 0,
    features: new Float64Array(K),
    residuals: new Float64Array(M),
    gram: new Float64Array(K * K),
    cross: new Float64Array(K * M),
  };
}

/** Adds what another sum has. */
export function addMoments(
  into: RowMoments,
  from: Readonly<Record<keyof RowMoments, number | ArrayLike<number>>>,
): void {
  into.rows += Number(from.rows);
  into.energy += Number(from.energy);
  for (const name of ['features', 'residuals', 'gram', 'cross'] as const) {
    const [sum, more] = [into[name], from[name] as ArrayLike<number>];
    for (let i = 0; i < sum.length; i++) sum[i] += more[i];
  }
}

/** What taking off the mean may leave of a feature that is the same in all rows. */
const rounding = 1e-12;

export function refit(moments: RowMoments, ridge: number): Refit {
  const { rows, features, residuals } = moments;
  const [K, M] = [features.length, residuals.length];
  const { gram, cross } = centred(moments);
  let power = 0;
  for (let i = 0; i < K; i++) power += ridge * gram[i * K + i] + rounding * moments.gram[i * K + i];
  const pull = power / K + Number.MIN_VALUE;
  for (let i = 0; i < K; i++) gram[i * K + i] += pull;
  const delta = solveCholesky(cholesky(gram, K), cross, K);
  const bias = residuals.map((sum) => sum / rows);
  for (let i = 0; i < K; i++) for (let m = 0; m < M; m++) bias[m] -= (features[i] / rows) * delta[i * M + m];
  return { delta, bias, pull };
}

/** Share of the squared residual that is left on some rows: 1 is no change, less is better. */
export function leftOver(
  { rows, energy, features, residuals, gram, cross }: RowMoments,
  { delta, bias }: Pick<Refit, 'delta' | 'bias'>,
): number {
  const [K, M] = [features.length, residuals.length];
  let left = energy;
  const shift = new Float64Array(M);
  const row = new Float64Array(M);
  for (let i = 0; i < K; i++) {
    row.fill(0);
    for (let j = 0; j < K; j++) {
      const g = gram[i * K + j];
      for (let m = 0; m < M; m++) row[m] += g * delta[j * M + m];
    }
    for (let m = 0; m < M; m++) {
      left += delta[i * M + m] * (row[m] - 2 * cross[i * M + m]);
      shift[m] += features[i] * delta[i * M + m];
    }
  }
  for (let m = 0; m < M; m++) left += bias[m] * (2 * shift[m] - 2 * residuals[m] + rows * bias[m]);
  return energy > 0 ? left / energy : 1;
}

/**
 * The same rows with `columns` random mixtures of the residuals in their place: r S, S of N(0, 1/columns), so that E|r S|² = |r|².
 * Of the energy stays what it was.
 */
export function mixed(moments: RowMoments, columns: number, seed: number): RowMoments {
  const [K, M] = [moments.features.length, moments.residuals.length];
  const normal = gaussians(seed);
  const mixture = Float64Array.from({ length: M * columns }, () => normal() / Math.sqrt(columns));
  const residuals = times(moments.residuals, mixture, 1, M, columns);
  return { ...moments, residuals, cross: times(moments.cross, mixture, K, M, columns) };
}

/** [n,M] × [M,p] → [n,p] */
function times(a: Float64Array, b: Float64Array, n: number, M: number, p: number): Float64Array {
  const out = new Float64Array(n * p);
  for (let i = 0; i < n; i++)
    for (let m = 0; m < M; m++) {
      const x = a[i * M + m];
      for (let c = 0; c < p; c++) out[i * p + c] += x * b[m * p + c];
    }
  return out;
}

/** The least rank, `most` at most, that keeps `share` of what Δ does to the features. */
export function lowRank(moments: RowMoments, { delta, pull }: Refit, share: number, most: number): LowRank {
  const [K, M] = [moments.features.length, moments.residuals.length];
  // (H_cᵀH_c) Δ is what the solution leaves of H_cᵀR_c.
  const { cross } = centred(moments);
  const effect = cross.map((x, i) => x - pull * delta[i]);
  const square = new Float64Array(M * M);
  // Two rows at once, so that a sum is read and written half as often.
  for (let i = 0; i < K; i += 2) {
    const [first, second] = [i * M, Math.min(i + 1, K - 1) * M];
    for (let a = 0; a < M; a++) {
      const d = delta[first + a];
      const e = i + 1 < K ? delta[second + a] : 0;
      for (let b = 0; b <= a; b++) square[a * M + b] += d * effect[first + b] + e * effect[second + b];
    }
  }
  for (let a = 0; a < M; a++) for (let b = 0; b < a; b++) square[b * M + a] = square[a * M + b];
  const { values, vectors } = leadingEigen(square, M, most);
  let total = 0;
  for (let m = 0; m < M; m++) total += square[m * M + m];
  let rank = 1;
  for (let kept = values[0]; rank < values.length && kept < share * total; rank++) kept += Math.max(values[rank], 0);
  const up = Float32Array.from(vectors.subarray(0, rank * M));
  const columns = Float64Array.from({ length: M * rank }, (_, at) => vectors[(at % rank) * M + Math.floor(at / rank)]);
  return { rank, down: Float32Array.from(times(delta, columns, K, M, rank)), up };
}

/** Σ(h − h̄)(h − h̄)ᵀ and Σ(h − h̄)(r − r̄)ᵀ. */
function centred({ rows, features, residuals, gram, cross }: RowMoments): { gram: Float64Array; cross: Float64Array } {
  const [K, M] = [features.length, residuals.length];
  const less = (of: Float64Array, right: Float64Array, width: number) => {
    const out = new Float64Array(of.length);
    for (let i = 0; i < K; i++) {
      const mean = features[i] / rows;
      for (let j = 0, at = i * width; j < width; j++, at++) out[at] = of[at] - mean * right[j];
    }
    return out;
  };
  return { gram: less(gram, features, K), cross: less(cross, residuals, M) };
}
