/**
 * The hybrid by its definition (float64, per query, no sums shared between queries): one softmax over the window, the
 * globals and a pseudo-key for every code of the keys that are left. Judges src/ and imports nothing from it.
 */
import type { Attention } from './attention.js';

export interface Hybrid {
  readonly block: number;
  readonly window: number;
  /** Keys with the highest static score k·query, and the first `sinks`, of those behind the prefix. */
  readonly globals: number;
  readonly sinks: number;
  /** [H,D] in the units of scale·q. */
  readonly query: Float64Array;
  readonly codes: number;
  /** Key j belongs to the code c that maximises f_j·W_c + b_c, f_j = [k_j | v_j] or k_j, less its mean if `centred`. */
  readonly weights: Float64Array; // [H,F,C]
  readonly offsets: Float64Array; // [H,C]
  readonly centred: boolean;
  /** k-means steps on the input itself from these codes, and what distances are measured in; 0 where absent. */
  readonly refine?: {
    readonly steps: number;
    /** [H,D,D] and [H]: |f|² = kᵀ M k + w |v|². */
    readonly metric: Float64Array;
    readonly valueWeight: Float64Array;
  };
  /** So many blocks of so many keys beside the window, by the largest 4-bit estimate in them of any query of a block. */
  readonly kept?: { readonly blocks: number; readonly keyBlock: number };
  /** Where given, two-dimensional tiles instead of blocks: rows × columns patches behind `prefix` tokens. */
  readonly grid?: {
    readonly rows: number;
    readonly columns: number;
    readonly prefix: number;
    readonly tile: number;
    readonly halo: number;
    /** Cells of 2 × 2 patches around the window, each one key, the mean of its keys that are no globals. 0 where absent. */
    readonly ring?: number;
  };
}

export function hybridAttention(input: Attention, hybrid: Hybrid): Float64Array {
  const { B, H, N, S, E } = input;
  const out = new Float64Array(B * H * N * E);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const head = readHead(input, b, h);
      const globals = globalKeys(head, hybrid, h, input);
      const first = hybrid.codes > 0 ? assign(head, hybrid, h, input) : [];
      const code = refine(head, hybrid, { h, first, globals, input });
      for (let i = 0; i < N; i++) {
        const kept = hybrid.kept ? keptKeys(head, hybrid, hybrid.kept, { i, globals }).keys : new Set<number>();
        const row = attendRow(head, hybrid, { i, globals: new Set([...globals, ...kept]), code, S });
        row.forEach((value, e) => {
          out[((b * H + h) * N + i) * E + e] = value;
        });
      }
    }
  }
  return out;
}

interface Head {
  readonly q: number[][];
  readonly k: number[][];
  readonly v: number[][];
  readonly bias: number[];
}

