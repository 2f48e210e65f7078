/*
 * Messages to and from bytes, by the table that is generated from onnx.proto (scripts/proto-table.ts says how to read
 * it). A message remembers the bytes that it was read from, and is written as those bytes: whatever is not touched
 * comes out as it came in, down to what other writers do differently (order, packing, text that is no UTF-8). Touched is
 * what was made anew, `{ ...message, name }`; the types let no message be changed in place.
 */
import { PerformersError } from '../errors.js';
import { type Messages, table } from './gen/onnx.js';
import { Reader, Wire, Writer } from './wire.js';

interface Field {
  readonly name: string;
  readonly number: number;
  /** A code of `scalars`, or the name of a message. */
  readonly kind: string;
  readonly repeated: boolean;
  /** The property that holds which member of a oneof is set, as { $case, value }. */
  readonly oneof?: string;
}

interface Schema {
  /** By number, and in the order of the numbers. */
  readonly fields: ReadonlyMap<number, Field>;
  /** The message without anything: its lists. */
  readonly empty: Message;
}
type Message = Record<string, unknown>;

/** Lists are empty more often than not; this one is shared. */
const none: readonly unknown[] = Object.freeze([]);

const schemas = new Map(
  table.split('\n').map((line): [string, Schema] => {
    const [message = '', ...entries] = line.split(' ');
    const fields = entries.map(readField);
    const lists = fields.filter(({ repeated }) => repeated);
    const empty = Object.fromEntries(lists.map(({ name }) => [name, none]));
    return [message, { fields: new Map(fields.map((field) => [field.number, field])), empty }];
  }),
);

function readField(text: string): Field {
  const [, oneof, name = '', number, kind = '', star] = /^(?:(\w+)\.)?(\w+)=(\d+)(\w+)(\*?)$/.exec(text) ?? [];
  return { name, number: Number(number), kind, repeated: star === '*', oneof };
}

interface Scalar {
  readonly type: number;
  read(reader: Reader): unknown;
  write(writer: Writer, value: unknown): void;
}

function scalar<T>(type: number, read: (reader: Reader) => T, write: (writer: Writer, value: T) => void): Scalar {
  return { type, read, write: (writer, value) => write(writer, value as T) };
}

const scalars: Readonly<Record<string, Scalar>> = {
  i: scalar(
    Wire.varint,
    (reader) => reader.int64(),
    (writer, value: bigint) => writer.varint(value),
  ),
  n: scalar(
    Wire.varint,
    (reader) => reader.int32(),
    (writer, value: number) => writer.varint(value),
  ),
  f: scalar(
    Wire.fixed32,
    (reader) => reader.float(),
    (writer, value: number) => writer.float(value),
  ),
  s: scalar(
    Wire.bytes,
    (reader) => reader.string(),
    (writer, value: string) => writer.string(value),
  ),
  b: scalar(
    Wire.bytes,
    (reader) => reader.view(),
    (writer, value: Uint8Array) => writer.bytes(value),
  ),
};

/** Where a message was read from. Private: `{ ...message }` does not take it along. */
class Decoded {
  [field: string]: unknown;
  #bytes: Uint8Array | undefined;
  readonly #from: number;
  readonly #to: number;

  constructor({ bytes, at, end }: Reader) {
    this.#bytes = bytes;
    this.#from = at;
    this.#to = end;
  }

  static source(message: object): Uint8Array | undefined {
    return #bytes in message ? message.#bytes?.subarray(message.#from, message.#to) : undefined;
  }

