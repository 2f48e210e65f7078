/** Attention to summaries of all keys by its definition: float64, a query at a time. Judges src/ and imports nothing from it. */
import type { Attention } from './attention.js';

/** A codebook: key j belongs to the code c that maximises f_j·W_c + b_c, f_j = k_j or [k_j | v_j] less its mean. */
export interface Book {
  readonly weights: Float64Array; // [H,F,C]
  readonly offsets: Float64Array; // [H,C]
}

/** Pseudo-keys k̄_c with logits q·k̄_c + log n_c; codes are segments of the sequence where there is no codebook. Zeros where no key counts. */
export function summariesAttention(input: Attention, { codes, book }: { codes: number; book?: Book }): Float64Array {
  const { B, H, N, S, D, E, q, k, v, scale, keyBias } = input;
  const out = new Float64Array(B * H * N * E);
  for (let b = 0; b < B; b++) {
    const visible = Array.from({ length: S }, (_, j) => j).filter((j) => !keyBias || keyBias[b * S + j] !== -Infinity);
    for (let h = 0; h < H; h++) {
      const row = (data: Float64Array, length: number, width: number, i: number) =>
        Array.from(data.subarray(((b * H + h) * length + i) * width, ((b * H + h) * length + i + 1) * width));
      const key = (j: number) => row(k, S, D, j);
      const value = (j: number) => row(v, S, E, j);
      const code = book
        ? nearest(book, { h, H, codes, D }, visible, key, value)
        : (j: number) => Math.floor((j * codes) / S);
      const groups = Array.from({ length: codes }, (_, c) => visible.filter((j) => code(j) === c)).filter(
        (group) => group.length > 0,
      );
      const summaries = groups.map((group) => ({
        n: group.length,
        key: mean(group.map(key)),
        value: mean(group.map(value)),
      }));
      for (let i = 0; i < N && summaries.length > 0; i++) {
        const x = row(q, N, D, i).map((component) => scale * component);
        const logits = summaries.map(({ n, key: mean }) => Math.log(n) + dot(x, mean));
        const most = Math.max(...logits);
        const weights = logits.map((logit) => Math.exp(logit - most));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let e = 0; e < E; e++)
          out[((b * H + h) * N + i) * E + e] = weights.reduce(
            (sum, weight, c) => sum + (weight / total) * summaries[c].value[e],
            0,
          );
      }
    }
  }
  return out;
}

function nearest(
  { weights, offsets }: Book,
  { h, H, codes, D }: { h: number; H: number; codes: number; D: number },
  visible: readonly number[],
  key: (j: number) => number[],
  value: (j: number) => number[],
): (j: number) => number {
  const F = weights.length / (H * codes);
  const feature = (j: number) => (F > D ? [...key(j), ...value(j)] : key(j));
  const centre = visible.length > 0 ? mean(visible.map(feature)) : new Array<number>(F).fill(0);
  return (j) => {
    const f = feature(j).map((x, at) => x - centre[at]);
    const scores = Array.from(
      { length: codes },
      (_, c) =>
        dot(
          f,
          f.map((_, at) => weights[(h * F + at) * codes + c]),
        ) + offsets[h * codes + c],
    );
    return scores.indexOf(Math.max(...scores));
  };
}

function mean(rows: readonly (readonly number[])[]): number[] {
  return rows[0].map((_, at) => rows.reduce((sum, row) => sum + row[at], 0) / rows.length);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
