/**
 * Softmax attention on a device: the kernel behind all others. See attend.wgsl for what it computes.
 *
 *   attend(q, k, v, bias) → out_i = Σ_j softmax_j(scale q_i·k_j + bias_j) v_j,  lse_i = log Σ_j exp(scale q_i·k_j + bias_j)
 *
 * Few queries over many keys (a decode step, the features of linear attention) leave most of a GPU idle, so keys are then cut into parts that
 * are attended side by side and merged. Arrays beyond a binding's size are bound piece by piece: rows in pieces of their own, keys
 * one piece after another, each beginning with what the one before left.
 */
import { bytesOf, type GpuArray } from './array.js';
import { type AttendInput, checkAttend, UNBOUNDED } from './attend-input.js';
import { attendKernel } from './gen/attend.js';
import { type AttendResult, mergeInto } from './merge.js';
import { type Recording, type Slice, slice, whole } from './record.js';
import { lanesOf, refuse, tileOf, unread } from './shape.js';

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
}

/** The same into arrays that are there already. */
export function attendInto(
  recording: Recording,
  input: AttendInput,
  { out, lse }: AttendResult,
  options: AttendOptions = {},
): void {
  const { B, H, G = H, N, S, D, E, q, k, v, bias, list } = input;
  const { setRows } = options;
  // A tile of queries has one list and one set: it must not hold those of two heads.
  const heads = list || setRows ? H : G;
  const units = B * heads;
  const rows = (H / heads) * N;
  const layout: Layout = {
    units,
    rows,
    qUnits: q.length === H * N * D ? heads : units,
    kUnits: k.length === G * S * D ? G : B * G,
    kSpan: heads / G,
    vUnits: B * G,
    biasUnits: bias?.length === B * S ? B : B * G,
    biasSpan: bias?.length === B * S ? heads : heads / G,
    setRows: setRows ?? 2 ** 31,
    ...workgroup(recording, input, setRows ?? rows),
  };
  const most = recording.gpu.limits.bindingBytes - 512;
  const fits = [q, k, v, out, lse, ...(bias ? [bias] : [])].every(({ length, type }) => length * bytesOf[type] <= most);
  if (!fits) {
    attendInPieces(recording, input, layout, { out, lse }, options);
    return;
  }
  const all = { q: whole(q), k: whole(k), v: whole(v), bias: bias && whole(bias), firstRow: 0, firstKey: 0, keys: S };
  const cut = options.split ?? cutKeys(recording, input, layout, options.parts);
  if (cut.parts === 1 || options.split) {
    dispatchAttend(recording, input, layout, { ...all, ...cut, out: whole(out), lse: whole(lse) });
    return;
  }
  const pieces = recording.scratch('f32', cut.parts * units * rows * E);
  const masses = recording.scratch('f32', cut.parts * units * rows);
  dispatchAttend(recording, input, layout, { ...all, ...cut, out: whole(pieces), lse: whole(masses) });
  mergeInto(recording, { parts: cut.parts, rows: units * rows, E, pieces, masses }, { out, lse });
}

