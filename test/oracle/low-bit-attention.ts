/**
 * Linear attention by cosine features whose features, values and sums are rounded, by definition: float64, naive sums, nothing shared with
 * src/. Also how near any number that is rounded comes to where its code changes, in steps: below what float32 resolves, the code is anybody's.
 */

export interface LowBitAttention {
  readonly B: number;
  readonly H: number;
  readonly G: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly M: number;
  readonly q: Float64Array; // [B,H,N,D]
  readonly k: Float64Array; // [B,G,S,D]
  readonly v: Float64Array; // [B,G,S,E]
  readonly omega: Float64Array; // [G,M,D]
  readonly phase: Float64Array; // [G,M]
  readonly weight: Float64Array; // [G,M]
  readonly scale: number;
  /** [B,S] or [B,G,S]; −Infinity hides the key. */
  readonly keyBias?: Float64Array;
  /** Infinity for features as they are. */
  readonly bits: number;
  readonly queryBits: number;
  /** Values, and what features have of them, in 8 bits, a scale for so many. 0: as they are. */
  readonly block: number;
}

/** Least distances, in steps, of what is rounded. */
export interface Margins {
  features: number;
  values: number;
  sums: number;
}

export function lowBitAttention(input: LowBitAttention): { out: Float64Array; margins: Margins } {
  const { B, H, G, N, S, D, E, M, q, k, v, omega, phase, weight, scale, keyBias, bits, queryBits, block } = input;
  const margins: Margins = { features: Infinity, values: Infinity, sums: Infinity };
  const toHalf = (x: number) => Math.abs(x - Math.floor(x) - 0.5);
  const feature = (x: Float64Array, at: number, g: number, r: number, width: number) => {
    let angle = phase[g * M + r];
    for (let d = 0; d < D; d++) angle += omega[(g * M + r) * D + d] * Math.sqrt(scale) * x[at * D + d];
    const value = Math.cos(angle);
    if (width === Infinity) return value;
    if (width === 1) {
      margins.features = Math.min(margins.features, Math.abs(value));
      return value < 0 ? -Math.PI / 4 : Math.PI / 4;
    }
    const most = width === 8 ? 127 : 7;
    margins.features = Math.min(margins.features, toHalf(most * value));
    return Math.round(most * value) / most;
  };
  const rounded = (column: number[], kind: 'values' | 'sums') => {
    if (block === 0) return column;
    return column.map((value, j) => {
      const start = j - (j % block);
      const most = Math.max(...column.slice(start, start + block).map(Math.abs));
      if (most === 0) return 0;
      const unit = (127 * value) / most;
      margins[kind] = Math.min(margins[kind], toHalf(unit));
      return (most * Math.round(unit)) / 127;
    });
  };
  const out = new Float64Array(B * H * N * E);
  for (let b = 0; b < B; b++) {
    for (let g = 0; g < G; g++) {
      const at = b * G + g;
      const biasAt = keyBias?.length === B * S ? b * S : at * S;
      const weights = Array.from({ length: S }, (_, j) => (keyBias ? Math.exp(keyBias[biasAt + j]) : 1));
      const columns = Array.from({ length: E + 1 }, (_, e) =>
        rounded(
          weights.map((own, j) => (own === 0 ? 0 : own * (e < E ? v[(at * S + j) * E + e] : 1))),
          'values',
        ),
      );
      const keys = Array.from({ length: M }, (_, r) =>
        weights.map((own, j) => (own === 0 ? 0 : feature(k, at * S + j, g, r, bits))),
      );
      const state = columns.map((column) =>
        rounded(
          keys.map((row, r) => weight[g * M + r] * row.reduce((sum, value, j) => sum + value * column[j], 0)),
          'sums',
        ),
      );
      for (let h = (g * H) / G; h < ((g + 1) * H) / G; h++) {
        for (let i = 0; i < N; i++) {
          const row = (b * H + h) * N + i;
          const own = Array.from({ length: M }, (_, r) => feature(q, row, g, r, queryBits));
          const sums = state.map((column) => column.reduce((sum, value, r) => sum + value * own[r], 0));
          for (let e = 0; e < E; e++) out[row * E + e] = sums[E] === 0 ? 0 : sums[e] / sums[E];
        }
      }
    }
  }
  return { out, margins };
}
