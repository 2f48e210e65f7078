/**
 * Attention to near keys, of which a mass and a mean are known, and to a pseudo-key for every code, where keys belong to codes in given
 * shares: float64, a query at a time. Judges src/learn/codebook-attention.ts and imports nothing from it.
 */
export interface View {
  readonly H: number;
  readonly S: number;
  readonly F: number;
  readonly D: number;
  readonly E: number;
  /** Blocks, and queries of each. */
  readonly n: number;
  readonly b: number;
  readonly features: Float64Array; // [H,S,F]
  readonly count: Float64Array; // [H,n,S]
  readonly keys: Float64Array; // [H,n·D,S]
  readonly values: Float64Array; // [H,n·E,S]
  readonly queries: Float64Array; // [H,n,b,D]
  readonly nearMass: Float64Array; // [H,n,b]
  readonly nearValues: Float64Array; // [H,n,b,E]
}

/** W·f + b of every key: [H][S][C]; W [H,C,F], b [H,C]. */
export function scoresOf({ H, S, F, features }: View, weights: Float64Array, offsets: Float64Array): number[][][] {
  const C = offsets.length / H;
  return times(H, (h) =>
    times(S, (j) =>
      times(C, (c) =>
        times(F, (f) => weights[(h * C + c) * F + f] * features[(h * S + j) * F + f]).reduce(add, offsets[h * C + c]),
      ),
    ),
  );
}

export function softShares(scores: number[][][]): number[][][] {
  return scores.map((head) =>
    head.map((row) => {
      const powers = row.map((score) => Math.exp(score - Math.max(...row)));
      return powers.map((power) => power / powers.reduce(add, 0));
    }),
  );
}

export function hardShares(scores: number[][][]): number[][][] {
  return scores.map((head) => head.map((row) => row.map((score) => Number(score === Math.max(...row)))));
}

/** [H,n,b,E]; `shares` [H][S][C] of each key to each code. */
export function codebookContext(view: View, shares: number[][][]): number[] {
  const { H, S, D, E, n, b } = view;
  const context: number[] = [];
  for (let h = 0; h < H; h++) {
    for (let block = 0; block < n; block++) {
      const at = h * n + block;
      const codes = times(shares[h][0].length, (c) => {
        const sum = (data: Float64Array, width: number, w: number) =>
          times(S, (j) => shares[h][j][c] * data[(at * width + w) * S + j]).reduce(add, 0);
        const count = sum(view.count, 1, 0);
        const key = times(D, (d) => sum(view.keys, D, d) / count);
        return { count, key, value: times(E, (e) => sum(view.values, E, e) / count) };
      }).filter(({ count }) => count >= 0.5);
      for (let i = at * b; i < (at + 1) * b; i++) {
        const logits = codes.map(({ count, key }) =>
          key.map((x, d) => x * view.queries[i * D + d]).reduce(add, Math.log(count)),
        );
        const top = Math.max(view.nearMass[i], ...logits);
        const [near, far] = [Math.exp(view.nearMass[i] - top), logits.map((logit) => Math.exp(logit - top))];
        for (let e = 0; e < E; e++) {
          const sum = far.map((weight, c) => weight * codes[c].value[e]).reduce(add, near * view.nearValues[i * E + e]);
          context.push(sum / far.reduce(add, near));
        }
      }
    }
  }
  return context;
}

function times<T>(length: number, make: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => make(i));
}

function add(a: number, b: number): number {
  return a + b;
}