/** How the arrays lie and how workgroups are cut from them. */
interface Layout {
  readonly units: number;
  readonly rows: number;
  readonly qUnits: number;
  readonly kUnits: number;
  readonly kSpan: number;
  readonly vUnits: number;
  readonly biasUnits: number;
  readonly biasSpan: number;
  readonly setRows: number;
  readonly ROWS: number;
  readonly SPLIT: number;
  readonly TILE: number;
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

interface Piece {
  readonly q: Slice;
  readonly k: Slice;
  readonly v: Slice;
  readonly bias?: Slice;
  readonly out: Slice;
  readonly lse: Slice;
  readonly firstRow: number;
  readonly firstKey: number;
  readonly keys: number;
  readonly parts: number;
  readonly perPart: number;
  readonly resume?: boolean;
}

function dispatchAttend(recording: Recording, input: AttendInput, layout: Layout, piece: Piece): void {
  const { N, S, D, E, band, list, scale } = input;
  const { q, k, v, bias, out, lse } = piece;
  const { units, rows, ROWS, SPLIT, TILE, ...spans } = layout;
  const { block = 1, before = UNBOUNDED, after = UNBOUNDED, causal = false, offset = S - N } = band ?? {};
  recording.dispatch({
    kernel: attendKernel,
    parameters: {
      ...lanesOf([D, E], q.array.type, out.array.type),
      quadV: lanesOf([D, E], v.array.type, out.array.type).quad,
      ...{ D, E, ROWS, SPLIT, TILE },
      BIAS: bias !== undefined,
      BAND: band !== undefined,
      LIST: list !== undefined,
      LISTED: list?.keyBlock ?? TILE,
      QUEUE: list?.queue !== undefined,
      RESUME: piece.resume ?? false,
    },
    bindings: { q, k, v, bias: bias ?? unread(k), blocks: list ? whole(list.blocks) : unread(k), out, lse },
    uniform: {
      ...{ units, rows, keys: piece.keys, parts: piece.parts, perPart: piece.perPart, tokens: N },
      ...{ firstRow: piece.firstRow, firstKey: piece.firstKey, ...spans },
      ...{
        qBase: q.base,
        kBase: k.base,
        vBase: v.base,
        biasBase: bias?.base ?? 0,
        outBase: out.base,
        lseBase: lse.base,
      },
      ...{
        listStride: list?.stride ?? 0,
        queueAt: (list?.stride ?? 0) * units * Math.ceil(rows / ROWS),
        block,
        before,
        after,
        offset,
        causal: Number(causal),
        scale,
      },
    },
    groups: list?.queue ? { indirect: list.queue.groups } : units * Math.ceil(rows / ROWS) * piece.parts,
  });
}

/** A unit, a range of rows and a range of keys at a time, so that every binding is within its limit. */
function attendInPieces(
  recording: Recording,
  input: AttendInput,
  layout: Layout,
  { out, lse }: AttendResult,
  options: AttendOptions,
): void {
  const { S, D, E, q, k, v, bias, list } = input;
  const { units, rows, qUnits, kUnits, kSpan, vUnits, biasUnits, biasSpan, ROWS, TILE } = layout;
  const most = recording.gpu.limits.bindingBytes - 512;
  const within = (bytes: number, whole: number) => Math.max(whole, Math.floor(most / bytes / whole) * whole);
  const rowStep = within(Math.max(D, E) * bytesOf[q.type], ROWS);
  const keyStep = within(Math.max(D, E) * Math.max(bytesOf[k.type], bias ? bytesOf.f32 / E : 0), TILE);
  refuse('attend', [
    options.split || options.setRows
      ? `an array of linear attention is larger than a binding of ${most + 512} bytes`
      : undefined,
    list && (rows > rowStep || S > keyStep)
      ? 'a list of blocks needs the rows and keys of a head in one binding'
      : undefined,
    rowStep * Math.max(D, E) * bytesOf[q.type] > most
      ? `a binding of ${most + 512} bytes holds no ${ROWS} rows`
      : undefined,
  ]);
  const alone = { ...layout, units: 1, qUnits: 1, kUnits: 1, kSpan: 1, vUnits: 1, biasUnits: 1, biasSpan: 1 };
  for (let unit = 0; unit < units; unit++) {
    const of = (
      array: GpuArray,
      count: number,
      span: number,
      length: number,
      from: number,
      to: number,
      width: number,
    ) => slice(array, ((Math.floor(unit / span) % count) * length + from) * width, (to - from) * width);
    for (let row = 0; row < rows; row += rowStep) {
      const end = Math.min(rows, row + rowStep);
      for (let key = 0; key < S; key += keyStep) {
        const last = Math.min(S, key + keyStep);
        const keys = last - key;
        dispatchAttend(
          recording,
          input,
          { ...alone, rows: end - row },
          {
            q: of(q, qUnits, 1, rows, row, end, D),
            k: of(k, kUnits, kSpan, S, key, last, D),
            v: of(v, vUnits, kSpan, S, key, last, E),
            bias: bias && of(bias, biasUnits, biasSpan, S, key, last, 1),
            out: of(out, units, 1, rows, row, end, E),
            lse: of(lse, units, 1, rows, row, end, 1),
            ...{ firstRow: row, firstKey: key, keys, parts: 1, perPart: keys, resume: key > 0 },
          },
        );
      }
    }
  }
}
