/**
 * Arrays beyond a binding's size, piece by piece: a batch and head at a time, then ranges of rows. A piece is an array of its own, in place where
 * a binding may begin there (every 256 bytes), else a copy, so that no kernel knows of pieces. Copies, and all scratch arrays of one piece,
 * are used again by the next.
 */
import { bytesOf, type GpuArray } from './array.js';
import { moveKernel } from './gen/move.js';
import type { Gpu } from './gpu.js';
import type { Recording } from './record.js';
import { arraysOf, holds, type Layer, refuse, type Shapes } from './shape.js';

/** A binding must begin at a multiple of so many bytes. */
const GRAIN = 256;
const WG = 64;

/** Bytes of the largest piece that can be bound, wherever it begins. */
export function roomOf({ limits }: Gpu): number {
  return limits.bindingBytes - 2 * GRAIN;
}

/** Whether so many bytes can be bound, each by itself. */
export function fits({ gpu }: Recording, ...bytes: readonly number[]): boolean {
  return Math.max(...bytes) <= roomOf(gpu);
}

/** @throws PerformersError PF706 where even the smallest piece of a layer, its arrays of so many bytes, is beyond a binding */
export function mustFit(recording: Recording, kernel: string, ...bytes: readonly number[]): void {
  refuse(kernel, [
    fits(recording, ...bytes)
      ? undefined
      : `what does not come apart is larger than a binding, ${roomOf(recording.gpu)} bytes`,
  ]);
}

/** Whether each array of a layer can be bound, and each of so many bytes that is yet to be made. */
export function layerFits<Input extends Layer>(
  recording: Recording,
  input: Input,
  shapes: Shapes,
  ...bytes: readonly number[]
): boolean {
  const own = arraysOf(input, shapes).map(({ array: { length, type } }) => length * bytesOf[type]);
  return fits(recording, ...own, ...bytes);
}

/** So many rows of `bytes` each as can be bound, whole multiples of `step` of them, and at least one `step`. */
export function rowsWithin({ gpu }: Recording, bytes: number, step: number): number {
  return Math.max(step, Math.floor(roomOf(gpu) / bytes / step) * step);
}

/** Ranges of at most `step` of `count` rows, one after another; each may have the scratch arrays of the one before. */
export function eachPiece(
  recording: Recording,
  count: number,
  step: number,
  record: (first: number, rows: number) => void,
): void {
  for (let first = 0; first < count; first += step) {
    recording.scoped(() => record(first, Math.min(step, count - first)));
  }
}

/** Elements [from, from + length), to be read. */
export function part(recording: Recording, array: GpuArray, from: number, length: number): GpuArray {
  const own = partAt(recording, array, from, length);
  if (own.buffer !== array.buffer) move(recording, [array, from], [own, 0], length);
  return own;
}

/** Elements [from, from + length) of arrays, to be written by `write`; which goes on from what they hold with `goOn`. */
export function partsInto(
  recording: Recording,
  arrays: readonly (readonly [array: GpuArray, from: number, length: number])[],
  write: (...parts: readonly GpuArray[]) => void,
  goOn = false,
): void {
  const own = arrays.map((range) => (goOn ? part : partAt)(recording, ...range));
  write(...own);
  for (const [i, [array, from, length]] of arrays.entries()) {
    if (own[i].buffer !== array.buffer) move(recording, [own[i], 0], [array, from], length);
  }
}

/**
 * One (batch, key head) after another, with the query heads that share it; of a single key head one query head after another. `record` gets
 * what is left of the layer and of the results: the arrays that `shapes` names, cut by the axes that lead them.
 */
export function headsApart<Input extends Layer, Results extends object>(
  recording: Recording,
  input: Input,
  { shapes, results, goOn }: { readonly shapes: Shapes; readonly results: Results; readonly goOn?: boolean },
  record: (input: Input, results: Results) => void,
): void {
  const { B, H, G = H } = input;
  const groups = B * G;
  const [units, span] = groups > 1 ? [groups, H / G] : [H, 1];
  const all = arraysOf({ ...input, ...results }, shapes).map(({ name, array, forms }) => {
    const { axes = '' } = forms.find(({ size }) => holds(array, size)) ?? {};
    const [lead] = /^(B,)?[HG]?/.exec(axes) ?? [''];
    return { name, array, lead: lead.replaceAll(',', '') };
  });
  const counts: Readonly<Record<string, number>> = { B, H: units / B, G, BH: units, BG: groups };
  for (let unit = 0; unit < units; unit++) {
    const at: Readonly<Record<string, number>> = {
      ...{ B: Math.floor(unit / G) % B, H: unit % counts.H, G: unit % G },
      ...{ BH: unit, BG: unit % groups },
    };
    const rangeOf = ({ array, lead }: (typeof all)[number]) => {
      const length = array.length / counts[lead];
      return [array, at[lead] * length, length] as const;
    };
    recording.scoped(() => {
      const own = all.filter(({ name }) => !(name in results));
      const read = own.map((one) => [one.name, part(recording, ...rangeOf(one))]);
      const written = all.filter(({ name }) => name in results);
      const write = (...parts: readonly GpuArray[]) =>
        record(
          { ...input, B: 1, H: span, G: 1, ...Object.fromEntries(read) },
          { ...results, ...Object.fromEntries(written.map(({ name }, i) => [name, parts[i]])) },
        );
      partsInto(recording, written.map(rangeOf), write, goOn);
    });
  }
}

function partAt(recording: Recording, array: GpuArray, from: number, length: number): GpuArray {
  const start = from * bytesOf[array.type];
  if (start % GRAIN !== 0) return recording.scratch(array.type, length);
  return { ...array, offset: (array.offset ?? 0) + start, length };
}

type Place = readonly [array: GpuArray, from: number];

/** Records a copy of `length` elements. Copies of buffers are of whole words, and end a compute pass. */
function move(recording: Recording, given: Place, out: Place, length: number): void {
  const [[read, givenBase], [written, outBase]] = [given, out].map(([array, from]) => {
    const each = GRAIN / bytesOf[array.type];
    const base = from % each;
    const offset = (array.offset ?? 0) + ((from - base) / each) * GRAIN;
    return [{ ...array, offset, length: base + length }, base] as const;
  });
  recording.dispatch({
    kernel: moveKernel,
    parameters: { elem: read.type === 'f16' ? 'f16' : 'u32', WG },
    bindings: { given: read, out: written },
    uniform: { length, givenBase, outBase },
    groups: Math.ceil(length / WG),
  });
}
