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
import { headsApart, layerFits } from './pieces.js';
import type { Recording } from './record.js';
import { lanesOf, layerFaults, refuse, tileOf, wholeFault } from './shape.js';

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
  /** f32 [L], distinct tokens that all queries attend exactly, instead of globals and sinks; those that are hidden or behind the last are none. */
  readonly listed?: GpuArray;
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
  const { B, H, N, E, q } = input;
  const out = recording.result(q.type, B * H * N * E);
  hybridInto(recording, input, out);
  return out;
}

function hybridInto(recording: Recording, input: HybridInput, out: GpuArray): void {
  const { B, H, N, D, E, k, v, keyBias, codebook, grid, listed, globals = 0 } = input;
  const front = grid?.front ?? 0;
  // Every query attends what is before the patches: first keys are what the kernels call that.
  const sinks = front + (input.sinks ?? 0);
  const count = listed?.length ?? globals + sinks;
  const units = B * H;
  const F = D + E + 4;
  const codes = codebook?.codes ?? 0;
  if (!layerFits(recording, { ...withCodebook(input), out }, shapes, 4 * units * N, 4 * units * codes * F)) {
    refuse('hybridAttention', [units === 1 ? 'one head is larger than a binding' : undefined]);
    headsApart(recording, withCodebook(input), { shapes, results: { out } }, (own, written) => {
      const { 'codebook.weights': weights, 'codebook.offsets': offsets } = own;
      hybridInto(recording, { ...own, codebook: weights && offsets && { codes, weights, offsets } }, written.out);
    });
    return;
  }
  const chosen = recording.scratch('u32', Math.max(1, units * count * 2));
  const rest = recording.scratch('f32', units * N);
  chooseKeys(recording, { ...input, sinks }, { count, chosen, rest });
  const code = recording.scratch('u32', units * N);
  const totals = recording.scratch('f32', Math.max(1, units * codes * F));
  if (codebook) {
    const means = recording.scratch('f32', units * F);
    const sizes = { units, S: N, D, E, k, v };
    codeSums(recording, { ...sizes, codes: 1, bias: keyBias, biasSpan: H, from: front }, means);
    assignCodes(recording, input, codebook, { means, code });
    codeSums(recording, { ...sizes, codes, bias: rest, biasSpan: 1, code }, totals);
  }
  attendGathered(recording, input, { count, rest, chosen, code, totals, out });
}

const shapes = {
  q: 'elem B,H,N,D',
  k: 'elem B,H,N,D',
  v: 'elem B,H,N,E',
  out: 'elem B,H,N,E',
  keyBias: 'f32 B,N',
  query: 'f32 H,D',
  listed: 'f32 L',
  'codebook.weights': 'f32 H,D,C H,D+E,C',
  'codebook.offsets': 'f32 H,C',
};

/** What the shapes are of. */
function withCodebook(input: HybridInput) {
  const { D, E, codebook, listed } = input;
  const arrays = { 'codebook.weights': codebook?.weights, 'codebook.offsets': codebook?.offsets };
  return {
    ...input,
    ...arrays,
    'D+E': D + E,
    ...(codebook && { C: codebook.codes }),
    ...(listed && { L: listed.length }),
  };
}

type Made<Names extends string> = Readonly<Record<Names, GpuArray>>;

function chooseKeys(
  recording: Recording,
  { B, H, N, D, k, keyBias, query, listed, sinks = 0 }: HybridInput,
  { count, chosen, rest }: Made<'chosen' | 'rest'> & { readonly count: number },
): void {
  const units = B * H;
  const order = recording.scratch('u32', units * N);
  const threads = Math.min(256, recording.gpu.limits.threads);
  recording.dispatch({
    kernel: topKeysKernel,
    parameters: {
      elem: k.type,
      D,
      WG: threads,
      BIAS: keyBias !== undefined,
      SCORED: query !== undefined,
      LISTED: listed !== undefined,
    },
    bindings: { k, query: listed ?? query, bias: keyBias, order, chosen, rest },
    uniform: { units, keys: N, heads: H, count, sinks },
    groups: units,
  });
}

function assignCodes(
  recording: Recording,
  { B, H, N, D, E, k, v }: HybridInput,
  { codes, weights, offsets }: HybridCodebook,
  { means, code }: Made<'means' | 'code'>,
): void {
  const VALUES = weights.length === H * (D + E) * codes;
  recording.dispatch({
    kernel: assignKernel,
    parameters: { elem: k.type, D, E, CODES: codes, WG, VALUES },
    bindings: { k, v, means, weights, offsets, code },
    uniform: { units: B * H, keys: N, heads: H },
    groups: Math.ceil((B * H * N) / WG),
  });
}

function attendGathered(
  recording: Recording,
  { B, H, N, D, E, q, k, v, block = 32, window = block, grid, codebook, scale }: HybridInput,
  { count, out, ...made }: Made<'rest' | 'chosen' | 'code' | 'totals' | 'out'> & { readonly count: number },
): void {
  const SIDE = grid?.tile ?? 0;
  const ROWS = grid ? SIDE ** 2 : block;
  const SPLIT = Math.max(1, Math.floor(WG / ROWS));
  const tiles = grid ? Math.ceil(grid.rows / SIDE) * Math.ceil(grid.columns / SIDE) : 0;
  recording.dispatch({
    kernel: hybridKernel,
    parameters: {
      ...lanesOf([D, E], q.type, out.type),
      ...{ D, E, CODES: codebook?.codes ?? 0, ROWS, SIDE, SPLIT, TILE: tileOf(recording.gpu, 4 * (D + E + 1), 16) },
    },
    bindings: { q, k, v, ...made, out },
    uniform: {
      ...{ units: B * H, tokens: N, keys: N, halo: grid?.halo ?? (window - block) / 2, count, scale },
      ...{ front: grid?.front ?? 0, down: grid?.rows ?? 0, across: grid?.columns ?? 0 },
    },
    groups: B * H * (tiles + Math.ceil((grid?.front ?? N) / ROWS)),
  });
}

function check(input: HybridInput): void {
  const { N, scale, block = 32, grid, globals = 0, sinks = 0, query, listed, codebook } = input;
  const { window = grid && block } = input;
  refuse('hybridAttention', [
    ...layerFaults(withCodebook(input), shapes),
    ...Object.entries({ globals, sinks }).map(([name, value]) => wholeFault(name, value, 0, 4096)),
    Number.isFinite(scale) ? undefined : `scale must be a number, got ${scale}`,
    [4, 8, 16, 32, 64].includes(block) ? undefined : `block must be 4, 8, 16, 32 or 64, got ${block}`,
    window !== undefined && window >= block && (window - block) % 2 === 0
      ? undefined
      : `window must be block + 2·halo, got ${window} for ${block}`,
    ...(grid ? gridFaults(grid, N) : []),
    globals > 0 && !query ? 'globals need a query' : undefined,
    listed && (globals || sinks || query || grid) ? 'listed is for a window alone' : undefined,
    codebook && wholeFault('codebook.codes', codebook.codes, 1, 1024),
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
