import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { PerformersError } from '../errors.js';
import { loadOnDemand } from '../onnx/lazy-bytes.js';
import { Wire } from '../onnx/wire.js';
import { unreadable } from './model-folder.js';

/** An .onnx file of which the large weights are still on the disk. */
export interface ModelBytes {
  /** As long as the file. Views of it that hold weights get their content from loaded() (onnx/lazy-bytes.ts). */
  readonly bytes: Uint8Array;
  /** What the disk says lies at a view of `bytes`, piece by piece, without keeping it. */
  read(view: Uint8Array): Iterable<Uint8Array>;
  close(): void;
}

/** Chunks of a model made from an open one: what was the file's own is read from the disk, piece by piece. */
export function* onDisk({ bytes, read }: ModelBytes, chunks: Iterable<Uint8Array>): Iterable<Uint8Array> {
  for (const chunk of chunks) {
    if (chunk.buffer === bytes.buffer) yield* read(chunk);
    else yield chunk;
  }
}

/** What protobuf's own readers take, onnxruntime's among them. Beyond it, weights lie in files of their own. */
const largest = 2 ** 31 - 1;
/** Elements of tensors from this size on stay on the disk. */
const heavy = 2 ** 18;
/** Read ahead at most, into weights that are then stepped over. */
const block = 2 ** 15;
const piece = 2 ** 22;

/**
 * Opens a model without reading its weights: the memory of a buffer as long as the file is asked for, and the parts of
 * it that describe the graph are read. Damage is not judged here: what lies behind it stays unread, and decode() stops
 * at the same byte.
 *
 * @throws PerformersError PF107 (nothing there, or unreadable), PF111 (more than 2 GB)
 */
export function openModelBytes(path: string): ModelBytes {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    return readGraph(file, path);
  } catch (cause) {
    if (file !== undefined) closeSync(file);
    throw cause instanceof PerformersError ? cause : unreadable(path, cause);
  }
}

function readGraph(file: number, path: string): ModelBytes {
  const { size } = fstatSync(file);
  if (size > largest) {
    throw new PerformersError('PF111', `a model file of ${size} bytes: no reader of protobuf takes more than 2 GB`, {
      at: path,
      mend: 'export it with its weights as external data, in files of their own',
    });
  }
  const bytes = new Uint8Array(size);
  const fill = (from: number, to: number) => {
    for (let at = from; at < to; ) at += readSome(file, bytes.subarray(at, to), at);
  };
  const holes = scan(bytes, fill);
  loadOnDemand(bytes.buffer, ({ byteOffset, byteLength }) => {
    for (const [from, to] of holes) {
      if (from < byteOffset + byteLength && byteOffset < to)
        fill(Math.max(from, byteOffset), Math.min(to, byteOffset + byteLength));
    }
  });
  const buffer = new Uint8Array(Math.min(piece, size));
  return {
    bytes,
    *read({ byteOffset, byteLength }) {
      for (let at = byteOffset; at < byteOffset + byteLength; ) {
        const count = readSome(file, buffer.subarray(0, byteOffset + byteLength - at), at);
        yield buffer.subarray(0, count);
        at += count;
      }
    },
    close: () => closeSync(file),
  };
}

function readSome(file: number, into: Uint8Array, at: number): number {
  const count = readSync(file, into, 0, Math.min(piece, into.byteLength), at);
  if (count === 0) throw new Error(`the file ends at byte ${at}: it became shorter while it was read`);
  return count;
}

/** Fields that lead to tensors, by message; what is called weights is raw_data. */
const descents: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  Model: { 7: 'Graph', 25: 'Function' },
  Graph: { 1: 'Node', 5: 'Tensor' },
  Function: { 7: 'Node' },
  Node: { 5: 'Attribute' },
  Attribute: { 5: 'Tensor', 6: 'Graph', 10: 'Tensor', 11: 'Graph' },
  Tensor: { 9: 'weights' },
};

/** Fills all of `bytes` but heavy weights; where these are, in order. */
function scan(bytes: Uint8Array, fill: (from: number, to: number) => void): readonly (readonly [number, number])[] {
  const holes: (readonly [number, number])[] = [];
  /** What lies before this was read, or is a hole. */
  let read = 0;
  let at = 0;
  const need = (to: number) => {
    if (to <= read) return;
    const end = Math.min(bytes.byteLength, Math.max(to, read + block));
    fill(read, end);
    read = end;
  };
  const varint = () => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      need(at + 1);
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  /** False at damage. Nesting is bounded as decode() bounds it. */
  const visit = (message: string, end: number, depth: number): boolean => {
    while (at < end) {
      const tag = varint();
      const inner = descents[message]?.[Math.floor(tag / 8)];
      const wire = tag % 8;
      if (wire === Wire.varint) varint();
      else if (wire === Wire.fixed64) at += 8;
      else if (wire === Wire.fixed32) at += 4;
      else if (wire === Wire.startGroup || wire === Wire.endGroup) {
        need(end);
        at = end;
      } else if (wire === Wire.bytes) {
        const length = varint();
        const to = at + length;
        if (!(to <= end) || depth > 100) return false;
        if (length >= heavy && inner === 'weights') {
          if (to > read) holes.push([Math.max(at, read), to]);
          read = Math.max(read, to);
        } else if (length >= heavy && inner) {
          if (!visit(inner, to, depth + 1)) return false;
        }
        need(to);
        at = to;
      } else return false;
    }
    return true;
  };
  visit('Model', bytes.byteLength, 0);
  need(Math.min(at, bytes.byteLength));
  return holes;
}
