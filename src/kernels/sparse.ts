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
import { type AttendInput, checkAttend } from './attend-input.js';
import { codeSums } from './code-sums.js';
import { compactKernel } from './gen/compact.js';
import { estimateKernel } from './gen/estimate.js';
import { quantizeKernel } from './gen/quantize.js';
import type { AttendResult } from './merge.js';
import { type Recording, whole } from './record.js';
import { refuse, unread, wholeFault } from './shape.js';

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
  const { B, H, G = H, N, S, D, q, k, causal = false, local = 128, sinks = 1, bits = 4, threshold = 0.004 } = input;
  checkAttend(input);
  refuse('sparseAttention', [
    [1, 4, 8].includes(bits) ? undefined : `bits must be 1, 4 or 8, got ${bits}`,
    threshold >= 0 && threshold < 1 ? undefined : `threshold must be in [0, 1), got ${threshold}`,
    wholeFault('local', local, 0, 2 ** 28),
    wholeFault('sinks', sinks, 0, 2 ** 28),
    Math.max(q.length, k.length) * bytesOf[q.type] > recording.gpu.limits.bindingBytes - 512
      ? 'q or k is larger than a binding of this device'
      : undefined,
    q.length === B * H * N * D && k.length === B * G * S * D ? undefined : 'q and k must be of the whole batch',
  ]);
  const lists = selectBlocks(recording, { ...input, causal, local, sinks, bits, threshold });
  const result = { out: recording.result(q.type, B * H * N * input.E), lse: recording.result('f32', B * H * N) };
  // Rows of queries that keep nothing are written by no workgroup.
  recording.clear(result.out);
  const list = compact(recording, input, lists, result.lse);
  attendInto(recording, { ...input, ...(causal && { band: { causal } }), list }, result);
  return result;
}

type Options = Required<Pick<SparseInput, 'bits' | 'threshold' | 'local' | 'sinks' | 'causal'>>;

/** Steps 1 to 3: marks [B,H,⌈N/64⌉,⌈⌈S/32⌉/32⌉]. */
function selectBlocks(recording: Recording, input: SparseInput & Options): GpuArray {
  const { B, H, G = H, N, S, D, E, q, k, bias, scale, bits, threshold, local, sinks, causal } = input;
  const perRow = Math.ceil(Math.ceil(S / KEYS) / 32);
  const groups = B * H * Math.ceil(N / ROWS) * perRow;
  const marks = recording.scratch('u32', groups);
  const band = { before: local, after: local, causal };
  const near = { out: recording.scratch(q.type, B * H * N * E), lse: recording.scratch('f32', B * H * N) };
  attendInto(recording, { ...input, band }, near);
  const sums = recording.scratch('f32', B * G * (2 * D + 4));
  const shared = bias?.length === B * S;
  const ofKeys = { units: B * G, first: 0, S, D, E: D, codes: 1, k: whole(k), v: whole(k) };
  codeSums(recording, { ...ofKeys, bias: bias && whole(bias), biasSpan: shared ? G : 1 }, whole(sums));
  const common = { D, BITS: bits, WG, elem: k.type };
  const words = Math.ceil((D * bits) / 32);
  const pack = (x: GpuArray, units: number, rows: number, span: number, limits?: GpuArray) => {
    const packed = {
      words: recording.scratch('u32', units * rows * words),
      scales: recording.scratch('f32', units * rows),
    };
    const hidden = limits ? undefined : bias;
    recording.dispatch({
      kernel: quantizeKernel,
      parameters: { ...common, CENTRED: !limits, LIMITED: limits !== undefined, BIAS: hidden !== undefined },
      // What is not written must be an array that nothing else here reads.
      bindings: { x, sums, bias: hidden ?? unread(whole(x)), ...packed, limits: limits ?? recording.scratch('f32', 4) },
      // Below the smallest normal number; e to it is nothing, and a block is kept.
      uniform: {
        units,
        rows,
        span,
        biasSpan: shared ? G : 1,
        factor: scale,
        shift: Math.log(Math.max(threshold, 1e-300)),
      },
      groups: Math.ceil((units * rows) / WG),
    });
    return packed;
  };
  const keys = pack(k, B * G, S, 1);
  const queries = pack(q, B * H, N, H / G, near.lse);
  recording.dispatch({
    kernel: estimateKernel,
    parameters: { D, BITS: bits, ROWS, KEYS },
    bindings: {
      ...{ queries: queries.words, queryScales: queries.scales, limits: near.lse },
      ...{ keys: keys.words, keyScales: keys.scales, marks },
    },
    uniform: {
      ...{ units: B * H, span: H / G, tokens: N, keys: S, causal: Number(causal), sinks, local, offset: S - N },
      factor: scale,
    },
    groups,
  });
  return marks;
}

function compact(recording: Recording, { B, H, N, S }: SparseInput, marks: GpuArray, lse: GpuArray) {
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
