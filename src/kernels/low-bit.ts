/**
 * Linear attention by features in few bits and whole numbers:
 *
 *   φ(x)_r = cos(ω_r·x + β_r) in 8, 4 or 1 bits; of values, and of what features have of them, 8 bits and a scale for 64 numbers
 *   KV_r = w_r Σ_j φ̂(y_j)_r [v̂_j | 1] exp(keyBias_j),    out_i = Σ_r φ̂(x_i)_r K̂V_r / the same of its last column
 *
 * The kernel is Σ_r w_r φ(x)_r φ(y)_r: with ω from a kernel's spectral law, β uniform on [0, 2π) and equal weights it is unbiased for that
 * kernel, and signed weights make indefinite kernels (features/kernels, quant/low-bit-features.ts). Keys are rounded to the nearest level in
 * 8 and 4 bits (METHODS D.4: 4 bits cost nothing), and are signs in 1 (± π/4: unbiased where queries have more, quant/universal.ts). Sums over
 * 64 numbers are of whole numbers, packed four to a product, or counted by popcount; a key's features take M · bits / 8 bytes, and are
 * never in memory otherwise. Denominators of kernels that are not positive may be anything: weights are not lifted here (attention/signed.ts).
 *
 * Cost in multiply-adds a token: 2 M D for angles, M E / 4 packed for keys and as much for queries.
 */

