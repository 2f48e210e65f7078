/*
 * Protobuf's wire format (https://protobuf.dev/programming-guides/encoding): fields of a tag (number << 3 | wire type)
 * and a varint, 4 or 8 bytes, or a length with as many bytes. Written here rather than taken from a library because of
 * three things that files of gigabytes, from anyone, ask for: what is passed on unread is never copied, what is written
 * again comes out as it was, and no length is believed before it is checked.
 */
import { PerformersError } from '../errors.js';

/** Wire types. An enum, because bundlers write its numbers in place of its names. */
export enum Wire {
  varint = 0,
  fixed64 = 1,
  bytes = 2,
  startGroup = 3,
  endGroup = 4,
  fixed32 = 5,
}

/** Reads one message, or a part of it that `within` bounds. Every method throws PF102 rather than pass `end`. */
export class Reader {
  at = 0;
  end: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly file: string;

  /** @param file named in errors */
  constructor(bytes: Uint8Array, file = 'model') {
    this.bytes = bytes;
    this.file = file;
    this.end = bytes.byteLength;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Steps over `size` bytes; the position they begin at. */
  #take(size: number): number {
    const from = this.at;
    if (size > this.end - from) throw this.#damaged(`it breaks off within its ${this.bytes.byteLength} bytes`);
    this.at += size;
    return from;
  }

  /** 64 bits; a number below 2^49, which nearly all are, and a bigint above. */
  #varint(): number | bigint {
    let low = 0;
    let high = 0n;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.#take(1)];
      if (shift < 49) low += (byte & 127) * 2 ** shift;
      else high |= BigInt(byte & 127) << BigInt(shift);
      if (byte < 128) return shift < 49 ? low : BigInt.asUintN(64, high | BigInt(low));
    }
    throw this.#damaged(`an integer of more than 10 bytes at byte ${this.at}`);
  }

  uint32(): number {
    const value = this.#varint();
    if (value > 0xffffffff) throw this.#damaged(`a tag or length above 32 bits at byte ${this.at}`);
    return Number(value);
  }

  int32(): number {
    return Number(BigInt.asIntN(32, BigInt(this.#varint())));
  }

  int64(): bigint {
    return BigInt.asIntN(64, BigInt(this.#varint()));
  }

  float(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** Bytes after their length: a view, not a copy. */
  view(): Uint8Array {
    const from = this.#take(this.uint32());
    return this.bytes.subarray(from, this.at);
  }

  string(): string {
    return readText(this.view());
  }

  /** Runs `read` on the bytes after their length: a message, or packed numbers. It must read to `end`. */
  within<T>(read: () => T): T {
    const { end } = this;
    const length = this.uint32();
    this.end = this.#take(length) + length;
    this.at -= length;
    const result = read();
    this.end = end;
    return result;
  }

  /** The values of a repeated number, of which one occurrence holds one or, packed, many. */
  repeated(tag: number, read: () => void): void {
    if ((tag & 7) !== Wire.bytes) read();
    else {
      this.within(() => {
        while (this.at < this.end) read();
      });
    }
  }

  /** Steps over what follows a tag. Groups may nest without bound and cost no stack. */
  skip(tag: number): void {
    const groups: number[] = [];
    for (let next = tag; ; next = this.uint32()) {
      const type = next & 7;
      if (next < 8) throw this.#damaged(`field number 0 at byte ${this.at}`);
      if (type === Wire.varint) this.#varint();
      else if (type === Wire.fixed64) this.#take(8);
      else if (type === Wire.bytes) this.#take(this.uint32());
      else if (type === Wire.fixed32) this.#take(4);
      else if (type === Wire.startGroup) groups.push(next >>> 3);
      else if (type !== Wire.endGroup || groups.pop() !== next >>> 3)
        throw this.#damaged(`no field can begin as byte ${this.at} does`);
      if (groups.length === 0) return;
    }
  }

  #damaged(what: string): PerformersError {
    return new PerformersError('PF102', `the model is truncated or damaged: ${what}`, {
      at: this.file,
      mend: 'download or export the file again and compare its size',
    });
  }
}

/**
 * Collects a message as chunks. Views of a file stay views, and views that lie beside each other in the file become
 * one: what is between two unchanged fields is their tags and lengths, which the file has in the same place.
 */
export class Writer {
  length = 0;
  readonly #chunks: Uint8Array[] = [];
  /** Bytes after the last chunk. */
  #small: number[] = [];

  tag(number: number, type: number): this {
    return this.varint(number * 8 + type);
  }

  /** 64 bits; what is below zero takes ten bytes, as the format has it. */
  varint(value: number | bigint): this {
    if (value >= 0 && value < 128) return this.#byte(Number(value));
    const bits = BigInt.asUintN(64, BigInt(value));
    return this.#byte(Number(bits & 127n) | 128).varint(bits >> 7n);
  }

  float(value: number): this {
    return this.append(new Uint8Array(Float32Array.of(value).buffer));
  }

  /** A length and as many bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.byteLength).append(bytes);
  }

  string(text: string): this {
    return this.bytes(writeText(text));
  }

  /** A length and what another writer holds. */
  message(inner: Writer): this {
    this.varint(inner.length);
    for (const chunk of inner.#chunks) this.append(chunk);
    this.length += inner.#small.length;
    for (const byte of inner.#small) this.#small.push(byte);
    return this;
  }

  /** Bytes as they are, without a length. */
  append(bytes: Uint8Array): this {
    this.length += bytes.byteLength;
    const last = this.#chunks.at(-1);
    if (last && follows(last, this.#small, bytes)) {
      const length = bytes.byteOffset + bytes.byteLength - last.byteOffset;
      this.#chunks[this.#chunks.length - 1] = new Uint8Array(last.buffer, last.byteOffset, length);
      this.#small = [];
    } else if (bytes.byteLength < 32) for (const byte of bytes) this.#small.push(byte);
    else {
      this.#flush();
      this.#chunks.push(bytes);
    }
    return this;
  }

  /** The chunks in order; nothing may be written after. */
  finish(): readonly Uint8Array[] {
    this.#flush();
    return this.#chunks;
  }

  #byte(value: number): this {
    this.#small.push(value);
    this.length += 1;
    return this;
  }

  #flush(): void {
    if (this.#small.length > 0) this.#chunks.push(new Uint8Array(this.#small));
    this.#small = [];
  }
}

/** True when `next` comes after `last` in one buffer, and what lies between are the bytes `between`. */
function follows(last: Uint8Array, between: readonly number[], next: Uint8Array): boolean {
  const from = last.byteOffset + last.byteLength;
  if (last.buffer !== next.buffer || next.byteOffset - from !== between.length) return false;
  const there = new Uint8Array(next.buffer, from, between.length);
  return between.every((byte, i) => there[i] === byte);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * UTF-8 to text. Bytes that are none become lone surrogates, one each (Python's "surrogateescape"): two names stay two,
 * and writeText() brings the bytes back.
 */
function readText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte < 128 ? byte : 0xdc00 + byte)).join('');
  }
}

function writeText(text: string): Uint8Array {
  if (!/\p{Surrogate}/u.test(text)) return encoder.encode(text);
  return Uint8Array.from(
    Array.from(text).flatMap((char) =>
      /\p{Surrogate}/u.test(char) ? char.charCodeAt(0) & 255 : [...encoder.encode(char)],
    ),
  );
}
