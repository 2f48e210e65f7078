/** What is done to a file: each mutation takes numbers, so that a case is data that fast-check can shrink and print. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  at,
  delimited,
  type Field,
  find,
  type Message,
  type Path,
  parse,
  replace,
  serialize,
  text,
  varint,
  type Wanted,
} from './tree.js';

export interface File {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

export interface Numbers {
  /** Which of the places that fit. */
  readonly place: number;
  /** What is put there. */
  readonly value: number;
  /** How much, how often. */
  readonly size: number;
}

type Mutation = (fields: readonly Field[], numbers: Numbers, others: readonly File[]) => readonly Field[] | Uint8Array;

const extremes = [
  0n,
  1n,
  -1n,
  2n,
  5n,
  64n,
  2n ** 31n,
  2n ** 31n - 1n,
  -(2n ** 31n),
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const strings = [
  ...[
    '',
    'performers/MatMul_0',
    '__proto__',
    'constructor',
    'x'.repeat(5000),
    '\0',
    '../../etc/passwd',
    '/etc/passwd',
    'a/../b',
  ],
  ...['-1', '1e400', 'NaN', '18446744073709551616', 'ai.onnx', 'com.microsoft', 'ij,jk->ik', '...', '→', '🜏'],
];
const operators = [
  'Softmax',
  'MatMul',
  'Reshape',
  'Transpose',
  'Einsum',
  'If',
  'Loop',
  'Constant',
  'Shape',
  'Slice',
  'Concat',
  'Expand',
];

const anything: Wanted = () => true;
const isText: Wanted = (field: Field, parent: Message) =>
  field.wire === WireType.LengthDelimited && !field.message && !(parent === 'Tensor' && field.number === 9);
const predicates = new Map<string, Wanted>();

/** One function for one question, by which the answers are kept. */
function is(message: Message, ...numbers: number[]): Wanted {
  const key = `${message} ${numbers}`;
  const known: Wanted =
    predicates.get(key) ?? ((field, parent) => parent === message && numbers.includes(field.number));
  predicates.set(key, known);
  return known;
}

/** Where the fields are that fit, looked up once a tree: nearly all cases begin with the same ones. */
const found = new WeakMap<readonly Field[], Map<Wanted, readonly Path[]>>();

function places(fields: readonly Field[], wanted: Wanted): readonly Path[] {
  const known = found.get(fields) ?? new Map<Wanted, readonly Path[]>();
  found.set(fields, known);
  const paths = known.get(wanted) ?? find(fields, wanted);
  known.set(wanted, paths);
  return paths;
}

/** Changes one of the fields that fit; nothing, where none does. */
function change(
  wanted: Wanted,
  by: (field: Field, numbers: Numbers, fields: readonly Field[]) => readonly Field[],
): Mutation {
  return (fields, numbers) => {
    const path = pick(places(fields, wanted), numbers.place);
    return path ? replace(fields, path, (field) => by(field, numbers, fields)) : fields;
  };
}

function pick<T>(list: readonly T[], index: number): T | undefined {
  return list[index % Math.max(1, list.length)];
}

/** Bytes that depend on a number, and on nothing else. */
function noise(seed: number, length: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return state >>> 24;
  });
}

/** Something of the same kind from elsewhere in the file. */
const other = (wanted: Wanted) =>
  change(wanted, (field, { value }, fields) => {
    const path = pick(places(fields, wanted), value);
    const found = path && at(fields, path);
    return [found ? { ...field, body: found.body } : field];
  });

/** Repeats without a copy of each: 10⁵ of a field are 10⁵ references to it. */
const times = ({ size }: Numbers) => (size % 997 === 0 ? 100_000 : size % 97 === 0 ? 10_000 : 2 + (size % 40));

/** `graph` within so many `If`, built from the inside in one pass: recursion would meet the stack's end before the reader. */
function wrap(levels: number, graph: Uint8Array): Uint8Array {
  const before: Uint8Array[] = [];
  const after: Uint8Array[] = [];
  let length = graph.length;
  const around = (number: number, head: Uint8Array, tail: Uint8Array) => {
    length += head.length + tail.length;
    const prefix = new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(length).finish();
    before.push(head, prefix);
    after.push(tail);
    length += prefix.length;
  };
  const none = new Uint8Array();
  const name = serialize([delimited(1, text('then_branch'))]);
  const node = serialize([delimited(1, text('condition')), delimited(2, text('deep')), delimited(4, text('If'))]);
  const output = serialize([delimited(12, [delimited(1, text('deep'))], 'ValueInfo')]);
  for (let i = 0; i < levels; i++) {
    around(6, none, none);
    around(5, name, none);
    around(1, node, none);
    after.push(output);
    length += output.length;
  }
  return Buffer.concat([...before.reverse(), graph, ...after]);
}