  static forgetSource(message: object): void {
    if (#bytes in message) message.#bytes = undefined;
  }
}

/** As deep as protobuf's own readers go, onnxruntime's among them: an `If` in 33 others. */
const deepest = 100;

/** @throws PerformersError PF102 (damaged), PF110 (nested too deeply) */
export function readMessage<K extends keyof Messages>(kind: K, bytes: Uint8Array, file?: string): Messages[K] {
  // The generated types and the generated table are two renderings of one schema.
  return read(kind, new Reader(bytes, file), 0) as unknown as Messages[K];
}

function read(kind: string, reader: Reader, depth: number): Message {
  const message: Message = Object.assign(new Decoded(reader), schemaOf(kind).empty);
  readInto(message, kind, reader, depth);
  return message;
}

/** A message with the given fields, and with the lists that its type asks for. */
export function makeMessage<K extends keyof Messages>(kind: K, fields: Partial<Messages[K]>): Messages[K] {
  return { ...schemaOf(kind).empty, ...fields } as unknown as Messages[K];
}

function readInto(message: Message, kind: string, reader: Reader, depth: number): void {
  if (depth > deepest) {
    throw new PerformersError('PF110', `subgraphs or messages are nested more than ${deepest} deep`, {
      at: reader.file,
      mend: 'onnxruntime opens no such model either; export it with fewer nested subgraphs',
    });
  }
  const { fields } = schemaOf(kind);
  while (reader.at < reader.end) {
    const start = reader.at;
    const tag = reader.uint32();
    const field = fields.get(tag >>> 3);
    const type = tag & 7;
    const plain = field && scalars[field.kind];
    if (field && type === (plain?.type ?? Wire.bytes)) {
      if (plain) set(message, field, plain.read(reader));
      else reader.within(() => readInner(message, field, reader, depth + 1));
    } else if (field?.repeated && plain && type === Wire.bytes) {
      reader.repeated(tag, () => set(message, field, plain.read(reader)));
    } else {
      reader.skip(tag);
      append(message, 'unknown', reader.bytes.subarray(start, reader.at));
    }
  }
}

/** A message given twice is one whose fields are joined: so protobuf has it, and so onnxruntime reads it. */
function readInner(message: Message, field: Field, reader: Reader, depth: number): void {
  const before = field.repeated ? undefined : get(message, field);
  if (typeof before === 'object' && before !== null) {
    Decoded.forgetSource(before);
    readInto(before as Message, field.kind, reader, depth);
  } else set(message, field, read(field.kind, reader, depth));
}

function get(message: Message, { name, oneof }: Field): unknown {
  if (oneof === undefined) return message[name];
  const set = message[oneof] as { $case: string; value: unknown } | undefined;
  return set?.$case === name ? set.value : undefined;
}

function set(message: Message, { name, oneof, repeated }: Field, value: unknown): void {
  if (repeated) append(message, name, value);
  else if (oneof === undefined) message[name] = value;
  else message[oneof] = { $case: name, value };
}

function append(message: Message, name: string, value: unknown): void {
  const list = message[name] as unknown[] | undefined;
  if (list && list !== none) list.push(value);
  else message[name] = [value];
}

function schemaOf(kind: string): Schema {
  const schema = schemas.get(kind);
  if (!schema) throw new TypeError(`no message ${kind} in the schema`);
  return schema;
}

/** Chunks of an encoded message. Bytes that were read from a file are passed on as views of it. */
export function writeMessage<K extends keyof Messages>(kind: K, message: Messages[K]): readonly Uint8Array[] {
  return write(kind, message as unknown as Message).finish();
}

function write(kind: string, message: Message): Writer {
  const writer = new Writer();
  const source = Decoded.source(message);
  if (source) return writer.append(source);
  for (const field of schemaOf(kind).fields.values()) {
    const value = get(message, field);
    const values = field.repeated ? (value as unknown[]) : value === undefined ? none : [value];
    for (const value of values) {
      const plain = scalars[field.kind];
      writer.tag(field.number, plain?.type ?? Wire.bytes);
      if (plain) plain.write(writer, value);
      else writer.message(write(field.kind, value as Message));
    }
  }
  for (const field of (message.unknown as Uint8Array[] | undefined) ?? []) writer.append(field);
  return writer;
}
