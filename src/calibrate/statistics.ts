/**
 * What calibration keeps of a head: sums over all tokens, and a sample of its keys and values. Memory does not grow with
 * the data.
 */

import { PerformersError } from '../errors.js';
import { uniforms } from '../features/rng.js';
import type { Site } from '../rewrite/site.js';
import { type HeadInputs, masked } from './record.js';

export interface SiteStatistics {
  readonly heads: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Tokens summed over. */
  tokens: number;
  readonly perInput: number;
  /** Tokens in front of an image's patches, which are never summarised and so not looked at. */
  readonly prefix: number;
  /** Samples are less the mean of their input. A stream does not know its mean, so causal heads have them as they are. */
  readonly centred: boolean;
  /** Σ q [H,D] and Σ q qᵀ [H,D,D], over queries. */
  readonly querySum: Float64Array;
  readonly querySquares: Float64Array;
  /** Sampled rows [k | v] by head, an array an input. */
  readonly samples: Float32Array[][];
}

/** Keys sampled over all inputs: 64 to a code of the largest codebook. */
const sampled = 2048;

/** For `inputs` inputs (batch rows) to come, each of which gives as many samples. */
export function emptyStatistics(
  { heads, headDim, valueDim, causal, operands }: Pick<Site, 'heads' | 'headDim' | 'valueDim' | 'causal' | 'operands'>,
  inputs: number,
): SiteStatistics {
  return {
    heads,
    headDim,
    valueDim,
    prefix: operands.grid?.prefix ?? 0,
    centred: !causal,
    perInput: Math.ceil(sampled / inputs),
    tokens: 0,
    querySum: new Float64Array(heads * headDim),
    querySquares: new Float64Array(heads * headDim * headDim),
    samples: Array.from({ length: heads }, () => []),
  };
}

/**
 * Takes in one input.
 *
 * @throws PerformersError PF501 when it is nothing but padding, PF504 when the activations hold NaN or an infinity
 */
export function addInput(statistics: SiteStatistics, { q, k, v, keyBias }: HeadInputs, seed: number): void {
  const { heads, headDim: D, valueDim: E } = statistics;
  const [B = 1, , N = 0] = q.dims;
  const S = k.dims[2] ?? 0;
  const random = uniforms(seed);
  for (let b = 0; b < B; b++) {
    const visible = visibleKeys(keyBias, b, S).filter((j) => j >= statistics.prefix);
    if (visible.length === 0) {
      throw new PerformersError('PF501', 'an input is nothing but padding: no token of it may be seen', {
        at: 'calibration data',
        mend: 'give inputs whose attention_mask is 1 where there is text',
      });
    }
    const aligned = N === S;
    for (let h = 0; h < heads; h++) {
      const at = b * heads + h;
      addQueries(statistics, h, q.data.subarray(at * N * D, (at + 1) * N * D), aligned ? visible : undefined);
      const keys = k.data.subarray(at * S * D, (at + 1) * S * D);
      const values = v.data.subarray(at * S * E, (at + 1) * S * E);
      statistics.samples[h].push(
        sample(keys, values, { D, E, visible, random, count: statistics.perInput, centred: statistics.centred }),
      );
    }
    statistics.tokens += aligned ? visible.length : N;
  }
  const taken = statistics.samples.flatMap((own) => own.slice(-B));
  if ([statistics.querySum, ...taken].some((some) => some.some((x) => !Number.isFinite(x)))) {
    throw new PerformersError('PF504', 'activations of this model are not finite numbers on the calibration data', {
      at: 'calibration',
      mend: 'check that the original runs on these inputs; float16 models may overflow, so calibrate the float32 one',
    });
  }
}

/** Keys that are no padding, of row `b` of a batch. */
export function visibleKeys(keyBias: HeadInputs['keyBias'], b: number, S: number): number[] {
  const row = keyBias && (keyBias.dims[0] ?? 1) > 1 ? b * S : 0;
  return Array.from({ length: S }, (_, j) => j).filter((j) => !keyBias || keyBias.data[row + j] > masked);
}

function addQueries(statistics: SiteStatistics, h: number, rows: Float32Array, visible?: readonly number[]): void {
  const { headDim: D, querySum, querySquares } = statistics;
  const count = visible?.length ?? rows.length / D;
  const [sum, squares] = [h * D, h * D * D];
  for (let n = 0; n < count; n++) {
    const at = (visible ? visible[n] : n) * D;
    for (let i = 0; i < D; i++) {
      const x = rows[at + i];
      querySum[sum + i] += x;
      for (let j = 0; j <= i; j++) querySquares[squares + i * D + j] += x * rows[at + j];
    }
  }
}

/** At most `count`, one of each of as many equal stretches: spread over the input, at no fixed stride. */
export function spreadOver(all: readonly number[], count: number, random: () => number): number[] {
  const some = Math.min(count, all.length);
  return Array.from(
    { length: some },
    (_, i) => all[Math.min(all.length - 1, Math.floor(((i + random()) * all.length) / some))],
  );
}

/** Rows [k | v] of some visible keys, less the mean over all of them if `centred`. */
function sample(
  keys: Float32Array,
  values: Float32Array,
  options: { D: number; E: number; visible: readonly number[]; random: () => number; count: number; centred: boolean },
): Float32Array {
  const { D, E, visible, random } = options;
  const width = D + E;
  const mean = new Float64Array(width);
  for (const j of options.centred ? visible : []) {
    for (let d = 0; d < D; d++) mean[d] += keys[j * D + d];
    for (let e = 0; e < E; e++) mean[D + e] += values[j * E + e];
  }
  const chosen = spreadOver(visible, options.count, random);
  const rows = new Float32Array(chosen.length * width);
  for (const [i, j] of chosen.entries()) {
    for (let d = 0; d < D; d++) rows[i * width + d] = keys[j * D + d] - mean[d] / visible.length;
    for (let e = 0; e < E; e++) rows[i * width + D + e] = values[j * E + e] - mean[D + e] / visible.length;
  }
  return rows;
}
