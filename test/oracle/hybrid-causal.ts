/**
 * The causal hybrid by its definition (float64, per query): what a stream has evicted before the query's block is ranked
 * anew for every query. Judges src/ and imports nothing from it.
 */
import type { Attention } from './attention.js';

export interface CausalHybrid {
  readonly block: number;
  readonly window: number;
  /** Of the evicted keys, so many are kept: the first `sinks`, then by k·query. */
  readonly globals: number;
  readonly sinks: number;
  /** [H,D] */
  readonly query: Float64Array;
  readonly codes: number;
  readonly weights: Float64Array; // [H,D,C]
  readonly offsets: Float64Array; // [H,C]
}

/** [B,H,N,E]; N = S, keys with bias −∞ are not there at all, and their queries give NaN. */
export function causalHybridAttention(input: Attention, hybrid: CausalHybrid): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const out = new Float64Array(B * H * N * E).fill(Number.NaN);
  const row = (data: Float64Array, b: number, h: number, i: number, length: number, width: number) =>
    Array.from(data.subarray(((b * H + h) * length + i) * width, ((b * H + h) * length + i + 1) * width));
  for (let b = 0; b < B; b++) {
    const tokens = Array.from({ length: S }, (_, j) => j).filter((j) => !keyBias || keyBias[b * S + j] === 0);
    for (let h = 0; h < H; h++) {
      const keys = tokens.map((j) => row(k, b, h, j, S, D));
      const values = tokens.map((j) => row(v, b, h, j, S, E));
      for (const [position, token] of tokens.entries()) {
        const x = row(q, b, h, token, N, D).map((value) => value * scale);
        out.set(attendAt(x, { position, keys, values, hybrid, h }), ((b * H + h) * N + token) * E);
      }
    }
  }
  return out;
}

interface At {
  readonly position: number;
  readonly keys: readonly number[][];
  readonly values: readonly number[][];
  readonly hybrid: CausalHybrid;
  readonly h: number;
}

function attendAt(x: readonly number[], { position, keys, values, hybrid, h }: At): number[] {
  const { block, window, globals, sinks, query, codes } = hybrid;
  const D = x.length;
  const start = position - (position % block) - (window - block);
  const logits: number[] = [];
  const seen: (readonly number[])[] = [];
  for (let j = Math.max(0, start); j <= position; j++) {
    logits.push(dot(x, keys[j]));
    seen.push(values[j]);
  }
  const evicted = Array.from({ length: Math.max(0, start) }, (_, j) => j);
  const q0 = Array.from(query.subarray(h * D, (h + 1) * D));
  const rank = (j: number) => (j < sinks ? 1e9 : dot(keys[j], q0));
  const kept = evicted
    .filter((j) => globals > 0 || j < sinks)
    .sort((a, b) => rank(b) - rank(a))
    .slice(0, globals + sinks);
  for (const j of kept) {
    logits.push(dot(x, keys[j]));
    seen.push(values[j]);
  }
  const members = Array.from({ length: codes }, () => [] as number[]);
  if (codes > 0) for (const j of evicted) if (!kept.includes(j)) members[codeOf(keys[j], hybrid, h)].push(j);
  for (const group of members) {
    if (group.length === 0) continue;
    const mean = (rows: readonly number[][]) =>
      rows[0].map((_, d) => group.reduce((sum, j) => sum + rows[j][d], 0) / group.length);
    logits.push(dot(x, mean(keys)) + Math.log(group.length));
    seen.push(mean(values));
  }
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return values[0].map((_, e) => weights.reduce((sum, w, n) => sum + w * seen[n][e], 0) / total);
}

function codeOf(key: readonly number[], { weights, offsets, codes }: CausalHybrid, h: number): number {
  const D = key.length;
  const scores = Array.from({ length: codes }, (_, c) =>
    key.reduce((sum, x, d) => sum + x * weights[(h * D + d) * codes + c], offsets[h * codes + c]),
  );
  return scores.indexOf(Math.max(...scores));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
