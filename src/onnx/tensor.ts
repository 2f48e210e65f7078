import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TensorProto_DataType as DataType } from './gen/onnx.js';

/**
 * The head of a TensorProto, read without decoding its elements. `bytes` is the encoded message, a view of the
 * file; `raw` is `raw_data`, a view too.
 */
export interface Tensor {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
  readonly raw?: Uint8Array;
  /** `location`, `offset`, `length` of weights kept in another file. */
  readonly external?: Readonly<Record<string, string>>;
}

const field = {
  dims: 1,
  dataType: 2,
  floatData: 4,
  int32Data: 5,
  int64Data: 7,
  name: 8,
  raw: 9,
  doubleData: 10,
  external: 13,
  location: 14,
};

/** Reads the head of an encoded TensorProto. Throws RangeError (from the wire reader) on damaged bytes. */
export function readTensor(bytes: Uint8Array): Tensor {
  const reader = new BinaryReader(bytes);
  const dims: number[] = [];
  const external: Record<string, string> = {};
  let name = '';
  let dataType: DataType = DataType.UNDEFINED;
  let raw: Uint8Array | undefined;
  let outside = false;
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === field.dims && wire === WireType.Varint) dims.push(Number(reader.int64()));
    else if (number === field.dims && wire === WireType.LengthDelimited) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) dims.push(Number(reader.int64()));
    } else if (number === field.dataType) dataType = reader.int32();
    else if (number === field.name) name = reader.string();
    else if (number === field.raw) raw = reader.bytes();
    else if (number === field.external) {
      const [key, value] = readEntry(reader.bytes());
      external[key] = value;
    } else if (number === field.location) outside = reader.int32() === 1;
    else reader.skip(wire, number);
  }
  return { name, dataType, dims, bytes, raw, external: outside ? external : undefined };
}

/** An encoded TensorProto with its elements in `raw_data`. */
export function writeTensor({
  name,
  dataType,
  dims,
  raw,
}: Required<Pick<Tensor, 'name' | 'dataType' | 'dims' | 'raw'>>): Uint8Array {
  const writer = new BinaryWriter();
  for (const dim of dims) writer.tag(field.dims, WireType.Varint).int64(dim);
  writer.tag(field.dataType, WireType.Varint).int32(dataType);
  writer.tag(field.name, WireType.LengthDelimited).string(name);
  return writer.tag(field.raw, WireType.LengthDelimited).bytes(raw).finish();
}

function readEntry(bytes: Uint8Array): [string, string] {
  const reader = new BinaryReader(bytes);
  let key = '';
  let value = '';
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) key = reader.string();
    else if (number === 2) value = reader.string();
    else reader.skip(wire, number);
  }
  return [key, value];
}

/** Number of elements; 1 for a scalar. */
function tensorSize(tensor: Pick<Tensor, 'dims'>): number {
  return tensor.dims.reduce((product, dim) => product * dim, 1);
}

/**
 * The elements of a small constant as JavaScript numbers, or undefined when there are more than `limit`, the type
 * is not a plain number type, or the weights lie in another file. 64-bit integers beyond 2^53 lose their low bits:
 * the exporters use them for "to the end" only.
 */
export function readSmall(tensor: Tensor, limit = 4096): number[] | undefined {
  const size = tensorSize(tensor);
  if (size > limit || tensor.external) return undefined;
  const values =
    tensor.raw && tensor.raw.byteLength > 0 ? readRaw(tensor.raw, tensor.dataType, size) : readTyped(tensor);
  return values?.length === size ? values : undefined;
}

function readRaw(raw: Uint8Array, dataType: DataType, size: number): number[] | undefined {
  const read = rawReaders[dataType];
  if (!read || raw.byteLength < size * read.bytes) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: size }, (_, i) => read.at(view, i * read.bytes));
}

const rawReaders: Partial<Record<DataType, { bytes: number; at: (view: DataView, offset: number) => number }>> = {
  [DataType.FLOAT]: { bytes: 4, at: (view, at) => view.getFloat32(at, true) },
  [DataType.DOUBLE]: { bytes: 8, at: (view, at) => view.getFloat64(at, true) },
  [DataType.FLOAT16]: { bytes: 2, at: (view, at) => halfToNumber(view.getUint16(at, true)) },
  [DataType.INT64]: { bytes: 8, at: (view, at) => Number(view.getBigInt64(at, true)) },
  [DataType.INT32]: { bytes: 4, at: (view, at) => view.getInt32(at, true) },
  [DataType.INT16]: { bytes: 2, at: (view, at) => view.getInt16(at, true) },
  [DataType.INT8]: { bytes: 1, at: (view, at) => view.getInt8(at) },
  [DataType.UINT8]: { bytes: 1, at: (view, at) => view.getUint8(at) },
  [DataType.BOOL]: { bytes: 1, at: (view, at) => view.getUint8(at) },
};

/** Elements kept in the typed fields of the message instead of `raw_data` (older exporters, onnx.helper). */
function readTyped(tensor: Tensor): number[] | undefined {
  const reader = new BinaryReader(tensor.bytes);
  const values: number[] = [];
  const half = tensor.dataType === DataType.FLOAT16;
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const read = typedReaders[number];
    if (!read) {
      reader.skip(wire, number);
      continue;
    }
    const end = wire === WireType.LengthDelimited ? reader.uint32() + reader.pos : reader.pos + 1;
    while (reader.pos < end) {
      const value = read(reader);
      values.push(half && number === field.int32Data ? halfToNumber(value) : value);
    }
  }
  return values;
}

const typedReaders: Record<number, (reader: BinaryReader) => number> = {
  [field.floatData]: (reader) => reader.float(),
  [field.int32Data]: (reader) => reader.int32(),
  [field.int64Data]: (reader) => Number(reader.int64()),
  [field.doubleData]: (reader) => reader.double(),
};

/** IEEE 754 binary16 bits to a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * fraction * 2 ** -24;
}

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** A number to IEEE 754 binary16 bits, to nearest, ties to even. */
export function numberToHalf(value: number): number {
  single[0] = value;
  const bits = singleBits[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 255;
  const fraction = bits & 0x7fffff;
  if (exponent === 255) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  // Subnormal halves: the implied one becomes visible and is shifted down with the rest.
  const shift = exponent < 113 ? 126 - exponent : 13;
  if (shift > 24) return sign;
  const mantissa = exponent < 113 ? fraction | 0x800000 : fraction | ((exponent - 112) << 23);
  const half = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  const rounded = half + (rest > middle || (rest === middle && half & 1) ? 1 : 0);
  return sign | Math.min(rounded, 0x7c00);
}