function aFunction(name: string, calls: string): Field {
  const node = delimited(
    7,
    [delimited(1, text('x')), delimited(2, text('y')), delimited(4, text(calls)), delimited(7, text('own'))],
    'Node',
  );
  return delimited(
    25,
    [delimited(1, text(name)), delimited(4, text('x')), delimited(5, text('y')), node, delimited(10, text('own'))],
    'Function',
  );
}

export const mutations = {
  // Bytes, blind to structure.
  flipBits(fields, { place, value, size }) {
    const bytes = serialize(fields);
    for (let i = 0; i <= size % 8; i++)
      bytes[(place + i * (value | 1)) % bytes.length] ^= 1 << ((value >>> (i * 3)) % 8);
    return bytes;
  },
  truncate: (fields, { place }) => {
    const bytes = serialize(fields);
    return bytes.subarray(0, place % bytes.length);
  },
  overwrite(fields, { place, value, size }) {
    const bytes = serialize(fields);
    const from = place % bytes.length;
    bytes.set(noise(value, size % 64).subarray(0, bytes.length - from), from);
    return bytes;
  },
  endlessVarint(fields, { place, size }) {
    const bytes = serialize(fields);
    return bytes.fill(0xff, place % bytes.length, (place % bytes.length) + (size % 12));
  },
  spliceBytes(fields, { place, value, size }, others) {
    const bytes = serialize(fields);
    const from = pick(others, value)?.bytes ?? bytes;
    const cut = from.subarray(value % from.length, (value % from.length) + (size % 4096));
    const where = place % bytes.length;
    return Buffer.concat([bytes.subarray(0, where), cut, bytes.subarray(where)]);
  },
  // Fields, whatever they mean.
  remove: change(anything, () => []),
  repeat: change(
    (field) => serializedSize(field) < 200,
    (field, numbers) => new Array<Field>(times(numbers)).fill(field),
  ),
  repeatLarge: change(anything, (field, { size }) => new Array<Field>(1 + (size % 4)).fill(field)),
  renumber: change(anything, (field, { value }) => [{ ...field, number: 1 + (value % 30) }]),
  rewire: change(anything, (field, { value }) => [{ ...field, wire: value % 6 }]),
  content: change(
    ({ message }) => !message,
    (field, { value, size }) => [{ ...field, body: noise(value, field.wire === WireType.Varint ? 1 : size % 40) }],
  ),
  swapContent: other(anything),
  graft: (fields, { place, value }, others) => {
    const from = pick(others, value)?.fields ?? fields;
    const wanted = is('Graph', 1, 5, 11, 12, 13);
    const path = pick(places(from, wanted), value);
    const field = path && at(from, path);
    const target = pick(places(fields, wanted), place);
    return field && target ? replace(fields, target, (old) => [old, field]) : fields;
  },
  shuffle: change(is('Model', 7), (field, { value }) => {
    if (field.body instanceof Uint8Array) return [field];
    const order = field.body.map((entry, i) => ({ entry, key: Math.imul(i + 1, value | 1) >>> 0 }));
    return [{ ...field, body: order.sort((a, b) => a.key - b.key).map(({ entry }) => entry) }];
  }),
  // Graphs: edges, names, operators.
  dangling: change(is('Node', 1), (field) => [{ ...field, body: text('nowhere') }]),
  edge: (fields, { place, value }) => {
    const [from, to] = [places(fields, is('Node', 2)), places(fields, is('Node', 1))];
    const output = pick(from, value);
    const input = pick(to, place);
    const source = output && at(fields, output);
    return input && source ? replace(fields, input, (field) => [{ ...field, body: source.body }]) : fields;
  },
  loopback: change(is('Graph', 1), (field) => {
    if (field.body instanceof Uint8Array) return [field];
    const output = field.body.find(({ number }) => number === 2);
    return [
      { ...field, body: field.body.map((part) => (part.number === 1 && output ? { ...output, number: 1 } : part)) },
    ];
  }),
  sameName: other(is('Node', 2, 3)),
  sameValue: other(
    (field, parent) =>
      is('Node', 1, 2)(field, parent) || is('ValueInfo', 1)(field, parent) || is('Tensor', 8)(field, parent),
  ),
  operator: change(is('Node', 4), (field, { value }) => [{ ...field, body: text(pick(operators, value) ?? '') }]),
  anyString: change(isText, (field, { value }) => [{ ...field, body: text(pick(strings, value) ?? '') }]),
  notUtf8: change(isText, (field, { value, size }) => [
    { ...field, body: noise(value, 1 + (size % 20)).map((byte) => byte | 0x80) },
  ]),
  manyNodes: change(is('Graph', 1), (field, numbers) => new Array<Field>(Math.min(times(numbers), 10_000)).fill(field)),
  // Numbers: sizes, axes, types.
  number: change(
    ({ wire }) => wire === WireType.Varint,
    (field, { value }) => [varint(field.number, pick(extremes, value) ?? 0n)],
  ),
  tensorSize: change(is('Tensor', 1), (_, { value }) => [varint(1, pick(extremes, value) ?? 0n)]),
  tensorType: change(is('Tensor', 2), (_, { value }) => [varint(2, BigInt(value % 30))]),
  manySizes: change(is('Tensor', 1), (field, { size }) => new Array<Field>([2, 20, 2000][size % 3] ?? 2).fill(field)),
  noElements: change(is('Tensor', 9), (field, { size }) => [{ ...field, body: new Uint8Array(size % 9) }]),
  attributeType: change(is('Attribute', 20), (_, { value }) => [varint(20, BigInt(value % 16))]),
  integers: change(is('Attribute', 8), (_, { value, size }) =>
    Array.from({ length: size % 6 }, (_, i) => varint(8, pick(extremes, value + i * size) ?? 0n)),
  ),
  opset: change(is('Opset', 2), (_, { value }) => [varint(2, BigInt(value % 30))]),
  // Nesting.
  deepIf: (fields, { place, size }) => {
    const path = pick(places(fields, is('Model', 7)), place);
    const levels = size % 97 === 0 ? 10_000 : ([1, 2, 10, 31, 33][size % 5] ?? 1);
    const inner = path && at(fields, path);
    if (!inner) return fields;
    const deep = wrap(levels, serialize(asFields(inner).slice(0, 3)));
    return replace(fields, path, (graph) => [{ ...graph, body: Buffer.concat([serialize(asFields(graph)), deep]) }]);
  },
  selfGraph: (fields, { place, size }) => {
    // The graph within one of its own nodes, a few times: what it captures it also computes.
    const graph = fields.find(({ number }) => number === 7);
    const path = pick(places(fields, is('Graph', 1)), place);
    if (!graph || !path) return fields;
    const branches = Array.from({ length: 1 + (size % 3) }, (_, i) =>
      delimited(
        5,
        [delimited(1, text(['then_branch', 'else_branch', 'body'][i] ?? '')), { ...graph, number: 6 }],
        'Attribute',
      ),
    );
    return replace(fields, path, (node) => [{ ...node, body: [...asFields(node), ...branches] }]);
  },
  functions: (fields) => [...fields, aFunction('F', 'G'), aFunction('G', 'F'), aFunction('Self', 'Self')],
  // Weights in other files.
  external: change(is('Graph', 5), (field, { value, size }) => {
    const entry = (key: string, text_: string) =>
      delimited(13, [delimited(1, text(key)), delimited(2, text(text_))], 'Entry');
    const entries = [
      entry('location', pick(strings, value) ?? ''),
      entry('offset', pick(strings, size) ?? ''),
      entry('length', '-7'),
    ];
    return [{ ...field, body: [...asFields(field).filter(({ number }) => number !== 9), ...entries, varint(14, 1n)] }];
  }),
} satisfies Record<string, Mutation>;

export type MutationName = keyof typeof mutations;

function asFields({ body }: Field): readonly Field[] {
  return body instanceof Uint8Array ? [] : body;
}

function serializedSize({ body }: Field): number {
  return body instanceof Uint8Array ? body.length : body.reduce((sum, field) => sum + 4 + serializedSize(field), 0);
}

/** One mutation after another; those that work on fields give up once the bytes are no tree any more. */
export function mutate(
  file: File,
  edits: readonly (Numbers & { name: MutationName })[],
  others: readonly File[],
): Uint8Array {
  let state: readonly Field[] | Uint8Array = file.fields;
  for (const { name, ...numbers } of edits) {
    if (state instanceof Uint8Array) {
      const bytes: Uint8Array = state;
      try {
        state = parse(bytes);
      } catch {
        return bytes;
      }
    }
    const mutation: Mutation = mutations[name];
    state = mutation(state, numbers, others);
  }
  return state instanceof Uint8Array ? state : serialize(state);
}
