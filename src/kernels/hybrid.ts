/**
 * A window, a few chosen keys and codebook summaries of all the rest under one softmax, on a device: what the plan `hybrid` computes in graphs
 * (rewrite/lower/hybrid.ts has the formulas and where they come from). Five kernels: choose (top_keys), mean and sums by code (code_sums,
 * twice), codes (assign), and attention that gathers its keys itself (hybrid). Linear in N; in memory are, beside the inputs, two numbers
 * a key and head and (D + E + 4) a code.
 */
import type { GpuArray } from './array.js';
import { codeSums } from './code-sums.js';
import { assignKernel } from './gen/assign.js';
import { hybridKernel } from './gen/hybrid.js';
import { topKeysKernel } from './gen/top-keys.js';
import { type Recording, slice } from './record.js';
import { arrayFault, eachUnit, lanesOf, refuse, tileOf, unread, wholeFault } from './shape.js';

export interface HybridInput {
  readonly B: number;
  readonly H: number;
  /** Queries, and as many keys. */
  readonly N: number;
  readonly D: number;
  readonly E: number;
  readonly q: GpuArray; // [B,H,N,D]; f32 or f16
  readonly k: GpuArray; // [B,H,N,D]
  readonly v: GpuArray; // [B,H,N,E]
  readonly scale: number;
  /** f32 [B,N]; −Infinity hides the key. Default: none. */
  readonly keyBias?: GpuArray;
  /** Queries a block; a power of two from 4 to 64. Default: 32. */
  readonly block?: number;
  /** Keys around a block: block + 2·halo; needed where there is no grid. */
  readonly window?: number;
  /** Square tiles of an image instead of blocks of a sequence. */
  readonly grid?: PatchTiles;
  /** Keys with the highest k·query. Default: 0. */
  readonly globals?: number;
  /** The first keys of the sequence, or of the patches. Default: 0. */
  readonly sinks?: number;
  /** f32 [H,D], in the units of scale·q; needed for globals. */
  readonly query?: GpuArray;
  /** Default: no summaries. */
  readonly codebook?: HybridCodebook;
}

/** The plan `hybrid-2d` (rewrite/lower/hybrid-2d.ts): patches row by row, behind tokens that attend all and are attended by all. */
export interface PatchTiles {
  /** Tokens before the patches. */
  readonly front: number;
  readonly rows: number;
  readonly columns: number;
  /** Side of a tile, 1 to 8. */
  readonly tile: number;
  /** Patches on all sides of a tile that its queries see. */
  readonly halo: number;
}

export interface HybridCodebook {
  readonly codes: number;
  /** f32 [H,D,C], or [H,D+E,C] where values take part in the choice. */
  readonly weights: GpuArray;
  /** f32 [H,C] */
  readonly offsets: GpuArray;
}

const WG = 64;

/**
 * Records it; the caller frees what it returns, [B,H,N,E] of q's type.
 *
 * @throws PerformersError PF706 naming every array or option that is wrong
 */
export function hybridAttention(recording: Recording, input: HybridInput): GpuArray {
  check(input);
  const { B, H, N, D, E, q, k, v, keyBias, codebook, grid, globals = 0 } = input;
  const front = grid?.front ?? 0;
  // Every query attends what is before the patches: first keys are what the kernels call that.
  const sinks = front + (input.sinks ?? 0);
  const count = globals + sinks;
  const units = B * H;
  const F = D + E + 4;
  const codes = codebook?.codes ?? 0;
  const out = recording.result(q.type, units * N * E);
  const rest = recording.scratch('f32', units * N);
  const chosen = recording.scratch('u32', Math.max(1, units * count * 2));
  const order = recording.scratch('u32', units * N);
  const means = recording.scratch('f32', units * F);
  const code = recording.scratch('u32', units * N);
  const totals = recording.scratch('f32', Math.max(1, units * codes * F));
  const arrays = [q, k, v, out, rest, order, code, totals];
  eachUnit(recording, 'hybridAttention', units, arrays, (first, some) => {
    const of = (array: GpuArray, width: number) => slice(array, first * width, some * width);
    const part = { first, units: some, k: of(k, N * D), v: of(v, N * E), rest: of(rest, N), code: of(code, N) };
    chooseKeys(recording, { ...input, sinks }, { ...part, order: of(order, N), chosen: of(chosen, 2 * count) });
    if (codebook) {
      const sizes = { units: some, first, S: N, D, E, k: part.k, v: part.v };
      const bias =
        keyBias &&
        slice(keyBias, Math.floor(first / H) * N, Math.ceil((first + some) / H) * N - Math.floor(first / H) * N);
      codeSums(recording, { ...sizes, codes: 1, bias, biasSpan: H, from: front }, of(means, F));
      assignCodes(recording, input, codebook, { ...part, means: of(means, F) });
      codeSums(recording, { ...sizes, codes, bias: part.rest, biasSpan: 1, code: part.code }, of(totals, codes * F));
    }
    attendGathered(recording, input, {
      ...part,
      count,
      q: of(q, N * D),
      chosen: of(chosen, 2 * count),
      totals: of(totals, codes * F),
      out: of(out, N * E),
    });
  });
  return out;
}

type Slices<Names extends string> = { readonly first: number; readonly units: number } & Readonly<
  Record<Names, ReturnType<typeof slice>>
>;

