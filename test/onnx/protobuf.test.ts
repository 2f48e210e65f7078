/** The table-driven reader and writer against the protobuf library, and on bytes that no library writes. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it, test } from 'vitest';
import { concat } from '../../src/onnx/encode.js';
import { makeAttribute, makeGraph, makeNode } from '../../src/onnx/message.js';
import { readMessage, writeMessage } from '../../src/onnx/protobuf.js';
import { readSmall, readTensor } from '../../src/onnx/tensor.js';
import { root, scratchFolder } from '../cli/performers.js';

const scratch = scratchFolder();
const written = (...of: Parameters<typeof writeMessage>) => Buffer.from(concat(writeMessage(...of))).toString('hex');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (...values: number[]) => Uint8Array.from(values);

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'nothing was thrown';
}

test('the table is what npm run proto writes', () => {
  const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
  const args = [buf, 'generate', '--template', 'buf.gen.yaml', '--output', scratch];
  execFileSync(process.execPath, args, { cwd: join(root, 'src/onnx'), stdio: 'pipe' });
  const again = readFileSync(join(scratch, 'gen/onnx.ts'), 'utf8');
  expect(again).toBe(readFileSync(join(root, 'src/onnx/gen/onnx.ts'), 'utf8'));
});

describe('every kind of field', () => {
  const { Varint, LengthDelimited, Bit32 } = WireType;
  const library = new BinaryWriter();
  library.tag(1, LengthDelimited).string('naïve 𝛑').tag(2, Bit32).float(-1.5);
  library
    .tag(3, Varint)
    .int64(-(2n ** 63n))
    .tag(4, LengthDelimited)
    .bytes(bytes(1, 2, 3));
  for (const float of [0.5, 3e38]) library.tag(7, Bit32).float(float);
  for (const int of [0n, 127n, 128n, 2n ** 49n, 2n ** 63n - 1n, -1n]) library.tag(8, Varint).int64(int);
  library.tag(20, Varint).int32(2);
  const encoded = library.finish();
  const attribute = makeAttribute({
    name: 'naïve 𝛑',
    f: -1.5,
    i: -(2n ** 63n),
    s: bytes(1, 2, 3),
    floats: [0.5, Math.fround(3e38)],
    ints: [0n, 127n, 128n, 2n ** 49n, 2n ** 63n - 1n, -1n],
    type: 2,
  });

  it('is read as the library wrote it', () => {
    expect({ ...readMessage('AttributeProto', encoded) }).toEqual(attribute);
  });
  it('is written as the library writes it', () => {
    expect(written('AttributeProto', attribute)).toBe(hex(encoded));
  });
  it('an int32 below zero takes ten bytes, as the format has it', () => {
    const type = new BinaryWriter().tag(1, Varint).int32(-7).finish();
    expect(readMessage('TypeProto_Tensor', type).elemType).toBe(-7);
    expect(written('TypeProto_Tensor', { elemType: -7 })).toBe(hex(type));
  });
  it('and a mutant is neither', () => {
    const mutant = { ...attribute, ints: attribute.ints.map((int) => (int === 128n ? 129n : int)) };
    expect({ ...readMessage('AttributeProto', encoded) }).not.toEqual(mutant);
    expect(written('AttributeProto', mutant)).not.toBe(hex(encoded));
  });
});

describe('what other writers do', () => {
  // NodeProto: op_type (4), name (3), an int packed within attribute (5), input (1): no order, and `ints` packed.
  const packed = new BinaryWriter().tag(8, WireType.LengthDelimited).fork().int64(300).int64(-1).join();
  const attribute = packed.tag(1, WireType.LengthDelimited).string('perm').finish();
  const node = new BinaryWriter();
  node.tag(4, WireType.LengthDelimited).string('Op').tag(3, WireType.LengthDelimited).string('name');
  node.tag(5, WireType.LengthDelimited).bytes(attribute).tag(1, WireType.LengthDelimited).string('x');
  // A length in more bytes than it needs, which every reader takes.
  const encoded = concat([node.finish(), bytes(0x0a, 0x81, 0x80, 0x00, 0x79)]);

  it('is understood', () => {
    const { input, opType, name, attribute } = readMessage('NodeProto', encoded);
    expect({ input, opType, name }).toEqual({ input: ['x', 'y'], opType: 'Op', name: 'name' });
    expect(attribute[0]).toMatchObject({ name: 'perm', ints: [300n, -1n] });
  });
  it('is passed on as it is within a graph made anew', () => {
    const graph = makeGraph({ name: 'g', node: [readMessage('NodeProto', encoded)] });
    expect(written('GraphProto', graph)).toBe(`0a${encoded.byteLength.toString(16)}${hex(encoded)}120167`);
  });
  it('a message made anew is written as itself, not as what it was read from', () => {
    const renamed = { ...readMessage('NodeProto', encoded), name: 'other' };
    const again = readMessage('NodeProto', concat(writeMessage('NodeProto', renamed)));
    expect({ ...again }).toMatchObject({ input: ['x', 'y'], name: 'other', opType: 'Op' });
    expect(again.attribute[0]?.ints).toEqual([300n, -1n]);
  });
  it('a message given twice is the two joined', () => {
    const half = (name: string, value: string) =>
      new BinaryWriter()
        .tag(7, WireType.LengthDelimited)
        .bytes(concat(writeMessage('GraphProto', makeGraph({ name, node: [makeNode({ name: value })] }))))
        .finish();
    const { graph } = readMessage('ModelProto', concat([half('a', 'x'), half('b', 'y')]));
    expect(graph?.name).toBe('b');
    expect(graph?.node.map(({ name }) => name)).toEqual(['x', 'y']);
    if (graph) expect(written('GraphProto', graph)).toBe(written('GraphProto', { ...graph }));
  });
  it('a known field of another wire type is kept, unread', () => {
    // name (1) as a varint.
    const { name, unknown } = readMessage('NodeProto', bytes(0x08, 0x05));
    expect({ name, unknown }).toEqual({ name: undefined, unknown: [bytes(0x08, 0x05)] });
  });
});

describe('text that is no UTF-8', () => {
  const [a, b] = [0xff, 0xfe].map((byte) => readMessage('StringStringEntryProto', bytes(0x0a, 2, 0x61, byte)));
  it('stays two names where it is two', () => {
    expect(a.key).not.toBe(b.key);
  });
  it.each([
    ['broken', [0x61, 0xff, 0x80]],
    ['cut short', [0xe2, 0x82]],
    ['a surrogate', [0xed, 0xb2, 0x80]],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61]],
    ['beyond 16 bits', [0xf0, 0x9d, 0x9b, 0x91]],
  ])('comes back from a message made anew: %s', (_, text) => {
    const encoded = bytes(0x0a, text.length, ...text);
    expect(written('StringStringEntryProto', { ...readMessage('StringStringEntryProto', encoded) })).toBe(hex(encoded));
  });
});

describe('damage is PF102', () => {
  it.each([
    ['breaks off', 'a length beyond the end', [0x0a, 5, 0x61]],
    ['breaks off', 'a varint without end', [0x08, 0x80]],
    ['breaks off', 'a float of 3 bytes', [0x15, 0, 0, 0]],
    ['more than 10 bytes', 'a varint of 11 bytes', [0x18, ...new Array(10).fill(0x80), 0]],
    ['above 32 bits', 'a length of 2⁶³', [0x0a, ...new Array(9).fill(0xff), 0x01]],
    ['field number 0', 'a tag of 0', [0x02, 0]],
    ['no field can begin', 'wire type 7', [0x0f]],
    ['no field can begin', 'the end of a group that did not begin', [0x0c]],
    ['no field can begin', 'a group that ends as another', [0x83, 0x08, 0x8c, 0x08]],
    ['breaks off', 'a group without end', [0x83, 0x08]],
  ])('%s: %s', (what, _, damaged) => {
    const message = messageOf(() => readMessage('AttributeProto', bytes(...damaged), 'a.onnx'));
    expect(message).toMatch(/^PF102 {2}the model is truncated or damaged: .*\n {2}at {3}a\.onnx\n {2}mend /);
    expect(message).toContain(what);
  });
  it('a message that reads past the one around it', () => {
    // A node of 2 bytes whose name claims 3, with more bytes of the graph behind it.
    expect(messageOf(() => readMessage('GraphProto', bytes(0x0a, 2, 0x1a, 3, 0x61, 0x61, 0x61)))).toContain('PF102');
  });
  it('packed numbers that do not fill their length', () => {
    expect(messageOf(() => readMessage('AttributeProto', bytes(0x42, 1, 0x80, 0)))).toContain('PF102');
  });
});

describe('depth', () => {
  const nested = (levels: number) => {
    let graph: Uint8Array = new Uint8Array();
    const wrap = (field: number, inner: Uint8Array) =>
      new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(inner).finish();
    // graph.node.attribute.g
    for (let i = 0; i < levels; i++) graph = wrap(1, wrap(5, wrap(6, graph)));
    return graph;
  };
  it('33 subgraphs within one another are read, as onnxruntime reads them', () => {
    expect(messageOf(() => readMessage('GraphProto', nested(33)))).toBe('nothing was thrown');
  });
  it.each([34, 10_000])('PF110: %i are not', (levels) => {
    expect(messageOf(() => readMessage('GraphProto', nested(levels)))).toMatchInlineSnapshot(`
      "PF110  subgraphs or messages are nested more than 100 deep
        at   model
        mend onnxruntime opens no such model either; export it with fewer nested subgraphs"
    `);
  });
  it('unknown groups may nest a million times', () => {
    const groups = new Uint8Array(4_000_000);
    for (let i = 0; i < 1_000_000; i++) {
      groups.set([0x83, 0x08], 2 * i);
      groups.set([0x84, 0x08], 4_000_000 - 2 * i - 2);
    }
    expect(readMessage('NodeProto', groups).unknown).toHaveLength(1);
  });
});

describe('tensors', () => {
  it('sizes may be packed, elements too', () => {
    const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).fork().int64(2).int64(1).join();
    const tensor = writer
      .tag(2, WireType.Varint)
      .int32(7)
      .tag(7, WireType.Varint)
      .int64(5)
      .tag(7, WireType.Varint)
      .int64(-6);
    expect(readSmall(readTensor(tensor.finish()))).toEqual([5, -6]);
  });
  it('PF109: a size below zero', () => {
    const tensor = new BinaryWriter()
      .tag(1, WireType.Varint)
      .int64(-2)
      .tag(8, WireType.LengthDelimited)
      .string('w')
      .finish();
    expect(messageOf(() => readTensor(tensor))).toMatchInlineSnapshot(`
      "PF109  the graph is not valid ONNX: a size of -2 in tensor 'w'
        at   a tensor
        mend onnx.checker.check_model shows what is wrong; export the model again"
    `);
  });
  it('a size that no memory holds is read as one, and its elements are not', () => {
    const huge = new BinaryWriter()
      .tag(1, WireType.Varint)
      .int64(2n ** 63n - 1n)
      .finish();
    expect(readTensor(huge).dims).toEqual([2 ** 63]);
    expect(readSmall(readTensor(huge))).toBeUndefined();
  });
});