import { addParts } from './add-parts.js';
import { bytesOf, type GpuArray } from './array.js';
import { blockCodesKernel } from './gen/block-codes.js';
import { codeProductKernel } from './gen/code-product.js';
import { cosineCodesKernel } from './gen/cosine-codes.js';
import { eachPiece, fits, headsApart, mustFit, part, partsInto, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';
import { layerFaults, refuse } from './shape.js';

export interface LowBitInput {
  readonly B: number;
  /** Query heads, a multiple of G. */
  readonly H: number;
  /** Key heads. Default: H. Heads that share keys share features too. */
  readonly G?: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  /** Features a head. */
  readonly M: number;
  readonly q: GpuArray; // [B,H,N,D]; f32 or f16
  readonly k: GpuArray; // [B,G,S,D]
  readonly v: GpuArray; // [B,G,S,E]
  readonly omega: GpuArray; // [G,M,D], of q's type
  /** β, f32 [G,M]. */
  readonly phase: GpuArray;
  /** w, f32 [G,M], of either sign. */
  readonly weight: GpuArray;
  /** Of q·k: x = √scale q, y = √scale k; positive. */
  readonly scale: number;
  /** f32 [B,S] or [B,G,S]; −Infinity hides the key. ½|y_j|² makes softmax attention of the Gaussian kernel's. Default: none. */
  readonly keyBias?: GpuArray;
  /** Of a feature of a key. Default: 8. */
  readonly bits?: 8 | 4 | 1;
  /** Of a feature of a query. Default: 8. */
  readonly queryBits?: 8 | 4;
}

const WG = 64;
const BLOCK = 64;
const ROWS = 32;
const COLUMNS = 32;
/** A sum over more blocks than this is made of the sums of parts: a busier device. */
const PART = 16;

/**
 * Records it; the caller frees what it returns, [B,H,N,E] of q's type. A query that sees no key gets zeros.
 *
 * @throws PerformersError PF706 naming every array or option that is wrong
 */
export function lowBitAttention(recording: Recording, input: LowBitInput): GpuArray {
  check(input);
  const { B, H, N, E, q, bits = 8, queryBits = 8 } = input;
  const out = recording.result(q.type, B * H * N * E);
  lowBitInto(recording, { ...input, bits, queryBits }, out);
  return out;
}

type Given = LowBitInput & Required<Pick<LowBitInput, 'bits' | 'queryBits'>>;

/** Heads apart where an array is beyond a binding; then ranges of keys, whose sums are added up, and ranges of queries. */
function lowBitInto(recording: Recording, input: Given, out: GpuArray): void {
  const { B, H, G = H, N, S, D, E, M, q, k, v, keyBias, bits, queryBits } = input;
  // Queries of one key head are all of one kind.
  if (B * G === 1 && H > 1) {
    lowBitInto(recording, { ...input, H: 1, N: H * N }, out);
    return;
  }
  const [blocks, columns] = [Math.ceil(S / BLOCK), E + 1];
  const perPart = Math.ceil(blocks / Math.ceil(blocks / PART));
  const partKeys = perPart * BLOCK;
  // Of a key and of a query, in the array that has most: as they are, in codes, and a key's share of sums.
  const rowBytes = Math.max(D, E) * bytesOf[q.type];
  const keyBytes = Math.max(rowBytes, (M * bits) / 8, columns, (4 * M * columns) / partKeys);
  const queryBytes = Math.max(rowBytes, (Math.ceil(M / BLOCK) * BLOCK * queryBits) / 8);
  const stateBytes = 4 * M * Math.max(columns, D);
  const whole = [B * G * (S + partKeys) * keyBytes, B * H * N * queryBytes, B * G * stateBytes];
  if (B * G > 1 && !fits(recording, ...whole)) {
    headsApart(recording, input, { shapes, results: { out } }, (own, written) =>
      lowBitInto(recording, own, written.out),
    );
    return;
  }
  mustFit(recording, 'lowBitAttention', B * G * stateBytes, B * G * partKeys * keyBytes, BLOCK * queryBytes);
  const state = recording.scratch('f32', B * G * M * columns);
  // Whole arrays of several heads are one piece.
  const keyStep = B * H > 1 ? S : rowsWithin(recording, keyBytes, partKeys);
  eachPiece(recording, S, keyStep, (first, keys) => {
    const own = (array: GpuArray, width: number) =>
      keys === S ? array : part(recording, array, first * width, keys * width);
    const given = { ...input, S: keys, k: own(k, D), v: own(v, E), keyBias: keyBias && own(keyBias, 1) };
    addKeys(recording, given, { state, perPart, more: first > 0 });
  });
  const ofState = { units: B * G, rows: M, width: columns, ones: false, planes: false };
  const codes = codesOfColumns(recording, state, ofState);
  const rowStep = B * H > 1 ? N : rowsWithin(recording, queryBytes, BLOCK);
  eachPiece(recording, N, rowStep, (row, rows) => {
    const given = { ...input, N: rows, q: part(recording, q, row * D, B * H * rows * D) };
    partsInto(recording, [[out, row * E, B * H * rows * E]], (ownOut) => readCodes(recording, given, codes, ownOut));
  });
}

const shapes = {
  q: 'elem B,H,N,D',
  k: 'elem B,G,S,D',
  v: 'elem B,G,S,E',
  omega: 'elem G,M,D',
  phase: 'f32 G,M',
  weight: 'f32 G,M',
  keyBias: 'f32 B,S B,G,S',
  out: 'elem B,H,N,E',
};

/** What features have of keys and values, [B,G,M,E+1]; with `more` beside what `state` has. */
function addKeys(
  recording: Recording,
  input: Given,
  { state, perPart, more }: { readonly state: GpuArray; readonly perPart: number; readonly more: boolean },
): void {
  const { B, H, G = H, S, E, M, k, v, weight, keyBias, bits } = input;
  const blocks = Math.ceil(S / BLOCK);
  const parts = Math.ceil(blocks / perPart);
  const ofValues = { units: B * G, rows: S, width: E, ones: true, planes: bits === 1, keyBias };
  const values = codesOfColumns(recording, v, ofValues);
  const keys = featureCodes(recording, input, { of: k, units: B * G, heads: G, rows: S, bits, alongRows: true });
  const direct = parts === 1 && !more;
  const sums = direct ? state : recording.scratch('f32', parts * state.length);
  product(recording, {
    ...{ a: keys, bits, ...values, weight, out: sums, normal: false },
    uniform: { units: B * G, span: 1, heads: G, rows: M, columns: E + 1, blocks, parts, perPart },
  });
  if (!direct) addParts(recording, sums, state, more);
}

/** What queries have of the features. */
function readCodes(recording: Recording, input: Given, codes: Codes, out: GpuArray): void {
  const { B, H, G = H, N, E, M, q, queryBits: bits } = input;
  const queries = featureCodes(recording, input, { of: q, units: B * H, heads: H, rows: N, bits, alongRows: false });
  const blocks = Math.ceil(M / BLOCK);
  const all = { blocks, parts: 1, perPart: blocks };
  product(recording, {
    ...{ a: queries, bits, ...codes, weight: undefined, out, normal: true },
    uniform: { units: B * H, span: H / G, heads: 1, rows: N, columns: E + 1, ...all },
  });
}

/** See cosine_codes.wgsl. */
function featureCodes(
  recording: Recording,
  { H, G = H, D, M, omega, phase, scale }: LowBitInput,
  given: {
    readonly of: GpuArray;
    readonly units: number;
    readonly heads: number;
    readonly rows: number;
    readonly bits: number;
    readonly alongRows: boolean;
  },
): GpuArray {
  const { of: x, units, heads, rows, bits, alongRows } = given;
  const [lines, length] = alongRows ? [M, rows] : [rows, M];
  const words = recording.scratch('u32', units * lines * Math.ceil(length / BLOCK) * 2 * bits);
  recording.dispatch({
    kernel: cosineCodesKernel,
    parameters: { elem: x.type, D, BITS: bits, WG, ALONG_ROWS: alongRows },
    bindings: { x, omega, phase, words },
    uniform: { units, heads, span: heads / G, rows, features: M, gain: Math.sqrt(scale) },
    groups: Math.ceil(words.length / WG),
  });
  return words;
}

interface Codes {
  readonly words: GpuArray;
  readonly scales: GpuArray;
}

/** See block_codes.wgsl. */
function codesOfColumns(
  recording: Recording,
  x: GpuArray,
  given: {
    readonly units: number;
    readonly rows: number;
    readonly width: number;
    readonly ones: boolean;
    readonly planes: boolean;
    readonly keyBias?: GpuArray;
  },
): Codes {
  const { units, rows, width, ones, planes, keyBias } = given;
  const items = units * (width + Number(ones)) * Math.ceil(rows / BLOCK);
  const words = recording.scratch('u32', 16 * items);
  const scales = recording.scratch('f32', items);
  recording.dispatch({
    kernel: blockCodesKernel,
    parameters: { elem: x.type, WG, BIAS: keyBias !== undefined, ONES: ones, PLANES: planes },
    bindings: { x, bias: keyBias, words, scales },
    uniform: { units, rows, width, biasSpan: keyBias ? (units * rows) / keyBias.length : 1 },
    groups: Math.ceil(items / WG),
  });
  return { words, scales };
}

/** See code_product.wgsl. */
function product(
  recording: Recording,
  given: Codes & {
    readonly a: GpuArray;
    readonly bits: number;
    readonly weight: GpuArray | undefined;
    readonly out: GpuArray;
    readonly normal: boolean;
    readonly uniform: Readonly<Record<'units' | 'rows' | 'columns' | 'parts', number>> &
      Readonly<Record<string, number>>;
  },
): void {
  const { a, bits, words: b, scales, weight, out, normal, uniform } = given;
  const columns = uniform.columns - Number(normal);
  recording.dispatch({
    kernel: codeProductKernel,
    parameters: { result: out.type, BITS: bits, NORMAL: normal },
    bindings: { a, b, scales, weight, out },
    uniform,
    groups: uniform.units * uniform.parts * Math.ceil(uniform.rows / ROWS) * Math.ceil(columns / COLUMNS),
  });
}

function check(input: LowBitInput): void {
  const { scale, bits = 8, queryBits = 8 } = input;
  refuse('lowBitAttention', [
    ...layerFaults(input, shapes),
    scale > 0 && Number.isFinite(scale) ? undefined : `scale must be positive, got ${scale}`,
    [1, 4, 8].includes(bits) ? undefined : `bits must be 1, 4 or 8, got ${bits}`,
    [4, 8].includes(queryBits) ? undefined : `queryBits must be 4 or 8, got ${queryBits}`,
  ]);
}
