/**
 * Softmax attention on a device: the kernel behind all others. See attend.wgsl for what it computes.
 *
 *   attend(q, k, v, bias) → out_i = Σ_j softmax_j(scale q_i·k_j + bias_j) v_j,  lse_i = log Σ_j exp(scale q_i·k_j + bias_j)
 *
 * Few queries over many keys (a decode step, the features of linear attention) leave most of a GPU idle, so keys are then cut into parts that
 * are attended side by side and merged. Where arrays are beyond a binding's size, heads come apart; rows of one head in pieces of their own, its
 * keys one piece after another, each beginning with what the one before left.
 */
import { bytesOf, type GpuArray } from './array.js';
import { type AttendInput, attendShapes, checkAttend, UNBOUNDED, withList } from './attend-input.js';
import { attendKernel } from './gen/attend.js';
import { type AttendResult, mergeInto } from './merge.js';
import { eachPiece, headsApart, layerFits, mustFit, part, partsInto, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';
import { lanesOf, tileOf } from './shape.js';

/** Enough to fill a large GPU a few times over; a guess, as WebGPU does not tell how large it is. */
const BUSY = 256;
const LEAST_KEYS = 256;

/**
 * Records attention; the caller frees what it returns.
 *
 * @param parts into how many parts the keys are cut. Default: by how many workgroups there are without.
 * @throws PerformersError PF706 naming every array of the wrong type or length
 */
export function attend(recording: Recording, input: AttendInput, { parts }: { parts?: number } = {}): AttendResult {
  const { B, H, N, E, q } = input;
  checkAttend(input);
  const result = {
    out: recording.result(q.type, B * H * N * E),
    lse: recording.result('f32', B * H * N),
  };
  attendInto(recording, input, result, { parts });
  return result;
}

export interface AttendOptions {
  readonly parts?: number;
  /** Attend so many keys at a time and leave the results apart: out [parts,B,H,N,E], lse [parts,B,H,N]. */
  readonly split?: { readonly parts: number; readonly perPart: number };
  /** So many queries (a power of two up to 64) share a set of values and biases: v [sets,B,G,S,E], bias [sets,B,G,S]. */
  readonly setRows?: number;
  /** Go on from what the results hold: attention to other keys. Default: false. */
  readonly resume?: boolean;
}

/** The same into arrays that are there already. */
export function attendInto(
  recording: Recording,
  input: AttendInput,
  { out, lse }: AttendResult,
  options: AttendOptions = {},
): void {
  const { B, H, E, list } = input;
  if (!layerFits(recording, { ...input, out, lse }, attendShapes)) {
    if (B * H === 1) {
      attendInPieces(recording, input, { out, lse }, options);
      return;
    }
    const given = { shapes: attendShapes, results: { out, lse }, goOn: options.resume };
    headsApart(recording, withList(input), given, ({ blocks, ...own }, result) =>
      attendInto(recording, { ...own, list: list && blocks && { ...list, blocks } }, result, options),
    );
    return;
  }
  const layout = layoutOf(recording, input, options.setRows);
  const { units, rows } = layout;
  const cut = options.split ?? cutKeys(recording, input, layout, options.parts);
  if (cut.parts === 1 || options.split) {
    dispatchAttend(recording, input, layout, { out, lse }, { ...cut, resume: options.resume });
    return;
  }
  const pieces = recording.scratch('f32', cut.parts * units * rows * E);
  const masses = recording.scratch('f32', cut.parts * units * rows);
  dispatchAttend(recording, input, layout, { out: pieces, lse: masses }, cut);
  mergeInto(recording, { parts: cut.parts, rows: units * rows, E, pieces, masses }, { out, lse });
}

/** How the arrays lie and how workgroups are cut from them. */
type Layout = ReturnType<typeof layoutOf>;

function layoutOf(recording: Recording, input: AttendInput, setRows: number | undefined) {
  const { B, H, G = H, N, S, D, q, k, bias, list } = input;
  // A tile of queries has one list and one set: it must not hold those of two heads.
  const heads = list || setRows ? H : G;
  const units = B * heads;
  const rows = (H / heads) * N;
  const shared = bias?.length === B * S;
  return {
    ...{ units, rows, kSpan: heads / G, vUnits: B * G },
    qUnits: q.length === H * N * D ? heads : units,
    kUnits: k.length === G * S * D ? G : B * G,
    biasUnits: shared ? B : B * G,
    biasSpan: shared ? heads : heads / G,
    setRows: setRows ?? 2 ** 31,
    ...workgroup(recording, input, setRows ?? rows),
  };
}

/** Rows × threads a row make 64 threads: a thread a row where there are rows enough, more where there are few. */
function workgroup({ gpu }: Recording, { D, E, list }: AttendInput, rows: number) {
  const ROWS = list?.queryBlock ?? Math.min(64, 2 ** Math.ceil(Math.log2(Math.max(rows, 4))));
  const SPLIT = Math.min(16, Math.max(1, Math.floor(Math.min(64, gpu.limits.threads) / ROWS)));
  const most = Math.max(16, SPLIT);
  const TILE = Math.min(tileOf(gpu, 4 * (D + E + 1), most), list?.keyBlock ?? most);
  return { ROWS, SPLIT, TILE };
}

function cutKeys(
  { gpu }: Recording,
  { S, E, band, list }: AttendInput,
  { units, rows, setRows, ROWS, TILE }: Layout,
  wanted: number | undefined,
): { parts: number; perPart: number } {
  // Bands and lists leave most keys out anyway, and sets are for many queries.
  if (band || list || setRows < rows) return { parts: 1, perPart: S };
  const groups = units * Math.ceil(rows / ROWS);
  const holds = Math.floor(gpu.limits.bindingBytes / (units * rows * E * bytesOf.f32));
  const useful = Math.min(Math.ceil(BUSY / groups), Math.floor(S / LEAST_KEYS));
  const parts = Math.max(1, Math.min(wanted ?? useful, holds, S));
  const perPart = Math.ceil(S / parts / TILE) * TILE;
  return { parts: Math.ceil(S / perPart), perPart };
}

interface Keys extends Pick<AttendOptions, 'resume'> {
  readonly parts: number;
  readonly perPart: number;
  /** Of all keys that the band is of. Default: 0. */
  readonly firstKey?: number;
}

function dispatchAttend(
  recording: Recording,
  input: AttendInput,
  layout: Layout,
  { out, lse }: AttendResult,
  { parts, perPart, firstKey = 0, resume = false }: Keys,
): void {
  const { N, S, D, E, q, k, v, bias, band, list, scale } = input;
  const { ROWS, SPLIT, TILE, ...spans } = layout;
  const { block = 1, before = UNBOUNDED, after = UNBOUNDED, causal = false, offset = S - N } = band ?? {};
  const { units, rows } = spans;
  const tiles = units * Math.ceil(rows / ROWS);
  const stride = list?.stride ?? 0;
  recording.dispatch({
    kernel: attendKernel,
    parameters: {
      ...lanesOf([D, E], q.type, out.type),
      quadV: lanesOf([D, E], v.type, out.type).quad,
      ...{ D, E, ROWS, SPLIT, TILE },
      BIAS: bias !== undefined,
      BAND: band !== undefined,
      LIST: list !== undefined,
      LISTED: list?.keyBlock ?? TILE,
      QUEUE: list?.queue !== undefined,
      RESUME: resume,
    },
    bindings: { q, k, v, bias, blocks: list?.blocks, out, lse },
    uniform: {
      ...{ ...spans, keys: S, parts, perPart, tokens: N, firstKey, listStride: stride, queueAt: stride * tiles },
      ...{ block, before, after, offset, causal: Number(causal), scale },
    },
    groups: list?.queue ? { indirect: list.queue.groups } : tiles * parts,
  });
}

/** One head: a range of rows and a range of keys at a time, so that every binding is within its limit. */
function attendInPieces(
  recording: Recording,
  input: AttendInput,
  { out, lse }: AttendResult,
  { resume = false }: AttendOptions,
): void {
  const { N, S, D, E, q, k, v, bias, band, list } = input;
  const widest = Math.max(D, E) * Math.max(bytesOf[q.type], bytesOf[v.type]);
  // Blocks of lists are tiles of rows.
  const rowStep = rowsWithin(recording, Math.max(widest, E * bytesOf[out.type]), list?.queryBlock ?? 64);
  const keyStep = rowsWithin(recording, widest, 64);
  // A list is of all keys.
  mustFit(recording, 'attend', (list ? S : 64) * widest);
  const rowPiece = (row: number, rows: number) => {
    const first = row / (list?.queryBlock ?? 1);
    const tiles = Math.ceil(rows / (list?.queryBlock ?? 1));
    const ofRows = {
      ...input,
      N: rows,
      q: part(recording, q, row * D, rows * D),
      band: band && { ...band, offset: (band.offset ?? S - N) + row },
      list: list && { ...list, blocks: part(recording, list.blocks, first * list.stride, tiles * list.stride) },
    };
    const results = [[out, row * E, rows * E] as const, [lse, row, rows] as const];
    const write = (ownOut: GpuArray, ownLse: GpuArray) => {
      eachPiece(recording, S, keyStep, (firstKey, keys) => {
        const piece = {
          ...{ ...ofRows, S: keys },
          k: part(recording, k, firstKey * D, keys * D),
          v: part(recording, v, firstKey * E, keys * E),
          bias: bias && part(recording, bias, firstKey, keys),
        };
        const reached = { parts: 1, perPart: keys, firstKey, resume: resume || firstKey > 0 };
        const layout = layoutOf(recording, piece, undefined);
        dispatchAttend(recording, piece, layout, { out: ownOut, lse: ownLse }, reached);
      });
    };
    partsInto(recording, results, write, resume);
  };
  eachPiece(recording, N, rowStep, rowPiece);
}
