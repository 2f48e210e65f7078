/**
 * Decoder of bzip2 (Seward 1996–2019; format as in its compress.c and decompress.c), which LIBSVM's data come in and Node has no decoder for.
 * Per block: Huffman codes, move to front, run lengths of zeros, the inverse Burrows–Wheeler transform, run lengths of bytes; its checksum
 * is checked, and that of the stream. Streams may follow one another.
 */
import { damaged } from './dataset.js';

/** @throws PerformersError PF429, naming `at`, unless `bytes` are whole bzip2 streams with the checksums they promise */
export function bunzip2(bytes: Uint8Array, at: string): Uint8Array {
  const bits = new BitReader(bytes, at);
  const parts: Uint8Array[] = [];
  do {
    if (bits.read(24) !== 0x425a68) throw damaged(at, 'the file is no bzip2 stream');
    const level = bits.read(8) - 48;
    if (level < 1 || level > 9) throw damaged(at, 'the bzip2 header names no block size');
    let streamCheck = 0;
    for (;;) {
      const [high, low] = [bits.read(24), bits.read(24)];
      const check = bits.read(32);
      if (high === 0x177245 && low === 0x385090) {
        if (streamCheck !== check) throw damaged(at, 'the bzip2 stream has the wrong checksum');
        break;
      }
      if (high !== 0x314159 || low !== 0x265359) throw damaged(at, 'a bzip2 block begins with the wrong number');
      const block = readBlock(bits, level * 100_000, at);
      if (checksum(block) !== check) throw damaged(at, 'a bzip2 block has the wrong checksum');
      streamCheck = (((streamCheck << 1) | (streamCheck >>> 31)) ^ check) >>> 0;
      parts.push(block);
    }
    bits.align();
  } while (!bits.atEnd());
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    out.set(part, end);
    end += part.length;
  }
  return out;
}

class BitReader {
  private position = 0;
  constructor(
    private readonly bytes: Uint8Array,
    private readonly name: string,
  ) {}

  read(count: number): number {
    if (this.position + count > this.bytes.length * 8) throw damaged(this.name, 'the bzip2 stream ends too early');
    let value = 0;
    for (let left = count; left > 0; ) {
      const offset = this.position % 8;
      const take = Math.min(left, 8 - offset);
      value = value * 2 ** take + ((this.bytes[this.position >> 3] >> (8 - offset - take)) & (2 ** take - 1));
      this.position += take;
      left -= take;
    }
    return value;
  }

  align(): void {
    this.position = 8 * Math.ceil(this.position / 8);
  }

  atEnd(): boolean {
    return this.position >= this.bytes.length * 8;
  }
}

function readBlock(bits: BitReader, limit: number, at: string): Uint8Array {
  const randomised = bits.read(1);
  if (randomised) throw damaged(at, 'randomised blocks of bzip2 0.9.0 and before are not read');
  const origin = bits.read(24);
  const symbols = readAlphabet(bits);
  if (symbols.length === 0) throw damaged(at, 'a bzip2 block uses no byte');
  const tables = readTables(bits, symbols.length + 2, at);
  const last = readMoveToFront(bits, symbols, tables, limit, at);
  if (origin >= last.length) throw damaged(at, 'the origin of a bzip2 block lies outside it');
  return expandRuns(invertTransform(last, origin));
}

/** The bytes that occur: a map of 16 ranges, then of 16 bytes in each range in use. */
function readAlphabet(bits: BitReader): number[] {
  const ranges = bits.read(16);
  return Array.from({ length: 16 }, (_, i) => {
    if (!((ranges >> (15 - i)) & 1)) return [];
    const used = bits.read(16);
    return Array.from({ length: 16 }, (_, j) => j).flatMap((j) => ((used >> (15 - j)) & 1 ? [16 * i + j] : []));
  }).flat();
}

interface Tables {
  /** Which code serves each run of 50 symbols. */
  readonly selectors: readonly number[];
  readonly codes: readonly Huffman[];
}

