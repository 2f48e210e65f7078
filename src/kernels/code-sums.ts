/** Sums of keys, values and ones by code on a device. See code_sums.wgsl. */
import { addPartsKernel } from './gen/add-parts.js';
import { codeSumsKernel } from './gen/code-sums.js';
import { type Recording, type Slice, whole } from './record.js';
import { unread } from './shape.js';

export interface CodeSumsInput {
  readonly units: number;
  readonly first: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  readonly codes: number;
  readonly k: Slice; // [U,S,D]
  readonly v: Slice; // [U,S,E]
  /** f32, a row of S for so many units. */
  readonly bias?: Slice;
  readonly biasSpan: number;
  /** Keys before it are left out. Default: 0. */
  readonly from?: number;
  /** u32 [U,S]; without, all keys have code 0. */
  readonly code?: Slice;
}

/** A sum over more keys than this is made of the sums of parts: rounding, and a busier device. */
const PART = 1024;

/** Records sums [U,C,D+E+4] into `out`. */
export function codeSums(recording: Recording, input: CodeSumsInput, out: Slice): void {
  const { units, first, S, D, E, codes, k, v, bias, biasSpan, code, from = 0 } = input;
  const F = D + E + 4;
  // A column of the sums of all codes is what a thread keeps in workgroup memory.
  const room = Math.floor((recording.gpu.limits.workgroupBytes - 1024) / (4 * codes));
  const WG = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(64, room))));
  const holds = Math.floor((recording.gpu.limits.bindingBytes - 512) / (4 * units * codes * F));
  const parts = Math.max(1, Math.min(holds, Math.ceil(S / PART)));
  const length = units * codes * F;
  const sums = parts === 1 ? out : whole(recording.scratch('f32', parts * length));
  recording.dispatch({
    kernel: codeSumsKernel,
    parameters: { elem: k.array.type, D, E, CODES: codes, WG, BIAS: bias !== undefined, CODED: code !== undefined },
    bindings: { k, v, bias: bias ?? unread(k), code: code ?? unread(k), sums },
    uniform: {
      ...{ units, keys: S, parts, perPart: Math.ceil((S - from) / parts), skipped: from, firstUnit: first, biasSpan },
      ...{ kBase: k.base, vBase: v.base, biasBase: bias?.base ?? 0, codeBase: code?.base ?? 0, outBase: sums.base },
    },
    groups: units * parts * Math.ceil(F / WG),
  });
  if (parts === 1) return;
  recording.dispatch({
    kernel: addPartsKernel,
    parameters: { WG: 64 },
    bindings: { parts: sums, out },
    uniform: { length, parts, outBase: out.base },
    groups: Math.ceil(length / 64),
  });
}
