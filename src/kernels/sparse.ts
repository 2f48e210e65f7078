/**
 * Exact attention to the blocks of keys that an estimate in few bits says matter (SALE, Ji et al. 2025):
 *
 *   1. keys and queries in 8, 4 or 1 bits a number, keys less their mean                                          quantize
 *   2. ℓ_i = log Σ exp of the exact scores of the keys near query i                                               attend, a band
 *   3. a block of keys is kept for a block of queries where any estimated score is above ℓ_i + ln τ, or it is near, or first    estimate
 *   4. kept blocks as lists, and a queue of the queries that have any                                              compact
 *   5. attention over the lists, dispatched indirectly: the host never learns how many there are                   attend
 *
 * Quadratic with a small constant: N·S·D/4 packed products, and full precision for what is kept. 4 bits err by about .15 σ of the scores
 * (METHODS F.1), 8 by .008 σ; 1 bit is a rough sign agreement, for trying.
 */
import { bytesOf, type GpuArray } from './array.js';
import { attendInto } from './attend.js';
import { type AttendInput, attendShapes, checkAttend } from './attend-input.js';
import { codeSums } from './code-sums.js';
import { compactKernel } from './gen/compact.js';
import { estimateKernel } from './gen/estimate.js';
import { quantizeKernel } from './gen/quantize.js';
import type { AttendResult } from './merge.js';
import { eachPiece, headsApart, layerFits, mustFit, part, partsInto, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';
import { refuse, wholeFault } from './shape.js';

export interface SparseInput extends Omit<AttendInput, 'band' | 'list'> {
  /** Of the estimate. Default: 4. */
  readonly bits?: 8 | 4 | 1;
  /** τ: keep where a score's share of the near keys' sum may exceed it. 0 keeps all. Default: .004. */
  readonly threshold?: number;
  /** Keys this near before and after a query's block are kept, and are what scores are compared with. Default: 128. */
  readonly local?: number;
  /** So many blocks of 32 keys at the beginning are kept. Default: 1. */
  readonly sinks?: number;
  /** Queries see no key behind them, the last query the last key. Default: false. */
  readonly causal?: boolean;
}

const ROWS = 64;
const KEYS = 32;
const WG = 64;

/**
 * Records it; the caller frees what it returns.
 *
 * @throws PerformersError PF706 naming every array or option that is wrong
 */
export function sparseAttention(recording: Recording, input: SparseInput): AttendResult {
  const { B, H, G = H, N, S, D, E, q, k, causal = false, local = 128, sinks = 1, bits = 4, threshold = 0.004 } = input;
  checkAttend(input);
  refuse('sparseAttention', [
    [1, 4, 8].includes(bits) ? undefined : `bits must be 1, 4 or 8, got ${bits}`,
    threshold >= 0 && threshold < 1 ? undefined : `threshold must be in [0, 1), got ${threshold}`,
    wholeFault('local', local, 0, 2 ** 28),
    wholeFault('sinks', sinks, 0, 2 ** 28),
    q.length === B * H * N * D && k.length === B * G * S * D ? undefined : 'q and k must be of the whole batch',
  ]);
  const result = { out: recording.result(q.type, B * H * N * E), lse: recording.result('f32', B * H * N) };
  sparseInto(recording, { ...input, causal, local, sinks, bits, threshold, offset: S - N }, result);
  return result;
}

type Given = SparseInput &
  Required<Pick<SparseInput, 'bits' | 'threshold' | 'local' | 'sinks' | 'causal'>> & {
    /** Position among the keys of query 0. */
    readonly offset: number;
  };

/** Heads apart where an array or the lists are beyond a binding; then ranges of queries, for each of which ranges of keys follow one another. */
function sparseInto(recording: Recording, input: Given, { out, lse }: AttendResult): void {
  const { B, H, G = H, N, S, D, E, q, k, v, bias } = input;
  const wordBytes = 4 * wordsOf(input);
  const listBytes = (keys: number) => 4 * (Math.ceil(keys / KEYS) + 2);
  const tiles = B * H * Math.ceil(N / ROWS);
  const made = [B * H * N * wordBytes, B * G * S * wordBytes, tiles * listBytes(S) + 4];
  const whole = layerFits(recording, { ...input, out, lse }, attendShapes, ...made);
  if (!whole && B * H > 1) {
    headsApart(recording, input, { shapes: attendShapes, results: { out, lse } }, (own, written) =>
      sparseInto(recording, own, written),
    );
    return;
  }
  const widest = Math.max(wordBytes, Math.max(D, E) * bytesOf[q.type]);
  const keyStep = whole ? S : rowsWithin(recording, widest, ROWS);
  const rowStep = whole ? N : rowsWithin(recording, Math.max(widest, listBytes(Math.min(keyStep, S)) / ROWS), ROWS);
  if (!whole) mustFit(recording, 'sparseAttention', ROWS * widest, listBytes(ROWS));
  const sums = recording.scratch('f32', B * G * (2 * D + 4));
  const biasSpan = bias?.length === B * S ? G : 1;
  codeSums(recording, { units: B * G, S, D, E: D, codes: 1, k, v: k, bias, biasSpan }, sums);
  // Whole arrays of several heads are one piece.
  eachPiece(recording, N, rowStep, (row, rows) => {
    const given = { ...input, N: rows, q: part(recording, q, row * D, B * H * rows * D), offset: input.offset + row };
    const results = [[out, row * E, B * H * rows * E] as const, [lse, row, B * H * rows] as const];
    partsInto(recording, results, (ownOut, ownLse) => {
      const queries = packQueries(recording, given, sums);
      // Rows of queries that keep nothing are written by no workgroup.
      recording.clear(ownOut);
      eachPiece(recording, S, keyStep, (first, keys) => {
        const seen = {
          ...{ ...given, S: keys, offset: given.offset - first, sinks: Math.max(0, input.sinks - first / KEYS) },
          k: part(recording, k, first * D, B * G * keys * D),
          v: part(recording, v, first * E, B * G * keys * E),
          bias: bias && (whole ? bias : part(recording, bias, first, keys)),
        };
        const resume = first > 0;
        const marks = estimate(recording, seen, queries, packKeys(recording, seen, sums));
        const list = compact(recording, seen, marks, resume ? recording.scratch('f32', ownLse.length) : ownLse);
        const band = { causal: seen.causal, offset: seen.offset };
        attendInto(
          recording,
          { ...seen, list, ...(seen.causal && { band }) },
          { out: ownOut, lse: ownLse },
          { resume },
        );
      });
    });
  });
}

/** Rows in few bits, and the limits of their scores. */
interface Packed {
  readonly words: GpuArray;
  readonly scales: GpuArray;
  readonly limits: GpuArray;
}

function wordsOf({ D, bits }: Given): number {
  return Math.ceil((D * bits) / 32);
}

/** Limits are ℓ_i + ln τ, of what is near. */
function packQueries(recording: Recording, input: Given, sums: GpuArray): Packed {
  const { B, H, G = H, N, E, q, local, causal, offset } = input;
  const band = { before: local, after: local, causal, offset };
  const near = { out: recording.scratch(q.type, B * H * N * E), lse: recording.scratch('f32', B * H * N) };
  attendInto(recording, { ...input, band }, near);
  return pack(recording, input, { x: q, units: B * H, rows: N, span: H / G, sums, limits: near.lse });
}

function packKeys(recording: Recording, input: Given, sums: GpuArray): Packed {
  const { B, H, G = H, S, k } = input;
  return pack(recording, input, { x: k, units: B * G, rows: S, span: 1, sums });
}

/** See quantize.wgsl. */
function pack(
  recording: Recording,
  input: Given,
  given: {
    readonly x: GpuArray;
    readonly units: number;
    readonly rows: number;
    readonly span: number;
    readonly sums: GpuArray;
    readonly limits?: GpuArray;
  },
): Packed {
  const { B, H, G = H, S, D, bias, bits, scale, threshold } = input;
  const { x, units, rows, span, sums } = given;
  const ofKeys = given.limits === undefined;
  const packed = {
    words: recording.scratch('u32', units * rows * wordsOf(input)),
    scales: recording.scratch('f32', units * rows),
    // What is not written must be an array that nothing else here reads.
    limits: given.limits ?? recording.scratch('f32', 4),
  };
  const hidden = ofKeys ? bias : undefined;
  recording.dispatch({
    kernel: quantizeKernel,
    parameters: { elem: x.type, D, BITS: bits, WG, CENTRED: ofKeys, LIMITED: !ofKeys, BIAS: hidden !== undefined },
    bindings: { x, sums, bias: hidden, ...packed },
    uniform: {
      ...{ units, rows, span, biasSpan: bias?.length === B * S ? G : 1, factor: scale },
      // Below the smallest normal number; e to it is nothing, and a block is kept.
      shift: Math.log(Math.max(threshold, 1e-300)),
    },
    groups: Math.ceil((units * rows) / WG),
  });
  return packed;
}

/** Marks [B,H,⌈N/64⌉,⌈⌈S/32⌉/32⌉]. */
function estimate(recording: Recording, input: Given, queries: Packed, keys: Packed): GpuArray {
  const { B, H, G = H, N, S, D, bits, causal, sinks, local, offset, scale } = input;
  const groups = B * H * Math.ceil(N / ROWS) * Math.ceil(S / KEYS / 32);
  const marks = recording.scratch('u32', groups);
  recording.dispatch({
    kernel: estimateKernel,
    parameters: { D, BITS: bits, ROWS, KEYS },
    bindings: {
      ...{ queries: queries.words, queryScales: queries.scales, limits: queries.limits },
      ...{ keys: keys.words, keyScales: keys.scales, marks },
    },
    uniform: {
      ...{ units: B * H, span: H / G, tokens: N, keys: S, causal: Number(causal), sinks, local, offset },
      factor: scale,
    },
    groups,
  });
  return marks;
}

function compact(recording: Recording, { B, H, N, S }: Given, marks: GpuArray, lse: GpuArray) {
  const keyBlocks = Math.ceil(S / KEYS);
  const rowBlocks = Math.ceil(N / ROWS);
  const tiles = B * H * rowBlocks;
  const stride = 1 + keyBlocks;
  const blocks = recording.scratch('u32', tiles * (stride + 1) + 1);
  const groupCounts = recording.scratch('u32', 3);
  recording.clear(blocks);
  recording.clear(groupCounts);
  recording.dispatch({
    kernel: compactKernel,
    parameters: { ROWS, WG },
    bindings: { marks, blocks, groupCounts, lse },
    uniform: { tiles, rowBlocks, tokens: N, keyBlocks, most: recording.gpu.limits.groups },
    groups: Math.ceil(tiles / WG),
  });
  return { queryBlock: ROWS, keyBlock: KEYS, stride, blocks, queue: { groups: groupCounts } };
}
