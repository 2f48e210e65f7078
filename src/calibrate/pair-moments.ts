/**
 * What calibrated feature maps look at (features/moments.ts): means and covariances of a head's queries and keys over pairs, taken
 *   uniform    every query with every key, which are then independent
 *   attended   as attention takes them: query i with key j by softmax weight p_ij, which makes the two go together
 * The variance of a kernel estimate at a pair counts as often as the pair does, which speaks for the second; with few features
 * the first is at times better (METHODS G.1, G.3), and fit-features.ts tries both. Memory does not grow with the data.
 *
 * Numerics: sums in float64 of float32 rows. Cost: D² a query and a key, and 512 queries that are looked at with all their keys.
 */
import type { SideMoments } from '../features/aderf.js';
import { uniforms } from '../features/rng.js';
import type { Site } from '../rewrite/site.js';
import type { HeadInputs } from './record.js';
import { spreadOver, visibleKeys } from './statistics.js';

export const weightings = ['uniform', 'attended'] as const;
export type Weighting = (typeof weightings)[number];

/** Of q and k as recorded, by head; squares are lower triangles. */
interface Sums {
  /** Queries, and weight of keys, summed over by each head. */
  queries: number;
  keys: number;
  readonly query: Float64Array; // [H,D]
  readonly key: Float64Array; // [H,D]
  readonly querySquares: Float64Array; // [H,D,D]
  readonly keySquares: Float64Array; // [H,D,D]
  /** Σ w q kᵀ; absent where the two are independent. */
  readonly products?: Float64Array; // [H,D,D]
}

export interface PairSums extends Readonly<Record<Weighting, Sums>> {
  readonly heads: number;
  readonly headDim: number;
  /** Queries of an input whose keys are weighed. */
  readonly perInput: number;
}

const sampledQueries = 512;

/** For `inputs` inputs to come. */
export function emptyPairs({ heads, headDim: D }: Pick<Site, 'heads' | 'headDim'>, inputs: number): PairSums {
  const zeros = (size: number) => new Float64Array(heads * size);
  const sums = () => ({
    queries: 0,
    keys: 0,
    query: zeros(D),
    key: zeros(D),
    querySquares: zeros(D * D),
    keySquares: zeros(D * D),
  });
  return {
    heads,
    headDim: D,
    perInput: Math.ceil(sampledQueries / inputs),
    uniform: sums(),
    attended: { ...sums(), products: zeros(D * D) },
  };
}

/** Takes in one input, of which addInput (statistics.ts) has made sure that some key of each row may be seen. */
export function addPairs(pairs: PairSums, { q, k, keyBias }: HeadInputs, seed: number): void {
  const { heads, headDim: D, uniform, attended } = pairs;
  const [B = 1, , N = 0] = q.dims;
  const S = k.dims[2] ?? 0;
  const random = uniforms(seed);
  for (let b = 0; b < B; b++) {
    const visible = visibleKeys(keyBias, b, S);
    // Of padded queries nobody reads the result.
    const queries = N === S ? visible : Array.from({ length: N }, (_, i) => i);
    const chosen = spreadOver(queries, pairs.perInput, random);
    const bias = Float64Array.from(visible, (j) =>
      keyBias ? keyBias.data[((keyBias.dims[0] ?? 1) > 1 ? b * S : 0) + j] : 0,
    );
    for (let h = 0; h < heads; h++) {
      const at = b * heads + h;
      const rowsOf = (data: Float32Array, length: number, wanted: readonly number[]) =>
        wanted.map((row) => data.subarray((at * length + row) * D, (at * length + row + 1) * D));
      const keys = rowsOf(k.data, S, visible);
      for (const x of rowsOf(q.data, N, queries)) addRow(uniform.query, uniform.querySquares, h, x, 1);
      for (const y of keys) addRow(uniform.key, uniform.keySquares, h, y, 1);
      const mass = new Float64Array(keys.length);
      for (const x of rowsOf(q.data, N, chosen)) {
        const weights = softmax(keys, x, bias);
        addRow(attended.query, attended.querySquares, h, x, 1);
        addProduct(attended.products, h, x, meanOf(keys, weights, D));
        for (let j = 0; j < mass.length; j++) mass[j] += weights[j];
      }
      for (const [j, y] of keys.entries()) addRow(attended.key, attended.keySquares, h, y, mass[j]);
    }
    uniform.queries += queries.length;
    uniform.keys += visible.length;
    attended.queries += chosen.length;
    attended.keys += chosen.length;
  }
}

/** Means and covariances of q and k as they were recorded, and what goes together of the two. */
export function pairMoments(pairs: PairSums, weighting: Weighting): SideMoments {
  const D = pairs.headDim;
  const { queries, keys, query, key, querySquares, keySquares, products } = pairs[weighting];
  const queryMean = query.map((sum) => sum / queries);
  const keyMean = key.map((sum) => sum / keys);
  const cross = products?.map((sum, at) => {
    const [row, j] = [Math.floor(at / D), at % D];
    return sum / queries - queryMean[row] * keyMean[Math.floor(row / D) * D + j];
  });
  return {
    queryMean,
    keyMean,
    query: covariance(querySquares, queries, queryMean, D),
    key: covariance(keySquares, keys, keyMean, D),
    ...(cross && { cross }),
  };
}

/** [H,D,D]. Rows all alike leave rounding, of either sign: what is added is little beside the rows, and more than that. */
function covariance(squares: Float64Array, count: number, mean: Float64Array, D: number): Float64Array {
  const at = (h: number, i: number, j: number) => (h * D + Math.max(i, j)) * D + Math.min(i, j);
  return squares.map((_, p) => {
    const [h, i, j] = [Math.floor(p / (D * D)), Math.floor(p / D) % D, p % D];
    let trace = 0;
    if (i === j) for (let d = 0; d < D; d++) trace += squares[at(h, d, d)] / count;
    const floor = i === j ? (1e-10 * trace) / D + 1e-12 : 0;
    return squares[at(h, i, j)] / count - mean[h * D + i] * mean[h * D + j] + floor;
  });
}

function softmax(keys: readonly Float32Array[], x: Float32Array, bias: Float64Array): Float64Array {
  const scores = bias.slice();
  let most = Number.NEGATIVE_INFINITY;
  for (const [j, y] of keys.entries()) {
    for (let d = 0; d < x.length; d++) scores[j] += y[d] * x[d];
    most = Math.max(most, scores[j]);
  }
  let total = 0;
  for (let j = 0; j < scores.length; j++) {
    scores[j] = Math.exp(scores[j] - most);
    total += scores[j];
  }
  return scores.map((weight) => weight / total);
}

function meanOf(rows: readonly Float32Array[], weights: Float64Array, D: number): Float64Array {
  const mean = new Float64Array(D);
  for (const [j, row] of rows.entries()) for (let d = 0; d < D; d++) mean[d] += weights[j] * row[d];
  return mean;
}

function addRow(sum: Float64Array, squares: Float64Array, h: number, row: Float32Array, weight: number): void {
  const D = row.length;
  for (let i = 0; i < D; i++) {
    const own = weight * row[i];
    sum[h * D + i] += own;
    for (let j = 0; j <= i; j++) squares[(h * D + i) * D + j] += own * row[j];
  }
}

function addProduct(products: Float64Array | undefined, h: number, x: Float32Array, y: Float64Array): void {
  const D = x.length;
  if (products) for (let i = 0; i < D; i++) for (let j = 0; j < D; j++) products[(h * D + i) * D + j] += x[i] * y[j];
}
