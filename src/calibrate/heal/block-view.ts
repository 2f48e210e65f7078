/** What one head sees of a passage, for some blocks of its queries: what a codebook is trained on, and does not change. */
import { keyBlock, largest } from '../../rewrite/lower/kept-blocks.js';
import { excluded } from '../../rewrite/lower/key-set.js';
import { queryBlock } from '../../rewrite/plan-options.js';
import { type HeadInputs, masked } from '../record.js';

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
  /** Blocks of keys that each block of queries keeps. */
  readonly blocks: number;
  /** Of the static score [D]; unread without globals. */
  readonly query: Float32Array;
}

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
  const estimated = near.blocks > 0 ? keysInFourBits(head, weights) : undefined;
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
    const inSight = (j: number) => global.has(j) || (j >= start - halo && j < start + queryBlock + halo);
    const all = Array.from({ length: S }, (_, j) => j).filter((j) => weights[j] > 0);
    const rest = all.filter((j) => !inSight(j));
    const kept = estimated && keptBlocks(head, { estimated, rest, start, most: near.blocks });
    const isNear = (j: number) => inSight(j) || kept?.has(Math.floor(j / keyBlock)) === true;
    const [close, far] = [all.filter(isNear), rest.filter((j) => !isNear(j))];
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

/** Each key less the mean of those that are not masked, in whole numbers of 4 bits and a step of its own, multiplied out. */
function keysInFourBits({ k, D }: PassageHead, weights: Float64Array): Float32Array {
  const total = weights.reduce((sum, w) => sum + w, 0) || 1;
  const mean = new Float64Array(D);
  for (let at = 0; at < k.length; at++) mean[at % D] += (weights[Math.floor(at / D)] / total) * k[at];
  const centred = k.map((x, at) => x - mean[at % D]);
  for (let at = 0; at < centred.length; at += D) centred.set(inFourBits(centred.subarray(at, at + D)), at);
  return centred;
}

function inFourBits(row: Float32Array): Float32Array {
  const step = Math.max(row.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / largest, 1e-30);
  return row.map((x) => Math.round(x / step) * step);
}

/** As lower/kept-blocks.ts keeps them, of those that have one of the keys that are left. */
function keptBlocks(
  { q, keyBias, D }: PassageHead,
  given: { estimated: Float32Array; rest: readonly number[]; start: number; most: number },
): Set<number> {
  const { estimated, rest, start, most } = given;
  const queries = inFourBits(q.subarray(start * D, (start + queryBlock) * D));
  const best = new Map<number, number>();
  for (const j of rest) {
    const key = estimated.subarray(j * D, (j + 1) * D);
    let top = Number.NEGATIVE_INFINITY;
    for (let at = 0; at < queries.length; at += D) {
      let score = 0;
      for (let d = 0; d < D; d++) score += queries[at + d] * key[d];
      if (score > top) top = score;
    }
    const block = Math.floor(j / keyBlock);
    best.set(block, Math.max(best.get(block) ?? Number.NEGATIVE_INFINITY, top + (keyBias?.[j] ?? 0)));
  }
  const ranked = [...best].sort(([, a], [, b]) => b - a);
  return new Set(ranked.slice(0, most).map(([block]) => block));
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