function readTables(bits: BitReader, size: number, at: string): Tables {
  const count = bits.read(3);
  const selectorCount = bits.read(15);
  if (count < 2 || count > 6 || selectorCount === 0) throw damaged(at, 'a bzip2 block has a wrong number of codes');
  const order = Array.from({ length: count }, (_, i) => i);
  const selectors = Array.from({ length: selectorCount }, () => {
    let at0 = 0;
    while (bits.read(1)) if (++at0 >= count) throw damaged(at, 'a bzip2 block selects a code that is not there');
    const [chosen] = order.splice(at0, 1);
    order.unshift(chosen);
    return chosen;
  });
  const codes = Array.from({ length: count }, () => {
    let length = bits.read(5);
    const lengths = Array.from({ length: size }, () => {
      while (bits.read(1)) length += bits.read(1) ? -1 : 1;
      if (length < 1 || length > 20) throw damaged(at, 'a bzip2 code has a wrong length');
      return length;
    });
    return huffman(lengths);
  });
  return { selectors, codes };
}

/** Canonical code: by length, its first code word, how many, and their symbols in order. */
interface Huffman {
  readonly counts: readonly number[];
  readonly symbols: readonly number[];
}

function huffman(lengths: readonly number[]): Huffman {
  const counts = Array.from({ length: 21 }, (_, length) => lengths.filter((each) => each === length).length);
  const symbols = lengths.map((_, symbol) => symbol).sort((a, b) => lengths[a] - lengths[b] || a - b);
  return { counts, symbols };
}

function readSymbol(bits: BitReader, { counts, symbols }: Huffman, at: string): number {
  let [code, first, index] = [0, 0, 0];
  for (let length = 1; length <= 20; length++) {
    code = 2 * code + bits.read(1);
    first *= 2;
    if (code - first < counts[length]) return symbols[index + code - first];
    first += counts[length];
    index += counts[length];
  }
  throw damaged(at, 'a bzip2 code word is unknown');
}

function readMoveToFront(
  bits: BitReader,
  alphabet: number[],
  { selectors, codes }: Tables,
  limit: number,
  at: string,
): Uint8Array {
  const out = new Uint8Array(limit);
  const end = alphabet.length + 1;
  const order = [...alphabet];
  let [length, run, weight] = [0, 0, 1];
  for (let group = 0; ; group++) {
    const code = codes[selectors[group]];
    if (!code) throw damaged(at, 'a bzip2 block has too few selectors');
    for (let i = 0; i < 50; i++) {
      const symbol = readSymbol(bits, code, at);
      if (symbol < 2) {
        // Runs of the front byte, in bijective base 2.
        run += weight << symbol;
        weight *= 2;
        if (run > limit) throw damaged(at, 'a bzip2 block is longer than its limit');
        continue;
      }
      if (length + run + 1 > limit && symbol !== end) throw damaged(at, 'a bzip2 block is longer than its limit');
      out.fill(order[0], length, length + run);
      length += run;
      [run, weight] = [0, 1];
      if (symbol === end) return out.subarray(0, length);
      const [byte] = order.splice(symbol - 1, 1);
      order.unshift(byte);
      out[length++] = byte;
    }
  }
}

/** The text whose sorted rotations end in `last`, the rotation `origin` being the text. */
function invertTransform(last: Uint8Array, origin: number): Uint8Array {
  const starts = new Uint32Array(256);
  for (const byte of last) starts[byte]++;
  let sum = 0;
  for (let byte = 0; byte < 256; byte++) [starts[byte], sum] = [sum, sum + starts[byte]];
  const next = new Uint32Array(last.length);
  for (let i = 0; i < last.length; i++) next[starts[last[i]]++] = i;
  let at = next[origin];
  return Uint8Array.from({ length: last.length }, () => {
    const byte = last[at];
    at = next[at];
    return byte;
  });
}

/** Four equal bytes are followed by a count of more of them. */
function expandRuns(text: Uint8Array): Uint8Array {
  const pieces: number[] = [];
  let [equal, previous] = [0, -1];
  for (const byte of text) {
    if (equal === 4) {
      for (let i = 0; i < byte; i++) pieces.push(previous);
      [equal, previous] = [0, -1];
      continue;
    }
    equal = byte === previous ? equal + 1 : 1;
    previous = byte;
    pieces.push(byte);
  }
  return Uint8Array.from(pieces);
}

/** CRC-32 of bzip2: polynomial 04C11DB7, high bits first. */
function checksum(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = ((crc << 8) ^ crcTable[((crc >>> 24) ^ byte) & 255]) >>> 0;
  return ~crc >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});
