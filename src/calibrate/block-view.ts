/** What one head sees of a passage, for some blocks of its queries: what a codebook is trained on, and does not change. */
import { excluded } from '../rewrite/lower/key-set.js';
import { queryBlock } from '../rewrite/plan-options.js';
import type { HeadInputs } from './record.js';

export interface PassageHead {
  readonly q: Float32Array; // [N,D]
  readonly k: Float32Array; // [S,D]
  readonly v: Float32Array; // [S,E]
  /** Of every key, or none. */
  readonly keyBias?: Float32Array; // [S]
  readonly D: number;
  readonly E: number;
}

/** Which keys a head attends exactly, whatever its codebook. */
export interface NearKeys {
  readonly window: number;
  readonly globals: number;
  readonly sinks: number;
  /** Of the static score [D]; unread without globals. */
  readonly query: Float32Array;
}

/** Keys with a lower bias are masked. */
export const masked = -1000;

/** Of a passage, B = 1. */
export function headOf({ q, k, v, keyBias }: HeadInputs, head: number): PassageHead {
  const rows = ({ data, dims: [, , length = 0, width = 0] }: HeadInputs['q']) =>
    data.subarray(head * length * width, (head + 1) * length * width);
  const [D, E] = [k.dims[3] ?? 0, v.dims[3] ?? 0];
  return { q: rows(q), k: rows(k), v: rows(v), D, E, ...(keyBias && { keyBias: keyBias.data }) };
}

/** k or [k | v] of every key, less the mean over those that are not masked: [S,F]. */
export function centredFeatures({ k, v, keyBias, D, E }: PassageHead, onValues: boolean): Float32Array {
  const F = onValues ? D + E : D;
  const weights = keyWeights(k.length / D, keyBias);
  const total = weights.reduce((sum, w) => sum + w, 0) || 1;
  const features = new Float32Array(weights.length * F);
  const mean = new Float64Array(F);
  for (const [j, weight] of weights.entries()) {
    const row = features.subarray(j * F, (j + 1) * F);
    row.set(k.subarray(j * D, (j + 1) * D));
    if (onValues) row.set(v.subarray(j * E, (j + 1) * E), D);
    for (let f = 0; f < F; f++) mean[f] += (weight / total) * row[f];
  }
  for (let at = 0; at < features.length; at++) features[at] -= mean[at % F];
  return features;
}

/** The parts of a BlockView (learn/codebook-attention.ts) of one head but its features, keys padded to `length`. */
export function blockView(head: PassageHead, near: NearKeys, blocks: readonly number[], length: number) {
  const { q, k, v, keyBias, D, E } = head;
  const S = k.length / D;
  const rows = blocks.length * queryBlock;
  const weights = keyWeights(S, keyBias);
  const global = globalKeys(head, near);
  const halo = (near.window - queryBlock) / 2;
  const scores = new Float64Array(S);
  const view = {
    count: new Float32Array(blocks.length * length),
    keys: new Float32Array(blocks.length * D * length),
    values: new Float32Array(blocks.length * E * length),
    queries: new Float32Array(rows * D),
    nearMass: new Float32Array(rows),
    nearValues: new Float32Array(rows * E),
  };
  for (const [b, block] of blocks.entries()) {
    const start = block * queryBlock;
    const isNear = (j: number) => global.has(j) || (j >= start - halo && j < start + queryBlock + halo);
    const all = Array.from({ length: S }, (_, j) => j).filter((j) => weights[j] > 0);
    const [close, far] = [all.filter(isNear), all.filter((j) => !isNear(j))];
    for (const j of far) view.count[b * length + j] = weights[j];
    for (let d = 0; d < D; d++) for (const j of far) view.keys[(b * D + d) * length + j] = weights[j] * k[j * D + d];
    for (let e = 0; e < E; e++) for (const j of far) view.values[(b * E + e) * length + j] = weights[j] * v[j * E + e];
    view.queries.set(q.subarray(start * D, (start + queryBlock) * D), b * queryBlock * D);
    for (let i = 0; i < queryBlock; i++) {
      const at = b * queryBlock + i;
      const query = view.queries.subarray(at * D, (at + 1) * D);
      const mean = view.nearValues.subarray(at * E, (at + 1) * E);
      view.nearMass[at] = attendNear(head, query, close, { mean, scores });
    }
  }
  return view;
}

/** Log mass of these keys; their mean value goes into `mean`. `scores` is room for one a key. */
function attendNear(
  { k, v, keyBias, D, E }: PassageHead,
  query: Float32Array,
  keys: readonly number[],
  { mean, scores }: { mean: Float32Array; scores: Float64Array },
): number {
  let most = excluded;
  for (let n = 0; n < keys.length; n++) {
    const at = keys[n] * D;
    let score = keyBias?.[keys[n]] ?? 0;
    for (let d = 0; d < D; d++) score += query[d] * k[at + d];
    scores[n] = score;
    if (score > most) most = score;
  }
  let sum = 0;
  for (let n = 0; n < keys.length; n++) {
    const power = Math.exp(scores[n] - most);
    sum += power;
    for (let e = 0; e < E; e++) mean[e] += power * v[keys[n] * E + e];
  }
  for (let e = 0; e < E && sum > 0; e++) mean[e] /= sum;
  return most + Math.log(sum || 1);
}

/** How much each key counts; 0 where it is masked. */
export function keyWeights(S: number, keyBias?: Float32Array): Float64Array {
  return Float64Array.from({ length: S }, (_, j) => {
    const bias = keyBias?.[j] ?? 0;
    return bias > masked ? Math.exp(bias) : 0;
  });
}

/** As lower/scored-globals.ts chooses them. */
function globalKeys({ k, keyBias, D }: PassageHead, { globals, sinks, query }: NearKeys): Set<number> {
  if (globals + sinks === 0) return new Set();
  const scores = Float64Array.from({ length: k.length / D }, (_, j) => {
    let score = (keyBias?.[j] ?? 0) + (j < sinks ? -0.5 * excluded : 0);
    for (let d = 0; globals > 0 && d < D; d++) score += query[d] * k[j * D + d];
    return score;
  });
  const ranked = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  return new Set(ranked.slice(0, globals + sinks));
}
