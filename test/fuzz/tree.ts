/** An .onnx file as a tree of fields, so that a mutation deep within leaves everything around it well-formed. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

export interface Field {
  readonly number: number;
  readonly wire: number;
  /** What follows the tag: a message as its fields, all else as its bytes (without a length). */
  readonly body: Uint8Array | readonly Field[];
  /** Name of the message that `body` is. */
  readonly message?: Message;
}

/** Which fields of a message are messages themselves. */
export const messages = {
  Model: { 7: 'Graph', 8: 'Opset', 14: 'Entry', 25: 'Function' },
  Graph: { 1: 'Node', 5: 'Tensor', 11: 'ValueInfo', 12: 'ValueInfo', 13: 'ValueInfo' },
  Node: { 5: 'Attribute' },
  Attribute: { 5: 'Tensor', 6: 'Graph', 11: 'Graph' },
  Tensor: { 13: 'Entry' },
  ValueInfo: { 2: 'Type' },
  Type: { 1: 'TensorType' },
  TensorType: { 2: 'Shape' },
  Shape: { 1: 'Dimension' },
  Function: { 7: 'Node' },
  Dimension: {},
  Opset: {},
  Entry: {},
} as const satisfies Record<string, Record<number, string>>;
export type Message = keyof typeof messages;

/** Below this, messages stay bytes: the fuzzer walks its trees by recursion. */
const deepest = 200;

export function parse(bytes: Uint8Array, message: Message = 'Model', depth = 0): readonly Field[] {
  const inner: Readonly<Record<number, Message>> = messages[message];
  const reader = new BinaryReader(bytes);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const delimited = wire === WireType.LengthDelimited;
    const body = delimited ? reader.bytes() : reader.skip(wire, number);
    const name = delimited && depth < deepest ? inner[number] : undefined;
    fields.push(name ? { number, wire, body: parse(body, name, depth + 1), message: name } : { number, wire, body });
  }
  return fields;
}

/** Sizes of messages seen before: a mutation leaves nearly all of a tree as it was. */
const sizes = new WeakMap<readonly Field[], number>();

const sizeOf = (body: Field['body']): number => {
  if (body instanceof Uint8Array) return body.length;
  let size = sizes.get(body);
  if (size === undefined) {
    size = 0;
    for (const field of body) {
      const length = sizeOf(field.body);
      size += length + varintSize(tagOf(field)) + (field.wire === WireType.LengthDelimited ? varintSize(length) : 0);
    }
    sizes.set(body, size);
  }
  return size;
};

const tagOf = ({ number, wire }: Field) => number * 8 + wire;

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

export function serialize(fields: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(sizeOf(fields));
  let at = 0;
  const varint = (value: number) => {
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 128;
    bytes[at++] = rest;
  };
  const write = (list: readonly Field[]) => {
    for (const field of list) {
      varint(tagOf(field));
      if (field.wire === WireType.LengthDelimited) varint(sizeOf(field.body));
      if (field.body instanceof Uint8Array) {
        bytes.set(field.body, at);
        at += field.body.length;
      } else write(field.body);
    }
  };
  write(fields);
  return bytes;
}

/** A place in the tree: indices from the root. */
export type Path = readonly number[];

export type Wanted = (field: Field, parent: Message) => boolean;

/** Paths of all fields for which `wanted` is true, parents first. */
export function find(fields: readonly Field[], wanted: Wanted): readonly Path[] {
  const paths: Path[] = [];
  const visit = (list: readonly Field[], parent: Message, above: Path) => {
    for (const [i, field] of list.entries()) {
      const fits = wanted(field, parent);
      const message = field.body instanceof Uint8Array ? undefined : field.message;
      if (!fits && !message) continue;
      const path = [...above, i];
      if (fits) paths.push(path);
      if (message && !(field.body instanceof Uint8Array)) visit(field.body, message, path);
    }
  };
  visit(fields, 'Model', []);
  return paths;
}

export function at(fields: readonly Field[], path: Path): Field | undefined {
  const [first = 0, ...rest] = path;
  const field = fields[first];
  if (rest.length === 0 || !field || field.body instanceof Uint8Array) return field;
  return at(field.body, rest);
}

/** The tree with the field at a path replaced by others; what is not on the path is shared. */
export function replace(
  fields: readonly Field[],
  path: Path,
  by: (field: Field) => readonly Field[],
): readonly Field[] {
  const [first = 0, ...rest] = path;
  const field = fields[first];
  if (!field) return fields;
  const { body } = field;
  const changed =
    rest.length === 0
      ? by(field)
      : body instanceof Uint8Array
        ? [field]
        : [{ ...field, body: replace(body, rest, by) }];
  return [...fields.slice(0, first), ...changed, ...fields.slice(first + 1)];
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function delimited(number: number, body: Uint8Array | readonly Field[], message?: Message): Field {
  return { number, wire: WireType.LengthDelimited, body, message };
}

export function varint(number: number, value: bigint): Field {
  return { number, wire: WireType.Varint, body: new BinaryWriter().int64(value).finish() };
}
