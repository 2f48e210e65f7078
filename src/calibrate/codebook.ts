/**
 * Constants of the hybrid from a head's statistics: the static query, and codebooks of its keys.
 *
 * A codebook is k-means (Lloyd 1982) of sampled keys, in the metric that matters to the scores: what a query feels of a
 * key's place is q·(k − c), and its mean square over queries is (k − c)ᵀ A (k − c) with A the covariance of the queries.
 * With A = LLᵀ, keys are compared as Lᵀk. Codes of pairs append λv, λ chosen so that values spread as the keys do.
 * The nearest code is a linear read-out:  argmin |f − c|² = argmax f·c − |c|²/2,  so W = [L·c_k ; λ c_v], b = −|c|²/2.
 */
import { streamSeed, uniforms } from '../features/rng.js';
import { joined } from './flat.js';
import type { Array4 } from './record.js';
import type { SiteStatistics } from './statistics.js';

export type Assign = 'keys' | 'pairs';

export interface CodebookConstants {
  /** [H,F,C], F = D or D + E. */
  readonly weights: Float32Array;
  /** [H,1,C] */
  readonly offsets: Float32Array;
  /** A [H,D,D] and λ² [H,1,1]: distances between keys and between values, for codes that move with the input. */
  readonly metric: Float32Array;
  readonly valueWeight: Float32Array;
}

/** Mean query of every head [H,D]: the static score of a key is its product with it. */
export function meanQueries({ querySum, tokens }: SiteStatistics): Float32Array {
  return Float32Array.from(querySum, (sum) => sum / tokens);
}

/** Runs lloydModel: rows and starting centres of all heads → centres. */
export type KMeans = (rows: Array4, start: Array4) => Promise<Float32Array>;

export async function makeCodebook(
  statistics: SiteStatistics,
  { codes, assign, seed }: { codes: number; assign: Assign; seed: number },
  kMeans: KMeans,
): Promise<CodebookConstants> {
  const { heads, headDim: D, valueDim: E, samples } = statistics;
  const width = assign === 'pairs' ? D + E : D;
  const prepared = Array.from({ length: heads }, (_, h) => {
    const metric = queryCovariance(statistics, h);
    const factor = cholesky(metric, D);
    const { data, valueScale } = toFeatures(joined(samples[h]), factor, { D, E, pairs: assign === 'pairs' });
    return { metric, factor, data, valueScale, start: startingRows(data, width, codes, uniforms(streamSeed(seed, h))) };
  });
  const rows = joined(prepared.map(({ data }) => data));
  const start = joined(prepared.map((head) => head.start));
  const centres = await kMeans(
    { data: rows, dims: [heads, rows.length / heads / width, width] },
    { data: start, dims: [heads, codes, width] },
  );
  const weights = new Float32Array(heads * width * codes);
  const offsets = new Float32Array(heads * codes);
  for (const [h, { factor, valueScale }] of prepared.entries()) {
    for (let c = 0; c < codes; c++) {
      const centre = centres.subarray((h * codes + c) * width, (h * codes + c + 1) * width);
      offsets[h * codes + c] = -centre.reduce((sum, x) => sum + x * x, 0) / 2;
      for (let f = 0; f < width; f++) {
        let weight = 0;
        if (f < D) for (let j = 0; j <= f; j++) weight += factor[f * D + j] * centre[j];
        else weight = valueScale * centre[f];
        weights[(h * width + f) * codes + c] = weight;
      }
    }
  }
  return {
    weights,
    offsets,
    metric: joined(prepared.map(({ metric }) => Float32Array.from(metric))),
    valueWeight: Float32Array.from(prepared, ({ valueScale }) => valueScale ** 2),
  };
}

/** Covariance of a head's queries [D,D], with a little of its mean diagonal added so that no direction is free. */
function queryCovariance({ querySum, querySquares, tokens, headDim: D }: SiteStatistics, h: number): Float64Array {
  const covariance = new Float64Array(D * D);
  for (let i = 0; i < D; i++) {
    for (let j = 0; j <= i; j++) {
      const mean = (querySum[h * D + i] / tokens) * (querySum[h * D + j] / tokens);
      const value = querySquares[(h * D + i) * D + j] / tokens - mean;
      covariance[i * D + j] = value;
      covariance[j * D + i] = value;
    }
  }
  let trace = 0;
  for (let i = 0; i < D; i++) trace += covariance[i * D + i];
  for (let i = 0; i < D; i++) covariance[i * D + i] += (1e-4 * trace) / D + 1e-12;
  return covariance;
}

/** Lower L with A = LLᵀ. What rounding has made negative on the diagonal counts as nothing. */
function cholesky(matrix: ArrayLike<number>, d: number): Float64Array {
  const lower = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * d + j];
      for (let k = 0; k < j; k++) sum -= lower[i * d + k] * lower[j * d + k];
      if (i === j) lower[i * d + i] = Math.sqrt(Math.max(sum, 0));
      else lower[i * d + j] = lower[j * d + j] > 0 ? sum / lower[j * d + j] : 0;
    }
  }
  return lower;
}

/** Rows Lᵀk, with λv behind them for pairs. */
function toFeatures(
  rows: Float32Array,
  factor: Float64Array,
  { D, E, pairs }: { D: number; E: number; pairs: boolean },
): { data: Float32Array; valueScale: number } {
  const count = rows.length / (D + E);
  const width = pairs ? D + E : D;
  const data = new Float32Array(count * width);
  let [keySpread, valueSpread] = [0, 0];
  for (let n = 0; n < count; n++) {
    const at = n * (D + E);
    for (let i = 0; i < D; i++) {
      let sum = 0;
      for (let j = i; j < D; j++) sum += factor[j * D + i] * rows[at + j];
      data[n * width + i] = sum;
      keySpread += sum * sum;
    }
    for (let e = 0; e < E; e++) valueSpread += rows[at + D + e] ** 2;
  }
  const valueScale = valueSpread > 0 ? Math.sqrt(keySpread / valueSpread) : 0;
  if (pairs) {
    for (let n = 0; n < count; n++)
      for (let e = 0; e < E; e++) data[n * width + D + e] = valueScale * rows[n * (D + E) + D + e];
  }
  return { data, valueScale };
}

/** Distinct sampled rows to begin from [C,width], or as distinct as the sample is large. */
function startingRows(data: Float32Array, width: number, codes: number, random: () => number): Float32Array {
  const count = data.length / width;
  const order = Array.from({ length: count }, (_, i) => i);
  const start = new Float32Array(codes * width);
  for (let c = 0; c < codes; c++) {
    const from = Math.min(c, count - 1);
    const pick = from + Math.floor(random() * (count - from));
    [order[from], order[pick]] = [order[pick], order[from]];
    start.set(data.subarray(order[from] * width, (order[from] + 1) * width), c * width);
  }
  return start;
}
