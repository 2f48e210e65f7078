/**
 * Window attention with global keys: softmax over a set of keys for every block of queries (Longformer, Beltagy et al.
 * 2020; BigBird, Zaheer et al. 2020). Query block [b, b + block) attends to
 *   K_b = { j : b − halo ≤ j < b + block + halo, 0 ≤ j < S } ∪ globals,   halo = (window − block) / 2
 * and O_i = Σ_{j ∈ K_b} softmax_{j ∈ K_b}(scale·q_i·k_j + keyBias_j) v_j. Cost N·(window + globals).
 *
 * Each key is in the set once: a global key that the window already holds must not count double. Queries and keys share
 * one axis of positions; where S < N the last blocks may see no key but the globals, and a query without any unmasked
 * key gives zeros. In Longformer the queries at global positions attend to all keys; here no query does.
 */
import { PerformersError } from '../errors.js';
import { type AttentionInput, attend, checkInput, checkWhole } from './exact.js';

export interface WindowOptions {
  /** Keys that a full block sees around and under itself: `block` plus an even number. */
  readonly window: number;
  /** Keys that every block sees. One at or past S is left out: a plan is fixed before N is known. Default: none. */
  readonly globals?: readonly number[];
  /** Queries that share one set of keys. Default 32. */
  readonly block?: number;
}

/** @throws PerformersError PF202 for wrong array lengths, or a window that does not fit its block */
export function windowAttention(input: AttentionInput, options: WindowOptions): Float64Array {
  checkInput(input);
  const { B, H, N, S, E } = input;
  const { block = 32 } = options;
  const sets = windowKeys(N, S, options);
  const out = new Float64Array(B * H * N * E); // [B,H,N,E]
  for (let bh = 0; bh < B * H; bh++) {
    for (let i = 0; i < N; i++) {
      const keys = sets[Math.floor(i / block)];
      attend(input, bh, i, keys, Math.max(1, keys.length), out);
    }
  }
  return out;
}

/** The keys of every query block, ascending, each once. */
export function windowKeys(N: number, S: number, { window, globals = [], block = 32 }: WindowOptions): Int32Array[] {
  checkWhole('block', block, 1);
  checkWhole('window', window, block);
  for (const [index, key] of globals.entries()) checkWhole(`globals[${index}]`, key, 0);
  const halo = (window - block) / 2;
  if (!Number.isInteger(halo)) {
    throw new PerformersError('PF202', `window must be block + an even number, got ${window} with block ${block}`, {
      at: 'attention.window',
      mend: `use window = ${window + 1}`,
    });
  }
  const sets: Int32Array[] = [];
  for (let b = 0; b < N; b += block) {
    const keys = new Set(globals.filter((key) => key < S));
    for (let j = Math.max(0, b - halo); j < Math.min(S, b + block + halo); j++) keys.add(j);
    sets.push(Int32Array.from(keys).sort());
  }
  return sets;
}
