/**
 * Hedgehog features (Zhang, Bhatia, Kumbong and Ré 2024, arXiv 2402.04347; two softmaxes as in LoLCATs, arXiv 2410.10254):
 *   φ(x) = [softmax(W x), softmax(−W x)]
 * with a W of its own for queries and for keys. A map to be trained: W is what training found, and the identity, where
 * training starts, otherwise. Not an estimate of softmax. Features are positive and each half sums to 1, so that weights lie
 * in (0, 2]. (fla takes one softmax over both halves, of 2Wx: another map.)
 *
 * Shapes    x [N,d] → [N,2f], W [f,d], default f = d.
 * Numerics  each softmax subtracts its own maximum: nothing overflows; a feature may underflow to 0.
 * Cost      2fd + 6f flops and 2f exponentials a row; 16fd bytes (float64, both sides).
 * METHODS A.16: read in code. Verified here: the definition, to 1e-12.
 */
import { PerformersError } from '../errors.js';
import { finite } from './data/frequencies.js';
import { checkCount } from './gaussian.js';
import { type PairMap, project, type RowMapOptions, rowMap } from './row-map.js';

export interface HedgehogOptions extends Pick<RowMapOptions, 'd'> {
  /** Trained weights, as many rows for queries as for keys. Default the identity. */
  readonly weights?: { readonly query: ArrayLike<number>; readonly key: ArrayLike<number> }; // [f,d] each
}

/** @throws PerformersError PF202 for d below 1, PF401 for weights of a wrong shape or not finite */
export function hedgehog({ d, weights }: HedgehogOptions): PairMap {
  checkCount('d', d);
  const identity = Float64Array.from({ length: d * d }, (_, i) => Number(i % (d + 1) === 0));
  const query = weights ? finite('weights', weights.query, d) : identity;
  const key = weights ? finite('weights', weights.key, d) : identity;
  if (query.length !== key.length) {
    const rows = [query, key].map((side) => side.length / d);
    throw new PerformersError(
      'PF401',
      `weights must have as many rows for queries as for keys, got ${rows.join(' and ')}`,
      {
        at: 'features.weights',
        mend: 'pass the two matrices [f,d] of one head',
      },
    );
  }
  const f = query.length / d;
  return { d, features: 2 * f, query: side(query, d).phi, key: side(key, d).phi };
}

function side(w: Float64Array, d: number) {
  const f = w.length / d;
  return rowMap(d, 2 * f, (row, into) => {
    for (let r = 0; r < f; r++) {
      into[r] = project(w, row, r);
      into[f + r] = -into[r];
    }
    softmax(into.subarray(0, f));
    softmax(into.subarray(f));
  });
}

function softmax(logits: Float64Array): void {
  const most = logits.reduce((max, logit) => Math.max(max, logit), -Infinity);
  let sum = 0;
  for (let r = 0; r < logits.length; r++) {
    logits[r] = Math.exp(logits[r] - most);
    sum += logits[r];
  }
  for (let r = 0; r < logits.length; r++) logits[r] /= sum;
}
