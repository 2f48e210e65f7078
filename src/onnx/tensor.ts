import { PerformersError } from '../errors.js';
import { concat } from './encode.js';
import { TensorProto_DataType as DataType } from './gen/onnx.js';
import { loaded } from './lazy-bytes.js';
import { readMessage } from './protobuf.js';
import { Reader, Wire, Writer } from './wire.js';

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

/** Field number << 3 | wire type. */
const tags = {
  dims: (1 << 3) | Wire.varint,
  dataType: (2 << 3) | Wire.varint,
  floatData: (4 << 3) | Wire.fixed32,
  int32Data: (5 << 3) | Wire.varint,
  int64Data: (7 << 3) | Wire.varint,
  name: (8 << 3) | Wire.bytes,
  raw: (9 << 3) | Wire.bytes,
  doubleData: (10 << 3) | Wire.fixed64,
  external: (13 << 3) | Wire.bytes,
  location: (14 << 3) | Wire.varint,
};

/** Numbers may be written one by one or packed, whatever the schema says. */
const packed = (tag: number) => (tag & ~7) | Wire.bytes;

/** Reads the head of an encoded TensorProto. @throws PerformersError PF102 (damaged), PF109 (a size below zero) */
export function readTensor(bytes: Uint8Array): Tensor {
  const reader = new Reader(bytes, 'a tensor');
  const dims: number[] = [];
  const external: [key: string, value: string][] = [];
  let name = '';
  let dataType: DataType = DataType.UNDEFINED;
  let raw: Uint8Array | undefined;
  let outside = false;
  while (reader.at < reader.end) {
    const tag = reader.uint32();
    if (tag === tags.name) name = reader.string();
    else if (tag === tags.dataType) dataType = reader.int32();
    else if (tag === tags.raw) raw = reader.view();
    else if (tag === tags.location) outside = reader.int32() === 1;
    else if (tag === tags.external) external.push(readEntry(reader.view()));
    else if (tag === tags.dims || tag === packed(tags.dims))
      reader.repeated(tag, () => dims.push(Number(reader.int64())));
    else reader.skip(tag);
  }
  const negative = dims.find((dim) => dim < 0);
  if (negative !== undefined) {
    throw new PerformersError('PF109', `the graph is not valid ONNX: a size of ${negative} in tensor '${name}'`, {
      at: 'a tensor',
      mend: 'onnx.checker.check_model shows what is wrong; export the model again',
    });
  }
  return { name, dataType, dims, bytes, raw, external: outside ? Object.fromEntries(external) : undefined };
}

/** An encoded TensorProto with its elements in `raw_data`. */
export function writeTensor({
  name,
  dataType,
  dims,
  raw,
}: Required<Pick<Tensor, 'name' | 'dataType' | 'dims' | 'raw'>>): Uint8Array {
  const writer = new Writer();
  for (const dim of dims) writer.varint(tags.dims).varint(dim);
  writer.varint(tags.dataType).varint(dataType).varint(tags.name).string(name);
  return concat(writer.varint(tags.raw).bytes(raw).finish());
}

function readEntry(bytes: Uint8Array): [key: string, value: string] {
  const { key = '', value = '' } = readMessage('StringStringEntryProto', bytes, 'a tensor');
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
  loaded(raw);
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
function readTyped(tensor: Tensor): number[] {
  const reader = new Reader(tensor.bytes, 'a tensor');
  const values: number[] = [];
  const half = tensor.dataType === DataType.FLOAT16;
  while (reader.at < reader.end) {
    const tag = reader.uint32();
    const [single, read] = typedReaders.find(([single]) => tag === single || tag === packed(single)) ?? [];
    if (!read) reader.skip(tag);
    else {
      reader.repeated(tag, () => {
        const value = read(reader);
        values.push(half && single === tags.int32Data ? halfToNumber(value) : value);
      });
    }
  }
  return values;
}

const typedReaders: readonly (readonly [tag: number, read: (reader: Reader) => number])[] = [
  [tags.floatData, (reader) => reader.float()],
  [tags.int32Data, (reader) => reader.int32()],
  [tags.int64Data, (reader) => Number(reader.int64())],
  [tags.doubleData, (reader) => reader.double()],
];

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