function chooseKeys(
  recording: Recording,
  { H, N, D, keyBias, query, globals = 0, sinks = 0 }: HybridInput,
  { first, units, k, order, chosen, rest }: Slices<'k' | 'order' | 'chosen' | 'rest'>,
): void {
  const threads = Math.min(256, recording.gpu.limits.threads);
  recording.dispatch({
    kernel: topKeysKernel,
    parameters: { elem: k.array.type, D, WG: threads, BIAS: keyBias !== undefined, SCORED: query !== undefined },
    bindings: { k, query: query ?? unread(k), bias: keyBias ?? unread(k), order, chosen, rest },
    uniform: {
      ...{ units, keys: N, heads: H, firstUnit: first, count: globals + sinks, sinks },
      ...{ kBase: k.base, orderBase: order.base, chosenBase: chosen.base, restBase: rest.base },
    },
    groups: units,
  });
}

function assignCodes(
  recording: Recording,
  { H, N, D, E }: HybridInput,
  { codes, weights, offsets }: HybridCodebook,
  { first, units, k, v, means, code }: Slices<'k' | 'v' | 'means' | 'code'>,
): void {
  const VALUES = weights.length === H * (D + E) * codes;
  recording.dispatch({
    kernel: assignKernel,
    parameters: { elem: k.array.type, D, E, CODES: codes, WG, VALUES },
    bindings: { k, v, means, weights, offsets, code },
    uniform: {
      ...{ units, keys: N, heads: H, firstUnit: first },
      ...{ kBase: k.base, vBase: v.base, meanBase: means.base, codeBase: code.base },
    },
    groups: Math.ceil((units * N) / WG),
  });
}

function attendGathered(
  recording: Recording,
  { N, D, E, block = 32, window = block, grid, codebook, scale }: HybridInput,
  {
    units,
    count,
    q,
    k,
    v,
    rest,
    chosen,
    code,
    totals,
    out,
  }: Slices<'q' | 'k' | 'v' | 'rest' | 'chosen' | 'code' | 'totals' | 'out'> & { readonly count: number },
): void {
  const SIDE = grid?.tile ?? 0;
  const ROWS = grid ? SIDE ** 2 : block;
  const SPLIT = Math.max(1, Math.floor(WG / ROWS));
  const tiles = grid ? Math.ceil(grid.rows / SIDE) * Math.ceil(grid.columns / SIDE) : 0;
  recording.dispatch({
    kernel: hybridKernel,
    parameters: {
      ...lanesOf([D, E], q.array.type, out.array.type),
      ...{ D, E, CODES: codebook?.codes ?? 0, ROWS, SIDE, SPLIT, TILE: tileOf(recording.gpu, 4 * (D + E + 1), 16) },
    },
    bindings: { q, k, v, rest, chosen, code, totals, out },
    uniform: {
      ...{ units, tokens: N, keys: N, halo: grid?.halo ?? (window - block) / 2, count },
      ...{ front: grid?.front ?? 0, down: grid?.rows ?? 0, across: grid?.columns ?? 0 },
      ...{ qBase: q.base, kBase: k.base, vBase: v.base, restBase: rest.base, chosenBase: chosen.base },
      ...{ codeBase: code.base, totalBase: totals.base, outBase: out.base, scale },
    },
    groups: units * (tiles + Math.ceil((grid?.front ?? N) / ROWS)),
  });
}

function check(input: HybridInput): void {
  const { B, H, N, D, E, q, k, v, keyBias, scale, block = 32, grid, globals = 0, sinks = 0, query, codebook } = input;
  const { window = grid && block } = input;
  const stored = [q.type] as const;
  const codes = codebook?.codes ?? 0;
  refuse('hybridAttention', [
    ...Object.entries({ B, H, N }).map(([name, value]) => wholeFault(name, value, 1, 2 ** 31)),
    ...Object.entries({ D, E }).map(([name, value]) => wholeFault(name, value, 1, 256)),
    ...Object.entries({ globals, sinks }).map(([name, value]) => wholeFault(name, value, 0, 4096)),
    Number.isFinite(scale) ? undefined : `scale must be a number, got ${scale}`,
    [4, 8, 16, 32, 64].includes(block) ? undefined : `block must be 4, 8, 16, 32 or 64, got ${block}`,
    window !== undefined && window >= block && (window - block) % 2 === 0
      ? undefined
      : `window must be block + 2·halo, got ${window} for ${block}`,
    ...(grid ? gridFaults(grid, N) : []),
    globals > 0 && !query ? 'globals need a query' : undefined,
    arrayFault('q', q, ['f32', 'f16'], { axes: '[B,H,N,D]', size: [B, H, N, D] }),
    arrayFault('k', k, stored, { axes: '[B,H,N,D]', size: [B, H, N, D] }),
    arrayFault('v', v, stored, { axes: '[B,H,N,E]', size: [B, H, N, E] }),
    keyBias && arrayFault('keyBias', keyBias, ['f32'], { axes: '[B,N]', size: [B, N] }),
    query && arrayFault('query', query, ['f32'], { axes: '[H,D]', size: [H, D] }),
    codebook && wholeFault('codebook.codes', codes, 1, 1024),
    codebook &&
      arrayFault(
        'codebook.weights',
        codebook.weights,
        ['f32'],
        { axes: '[H,D,C]', size: [H, D, codes] },
        { axes: '[H,D+E,C]', size: [H, D + E, codes] },
      ),
    codebook && arrayFault('codebook.offsets', codebook.offsets, ['f32'], { axes: '[H,C]', size: [H, codes] }),
  ]);
}

function gridFaults({ front, rows, columns, tile, halo }: PatchTiles, N: number) {
  return [
    wholeFault('grid.front', front, 0, 4096),
    ...Object.entries({ rows, columns }).map(([name, value]) => wholeFault(`grid.${name}`, value, 1, 2 ** 31)),
    wholeFault('grid.tile', tile, 1, 8),
    wholeFault('grid.halo', halo, 0, 64),
    front + rows * columns === N ? undefined : `grid holds ${front} + ${rows} × ${columns} tokens, N is ${N}`,
  ];
}
