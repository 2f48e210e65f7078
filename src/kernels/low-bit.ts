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
import type { GpuArray } from './array.js';
import { addPartsKernel } from './gen/add-parts.js';
import { blockCodesKernel } from './gen/block-codes.js';
import { codeProductKernel } from './gen/code-product.js';
import { cosineCodesKernel } from './gen/cosine-codes.js';
import { type Recording, whole } from './record.js';
import { arrayFault, refuse, unread, wholeFault } from './shape.js';

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
  readonly q: GpuArray; // f32 [B,H,N,D]
  readonly k: GpuArray; // f32 [B,G,S,D]
  readonly v: GpuArray; // f32 [B,G,S,E]
  readonly omega: GpuArray; // f32 [G,M,D]
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
 * Records it; the caller frees what it returns, f32 [B,H,N,E]. A query that sees no key gets zeros.
 *
 * @throws PerformersError PF706 naming every array or option that is wrong, and arrays larger than a binding
 */
export function lowBitAttention(recording: Recording, input: LowBitInput): GpuArray {
  check(input);
  const { B, H, G = H, N, S, E, M, q, k, v, weight, keyBias, bits = 8, queryBits = 8 } = input;
  const [blocks, columns] = [Math.ceil(S / BLOCK), E + 1];
  const parts = Math.ceil(blocks / PART);
  refuse('lowBitAttention', [
    bindingFault(recording, {
      ...{ q: 4 * q.length, k: 4 * k.length, v: 4 * v.length },
      'features of keys': B * G * M * blocks * 8 * bits,
      'features of queries': B * H * N * Math.ceil(M / BLOCK) * 8 * queryBits,
      'codes of values': B * G * columns * blocks * BLOCK,
      'sums of features': parts * B * G * M * columns * 4,
    }),
  ]);
  const ones = codesOfColumns(recording, v, {
    units: B * G,
    rows: S,
    width: E,
    ones: true,
    planes: bits === 1,
    keyBias,
  });
  const keys = featureCodes(recording, input, { of: k, units: B * G, heads: G, rows: S, bits, alongRows: true });
  const sums = recording.scratch('f32', parts * B * G * M * columns);
  const none = unread(whole(v));
  product(recording, {
    ...{ a: keys, bits, ...ones, weight, out: sums, normal: false },
    uniform: { units: B * G, span: 1, heads: G, rows: M, columns, blocks, parts, perPart: Math.ceil(blocks / parts) },
  });
  const state = parts === 1 ? sums : addParts(recording, sums, parts);
  const codes = codesOfColumns(recording, state, {
    units: B * G,
    rows: M,
    width: columns,
    ones: false,
    planes: false,
  });
  const queries = featureCodes(recording, input, {
    of: q,
    units: B * H,
    heads: H,
    rows: N,
    bits: queryBits,
    alongRows: false,
  });
  const out = recording.result('f32', B * H * N * E);
  const featureBlocks = Math.ceil(M / BLOCK);
  product(recording, {
    ...{ a: queries, bits: queryBits, ...codes, weight: none, out, normal: true },
    uniform: {
      ...{
        units: B * H,
        span: H / G,
        heads: 1,
        rows: N,
        columns,
        blocks: featureBlocks,
        parts: 1,
        perPart: featureBlocks,
      },
    },
  });
  return out;
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
    parameters: { D, BITS: bits, WG, ALONG_ROWS: alongRows },
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
    parameters: { WG, BIAS: keyBias !== undefined, ONES: ones, PLANES: planes },
    bindings: { x, bias: keyBias ?? unread(whole(x)), words, scales },
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
    readonly weight: GpuArray | ReturnType<typeof unread>;
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
    parameters: { BITS: bits, NORMAL: normal },
    bindings: { a, b, scales, weight, out },
    uniform,
    groups: uniform.units * uniform.parts * Math.ceil(uniform.rows / ROWS) * Math.ceil(columns / COLUMNS),
  });
}

function addParts(recording: Recording, sums: GpuArray, parts: number): GpuArray {
  const length = sums.length / parts;
  const out = recording.scratch('f32', length);
  recording.dispatch({
    kernel: addPartsKernel,
    parameters: { WG },
    bindings: { parts: sums, out },
    uniform: { length, parts, outBase: 0 },
    groups: Math.ceil(length / WG),
  });
  return out;
}

function bindingFault({ gpu }: Recording, bytes: Readonly<Record<string, number>>): string | undefined {
  const most = gpu.limits.bindingBytes - 512;
  const beyond = Object.keys(bytes).filter((name) => bytes[name] > most);
  return beyond.length > 0 ? `${beyond.join(', ')}: larger than a binding of this device, ${most} bytes` : undefined;
}

function check(input: LowBitInput): void {
  const { B, H, G = H, N, S, D, E, M, q, k, v, omega, phase, weight, scale, keyBias, bits = 8, queryBits = 8 } = input;
  const perFeature = { axes: '[G,M]', size: [G, M] };
  refuse('lowBitAttention', [
    ...Object.entries({ B, H, G, N, S, M }).map(([name, value]) => wholeFault(name, value, 1, 2 ** 31)),
    ...Object.entries({ D, E }).map(([name, value]) => wholeFault(name, value, 1, 256)),
    H % G === 0 ? undefined : `H must be a multiple of G, got ${H} and ${G}`,
    scale > 0 && Number.isFinite(scale) ? undefined : `scale must be positive, got ${scale}`,
    [1, 4, 8].includes(bits) ? undefined : `bits must be 1, 4 or 8, got ${bits}`,
    [4, 8].includes(queryBits) ? undefined : `queryBits must be 4 or 8, got ${queryBits}`,
    arrayFault('q', q, ['f32'], { axes: '[B,H,N,D]', size: [B, H, N, D] }),
    arrayFault('k', k, ['f32'], { axes: '[B,G,S,D]', size: [B, G, S, D] }),
    arrayFault('v', v, ['f32'], { axes: '[B,G,S,E]', size: [B, G, S, E] }),
    arrayFault('omega', omega, ['f32'], { axes: '[G,M,D]', size: [G, M, D] }),
    arrayFault('phase', phase, ['f32'], perFeature),
    arrayFault('weight', weight, ['f32'], perFeature),
    keyBias &&
      arrayFault('keyBias', keyBias, ['f32'], { axes: '[B,S]', size: [B, S] }, { axes: '[B,G,S]', size: [B, G, S] }),
  ]);
}
