/** Sums of keys, values and ones by code on a device. See code_sums.wgsl. */
import { addParts } from './add-parts.js';
import { bytesOf, type GpuArray } from './array.js';
import { codeSumsKernel } from './gen/code-sums.js';
import { eachPiece, part, roomOf, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';

export interface CodeSumsInput {
  readonly units: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly codes: number;
  readonly k: GpuArray; // [U,S,D]
  readonly v: GpuArray; // [U,S,E]
  /** f32, a row of S for so many units. */
  readonly bias?: GpuArray;
  readonly biasSpan: number;
  /** Keys before it are left out. Default: 0. */
  readonly from?: number;
  /** u32 [U,S]; without, all keys have code 0. */
  readonly code?: GpuArray;
}

/** A sum over more keys than this is made of the sums of parts: rounding, and a busier device. */
const PART = 1024;

/** Records sums [U,C,D+E+4] into `out`. Keys beyond a binding are those of one unit, and come in pieces. */
export function codeSums(recording: Recording, input: CodeSumsInput, out: GpuArray): void {
  const { units, S, D, E, k, v, bias, code, from = 0 } = input;
  const step = units > 1 ? S : rowsWithin(recording, Math.max(D, E) * bytesOf[k.type], 64);
  eachPiece(recording, S, step, (first, rows) => {
    const own = (array: GpuArray, width: number) =>
      units > 1 ? array : part(recording, array, first * width, rows * width);
    const given = { k: own(k, D), v: own(v, E), bias: bias && own(bias, 1), code: code && own(code, 1) };
    const skipped = Math.min(rows, Math.max(0, from - first));
    sumPiece(recording, { ...input, ...given, units, S: rows, from: skipped }, out, first > 0);
  });
}

function sumPiece(recording: Recording, input: CodeSumsInput, out: GpuArray, more: boolean): void {
  const { units, S, D, E, codes, k, v, bias, biasSpan, code, from = 0 } = input;
  const F = D + E + 4;
  // A column of the sums of all codes is what a thread keeps in workgroup memory.
  const room = Math.floor((recording.gpu.limits.workgroupBytes - 1024) / (4 * codes));
  const WG = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(64, room))));
  const holds = Math.floor(roomOf(recording.gpu) / (4 * units * codes * F));
  const parts = Math.max(1, Math.min(holds, Math.ceil(S / PART)));
  const direct = parts === 1 && !more;
  const sums = direct ? out : recording.scratch('f32', parts * units * codes * F);
  recording.dispatch({
    kernel: codeSumsKernel,
    parameters: { elem: k.type, D, E, CODES: codes, WG, BIAS: bias !== undefined, CODED: code !== undefined },
    bindings: { k, v, bias, code, sums },
    uniform: { units, keys: S, parts, perPart: Math.ceil((S - from) / parts), skipped: from, biasSpan },
    groups: units * parts * Math.ceil(F / WG),
  });
  if (!direct) addParts(recording, sums, out, more);
}