function readHead({ H, N, S, D, E, q, k, v, scale, keyBias }: Attention, b: number, h: number): Head {
  const rows = (data: Float64Array, length: number, width: number, factor: number) =>
    Array.from({ length }, (_, i) =>
      Array.from({ length: width }, (_, d) => factor * data[((b * H + h) * length + i) * width + d]),
    );
  return {
    q: rows(q, N, D, scale),
    k: rows(k, S, D, 1),
    v: rows(v, S, E, 1),
    bias: Array.from({ length: S }, (_, j) => (keyBias ? keyBias[b * S + j] : 0)),
  };
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

function globalKeys({ k, bias }: Head, hybrid: Hybrid, h: number, { S, D }: Attention): Set<number> {
  const prefix = hybrid.grid?.prefix ?? 0;
  const query = Array.from(hybrid.query.subarray(h * D, (h + 1) * D));
  const rank = (j: number) =>
    (bias[j] === -Infinity ? -2e9 : 0) + (j - prefix < hybrid.sinks ? 1e9 : 0) + dot(k[j], query);
  const order = Array.from({ length: S - prefix }, (_, j) => j + prefix).sort((a, b) => rank(b) - rank(a));
  const chosen = order.slice(0, hybrid.globals + hybrid.sinks).filter((j) => bias[j] !== -Infinity);
  return new Set([...chosen, ...Array.from({ length: prefix }, (_, j) => j)]);
}

function assign({ k, v, bias }: Head, hybrid: Hybrid, h: number, { S, D }: Attention): number[] {
  const width = hybrid.weights.length / hybrid.offsets.length;
  const features = k.map((row, j) => (width > D ? [...row, ...v[j]] : row));
  const prefix = hybrid.grid?.prefix ?? 0;
  const seen = features.filter((_, j) => bias[j] !== -Infinity && j >= prefix);
  const mean = features[0].map((_, f) =>
    hybrid.centred ? seen.reduce((sum, row) => sum + row[f], 0) / seen.length : 0,
  );
  return Array.from({ length: S }, (_, j) => {
    let best = { code: 0, score: -Infinity };
    for (let c = 0; c < hybrid.codes; c++) {
      let score = hybrid.offsets[h * hybrid.codes + c];
      for (let f = 0; f < width; f++) {
        score += (features[j][f] - mean[f]) * hybrid.weights[(h * width + f) * hybrid.codes + c];
      }
      if (score > best.score) best = { code: c, score };
    }
    return best.code;
  });
}

/** Lloyd's steps: means of the summarised keys by code, then every key to the nearest mean. */
function refine(
  { k, v, bias }: Head,
  { refine, codes, weights, offsets }: Hybrid,
  { h, first, globals, input }: { h: number; first: number[]; globals: Set<number>; input: Attention },
): number[] {
  const { D, S } = input;
  const pairs = weights.length / Math.max(1, offsets.length) > D;
  let code = first;
  for (let step = 0; refine && codes > 0 && step < refine.steps; step++) {
    const distance = (j: number, k0: readonly number[], v0: readonly number[]) => {
      const off = k[j].map((x, d) => x - k0[d]);
      const metric = (a: number, b: number) => refine.metric[(h * D + a) * D + b];
      const keyPart = off.reduce((sum, x, a) => sum + x * off.reduce((acc, y, b) => acc + metric(a, b) * y, 0), 0);
      const valuePart = v[j].reduce((sum, x, e) => sum + (x - v0[e]) ** 2, 0);
      return keyPart + (pairs ? refine.valueWeight[h] * valuePart : 0);
    };
    const means = Array.from({ length: codes }, (_, c) => {
      const members = code.flatMap((own, j) => (own === c && bias[j] !== -Infinity && !globals.has(j) ? [j] : []));
      const mean = (rows: number[][]) =>
        rows[0].map((_, d) => members.reduce((sum, j) => sum + rows[j][d], 0) / members.length);
      return members.length > 0 ? { key: mean(k), value: mean(v) } : undefined;
    });
    code = Array.from({ length: S }, (_, j) => {
      let best = { code: 0, far: Number.POSITIVE_INFINITY };
      for (const [c, at] of means.entries()) {
        if (!at) continue;
        const far = distance(j, at.key, at.value);
        if (far < best.far) best = { code: c, far };
      }
      return best.code;
    });
  }
  return code;
}

function attendRow(
  { q, k, v, bias }: Head,
  hybrid: Hybrid,
  { i, globals, code, S }: { i: number; globals: Set<number>; code: readonly number[]; S: number },
): number[] {
  const everything = Boolean(hybrid.grid && i < hybrid.grid.prefix);
  const near = (j: number) => everything || inWindow(hybrid, i, j);
  const logits: number[] = [];
  const values: number[][] = [];
  const far = new Map<number, number[]>();
  const pooled = new Map<string, number[]>();
  for (let j = 0; j < S; j++) {
    if (bias[j] === -Infinity) continue;
    if (globals.has(j) || near(j)) {
      logits.push(dot(q[i], k[j]) + bias[j]);
      values.push(v[j]);
      continue;
    }
    const cell = cellInRing(hybrid, i, j);
    if (cell !== undefined) pooled.set(cell, [...(pooled.get(cell) ?? []), j]);
    if (hybrid.codes > 0) far.set(code[j], [...(far.get(code[j]) ?? []), j]);
  }
  const summarise = (members: readonly number[], count: number) => {
    const mean = (rows: number[][]) =>
      rows[0].map((_, d) => members.reduce((sum, j) => sum + rows[j][d], 0) / members.length);
    if (count === 0) return;
    logits.push(dot(q[i], mean(k)) + Math.log(count));
    values.push(mean(v));
  };
  for (const members of pooled.values()) summarise(members, members.length);
  // What is pooled leaves the mass of a code, and not its means.
  for (const members of far.values())
    summarise(members, members.filter((j) => cellInRing(hybrid, i, j) === undefined).length);
  const max = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  return v[0].map((_, e) =>
    weights.length === 0 ? 0 : weights.reduce((acc, w, n) => acc + w * values[n][e], 0) / sum,
  );
}

/** The keys that the block of query i keeps, and by how much the last of them is ahead of the next. */
function keptKeys(
  { q, k, bias }: Head,
  hybrid: Hybrid,
  { blocks, keyBlock }: NonNullable<Hybrid['kept']>,
  { i, globals }: { i: number; globals: Set<number> },
): { keys: Set<number>; margin: number } {
  const visible = k.filter((_, j) => bias[j] !== -Infinity);
  const mean = k[0].map((_, d) => visible.reduce((sum, key) => sum + key[d], 0) / visible.length);
  const coded = (row: readonly number[], most = Math.max(...row.map(Math.abs))) => {
    const step = most / 7;
    return row.map((x) => step * Math.round(x / step));
  };
  const start = i - (i % hybrid.block);
  const own = q.slice(start, start + hybrid.block);
  const queries = own.map((row) => coded(row, Math.max(...own.flat().map(Math.abs))));
  const keys = k.map((key) => coded(key.map((x, d) => x - mean[d])));
  const best = new Map<number, number>();
  for (let j = 0; j < k.length; j++) {
    if (bias[j] === -Infinity || globals.has(j) || inWindow(hybrid, i, j)) continue;
    const at = Math.floor(j / keyBlock);
    for (const x of queries) best.set(at, Math.max(best.get(at) ?? -Infinity, dot(x, keys[j]) + bias[j]));
  }
  const order = [...best].sort(([, a], [, b]) => b - a);
  const chosen = new Set(order.slice(0, blocks).map(([at]) => at));
  const margin = order.length > blocks ? order[blocks - 1][1] - order[blocks][1] : Infinity;
  const inChosen = (j: number) => chosen.has(Math.floor(j / keyBlock)) && bias[j] !== -Infinity;
  return { keys: new Set(k.flatMap((_, j) => (inChosen(j) ? [j] : []))), margin };
}

/** The least margin by which any block of queries chose: below what float32 resolves, the choice is anybody's. */
export function leastMargin(input: Attention, hybrid: Hybrid): number {
  let least = Infinity;
  for (let b = 0; b < input.B; b++)
    for (let h = 0; h < input.H; h++) {
      const head = readHead(input, b, h);
      const globals = globalKeys(head, hybrid, h, input);
      for (let i = 0; hybrid.kept && i < input.N; i += hybrid.block)
        least = Math.min(least, keptKeys(head, hybrid, hybrid.kept, { i, globals }).margin);
    }
  return least;
}

function inWindow({ block, window, grid }: Hybrid, i: number, j: number): boolean {
  if (!grid) {
    const start = i - (i % block);
    const halo = (window - block) / 2;
    return j >= start - halo && j < start + block + halo;
  }
  const { columns, prefix, tile, halo } = grid;
  if (j < prefix) return false;
  const place = (token: number) => [Math.floor((token - prefix) / columns), (token - prefix) % columns];
  const [query, key] = [place(i), place(j)];
  return query.every((at, axis) => {
    const start = at - (at % tile);
    return key[axis] >= start - halo && key[axis] < start + tile + halo;
  });
}

/** The cell of 2 × 2 patches that key j is in, where it is in the ring around the window of query i. */
function cellInRing({ grid }: Hybrid, i: number, j: number): string | undefined {
  if (!grid?.ring || i < grid.prefix || j < grid.prefix) return undefined;
  const { columns, prefix, tile, halo, ring } = grid;
  const place = (token: number) => [Math.floor((token - prefix) / columns), (token - prefix) % columns];
  const [query, key] = [place(i), place(j)];
  const inSquare = query.every((at, axis) => {
    const start = at - (at % tile);
    return key[axis] >= start - halo - 2 * ring && key[axis] < start + tile + halo + 2 * ring;
  });
  return inSquare ? key.map((at) => Math.floor(at / 2)).join() : undefined;
}
