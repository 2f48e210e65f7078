/**
 * Which blocks of keys an estimate in few bits keeps, by definition (float64; SALE as METHODS F.1 has it). Judges src/kernels and imports
 * nothing from src/.
 */
import type { KeySets } from './key-sets.js';

export interface Estimate {
  readonly bits: 8 | 4 | 1;
  readonly threshold: number;
  readonly local: number;
  readonly sinks: number;
  readonly causal: boolean;
  readonly queryBlock: number;
  readonly keyBlock: number;
  /** [B,S]: hidden keys. */
  readonly hidden?: (b: number, j: number) => boolean;
}

/**
 * kept(b, h, a, c) of query block a and key block c, and how near any score that decides comes to its limit: below what float32 resolves,
 * the choice is anybody's.
 */
export function keptBlocks(input: KeySets, estimate: Estimate) {
  const { B, H, G, N, S, D, q, k, scale } = input;
  const { bits, threshold, local, sinks, causal, queryBlock, keyBlock, hidden = () => false } = estimate;
  const row = (x: Float64Array, at: number) => Array.from(x.subarray(at * D, (at + 1) * D));
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, d) => sum + x * b[d], 0);
  const coded = (x: number[]) => {
    const sizes = x.map(Math.abs);
    const mean = sizes.reduce((sum, size) => sum + size, 0) / D;
    if (bits === 1) return x.map((value) => (value < 0 ? -mean : mean));
    const step = Math.max(...sizes) / (bits === 8 ? 127 : 7);
    return x.map((value) => step * Math.round(value / step));
  };
  const queryBlocks = Math.ceil(N / queryBlock);
  const keyBlocks = Math.ceil(S / keyBlock);
  const kept = new Set<string>();
  let margin = Infinity;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = b * G + Math.floor((h * G) / H);
      const keys = Array.from({ length: S }, (_, j) => row(k, g * S + j));
      const visible = keys.filter((_, j) => !hidden(b, j));
      const mean = keys[0].map((_, d) => visible.reduce((sum, key) => sum + key[d], 0) / visible.length);
      const rough = keys.map((key) => coded(key.map((x, d) => x - mean[d])));
      for (let i = 0; i < N; i++) {
        const x = row(q, (b * H + h) * N + i);
        const at = i + S - N;
        const near = keys.filter((_, j) => Math.abs(j - at) <= local && !hidden(b, j) && !(causal && j > at));
        const mass = Math.log(near.reduce((sum, key) => sum + Math.exp(scale * dot(x, key)), 0));
        const own = coded(x);
        for (let j = 0; j < S; j++) {
          if (hidden(b, j) || (causal && j > at)) continue;
          const excess = scale * (dot(own, rough[j]) + dot(x, mean)) - mass - Math.log(threshold);
          margin = Math.min(margin, Math.abs(excess));
          if (excess > 0) kept.add([b, h, Math.floor(i / queryBlock), Math.floor(j / keyBlock)].join());
        }
      }
      for (let a = 0; a < queryBlocks; a++) {
        const low = a * queryBlock + S - N;
        const high = Math.min((a + 1) * queryBlock, N) - 1 + S - N;
        for (let c = 0; c < keyBlocks; c++) {
          const begin = c * keyBlock;
          const end = Math.min(begin + keyBlock, S) - 1;
          if (causal && begin > high) continue;
          if (c < sinks || (begin <= high + local && end >= low - local)) kept.add([b, h, a, c].join());
        }
      }
    }
  }
  const has = (b: number, h: number, i: number, j: number) =>
    kept.has([b, h, Math.floor(i / queryBlock), Math.floor(j / keyBlock)].join());
  return { has, margin, share: kept.size / (B * H * queryBlocks * keyBlocks) };
}
