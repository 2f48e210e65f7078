/** Every dtype and container: what is rewritten is attention alone, and what restore gives is the file that was. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeAttribute, makeNode } from '../../src/onnx/message.js';
import { readTensor } from '../../src/onnx/tensor.js';
import { delimited, type Field, parse, serialize, text, varint } from '../fuzz/tree.js';
import { graphFile } from '../shared.js';

const read = (name: string) => new Uint8Array(readFileSync(graphFile(name)));
const bert = read('bert.optimum-eager.onnx');

/** Rewrites and restores; the rewritten model. */
async function thereAndBack(bytes: Uint8Array, sites?: number) {
  const { bytes: patched, report } = await linearize(bytes, { plan: 'exact' });
  if (sites !== undefined) expect(report.sites).toHaveLength(sites);
  expect(Buffer.compare(restore(patched, JSON.parse(JSON.stringify(report))), bytes)).toBe(0);
  return decode(patched);
}

/** Operators and element types of a model, without those of attention: the neighbours that a rewrite must leave alone. */
function neighbours(model: ReturnType<typeof decode>): string[] {
  const kept = /Linear|Quantize|MatMulNBits|MatMulInteger|LayerNorm|Bnb4/;
  return (model.graph?.node ?? [])
    .filter(({ opType = '', name = '' }) => kept.test(opType) && !name.startsWith('performers'))
    .map(({ opType, name }) => `${opType} ${name}`);
}

describe('files of exporters', () => {
  it.each([
    ['fp32', 'bert.optimum-eager.onnx', 2],
    ['fp16', 'bert.optimum-eager.fp16.onnx', 2],
    ['int8, dynamic', 'bert.optimum-eager.int8.onnx', 2],
    ['QDQ', 'vit.optimum-eager.qdq.onnx', undefined],
    ['q4', 'llama.optimum-eager-past.q4.onnx', undefined],
    ['q4f16', 'llama.genai-gqa-q4f16.onnx', undefined],
    ['external data', 'bert.dynamo18-sdpa.external.onnx', 2],
    ['weights in Constant nodes', 'bert.torchscript15-constants.onnx', 2],
    ['opset 11', 'bert.optimum13-opset11.onnx', 2],
    ['opset 23', 'bert.dynamo23-sdpa.onnx', 2],
  ])('%s', async (_, name, sites) => {
    const bytes = read(name);
    const model = await thereAndBack(bytes, sites);
    // What quantises the scores goes with them; they are not computed any more.
    const ofScores = /attention\/(MatMul|Mul|Softmax|Cast_1)_output_0_(Quantize|Dequantize)Linear$/;
    expect(neighbours(model)).toEqual(neighbours(decode(bytes)).filter((line) => !ofScores.test(line)));
  });

  it('weights keep their bytes, whatever their type', async () => {
    for (const name of readdirSync(graphFile('.')).filter((file) => /fp16|int8|qdq|q4|int4|external/.test(file))) {
      if (!name.endsWith('.onnx')) continue;
      const bytes = read(name);
      const { bytes: patched } = await linearize(bytes, { plan: 'exact' });
      const after = new Set(
        (decode(patched).graph?.initializer ?? []).map((tensor) => Buffer.from(tensor).toString('hex')),
      );
      for (const tensor of decode(bytes).graph?.initializer ?? []) {
        expect(after.has(Buffer.from(tensor).toString('hex')), `${name}: ${readTensor(tensor).name}`).toBe(true);
      }
    }
  });
});

describe('generated', () => {
  const withModelField = (change: (fields: readonly Field[]) => readonly Field[]) => serialize(change(parse(bert)));

  it.each([3n, 4n, 7n, 8n, 10n, 11n])('IR %i', async (version) => {
    const bytes = withModelField((fields) => fields.map((field) => (field.number === 1 ? varint(1, version) : field)));
    const model = await thereAndBack(bytes, 2);
    // Constants that are no inputs came with IR 4.
    expect(model.irVersion).toBe(version < 4n ? 4n : version);
  });

  it.each([7n, 9n, 11n, 13n, 17n, 18n, 21n, 24n])(
    'opset %i: read, and either rewritten or left, never broken',
    async (opset) => {
      const bytes = withModelField((fields) =>
        fields.map((field) =>
          field.number === 8 ? delimited(8, [delimited(1, text('')), varint(2, opset)], 'Opset') : field,
        ),
      );
      const model = await thereAndBack(bytes);
      expect(model.opsetImport.find(({ domain = '' }) => domain === '')?.version).toBe(opset);
    },
  );

  it('ai.onnx.ml, unknown domains, metadata and unknown fields are there afterwards, byte for byte', async () => {
    const model = decode(bert);
    const graph = model.graph;
    if (!graph) throw new Error('no graph');
    const stranger = makeNode({
      name: 'stranger',
      opType: 'Oracle',
      domain: 'org.example',
      input: ['input_ids'],
      output: ['answer'],
      attribute: [makeAttribute({ name: 'table', type: 4, t: text('not even a tensor') })],
      unknown: [serialize([delimited(77, text('in the node'))])],
    });
    const label = makeNode({
      name: 'label',
      opType: 'LabelEncoder',
      domain: 'ai.onnx.ml',
      input: ['input_ids'],
      output: ['l'],
    });
    const bytes = concat(
      encode({
        ...model,
        opsetImport: [
          ...model.opsetImport,
          { domain: 'ai.onnx.ml', version: 3n },
          { domain: 'org.example', version: 1n },
        ],
        metadataProps: [...model.metadataProps, { key: 'key', value: 'välue' }],
        functions: [text('not even a function')],
        graph: {
          ...graph,
          node: [stranger, label, ...graph.node],
          unknown: [serialize([delimited(99, text('in the graph'))])],
        },
        unknown: [serialize([delimited(4095, text('in the model'))])],
      }),
    );
    const { bytes: patched } = await linearize(bytes, { plan: 'exact' });
    const after = Buffer.from(patched);
    for (const kept of [
      'not even a tensor',
      'in the node',
      'not even a function',
      'in the graph',
      'in the model',
      'välue',
    ])
      expect(after.includes(kept), kept).toBe(true);
    await thereAndBack(bytes, 2);
  });

  it('external data over several files, with offsets, is referred to as before', async () => {
    const place = (field: Field, i: number): Field => {
      const parts = field.body instanceof Uint8Array ? [] : field.body;
      const entry = (key: string, value: string) =>
        delimited(13, [delimited(1, text(key)), delimited(2, text(value))], 'Entry');
      const where = [entry('location', `part-${i % 3}.bin`), entry('offset', String(4096 * i)), entry('length', '64')];
      return { ...field, body: [...parts.filter(({ number }) => number !== 9), ...where, varint(14, 1n)] };
    };
    const bytes = withModelField((fields) =>
      fields.map((field) => {
        if (field.number !== 7 || field.body instanceof Uint8Array) return field;
        let count = 0;
        const heavy = (part: Field) =>
          part.number === 5 &&
          !(part.body instanceof Uint8Array) &&
          part.body.some(({ number, body }) => number === 9 && body.length > 512);
        return { ...field, body: field.body.map((part) => (heavy(part) ? place(part, count++) : part)) };
      }),
    );
    const model = await thereAndBack(bytes, 2);
    const outside = (model.graph?.initializer ?? []).map(readTensor).filter(({ external }) => external);
    expect(outside.length).toBeGreaterThan(5);
    expect(new Set(outside.map(({ external }) => external?.location)).size).toBe(3);
    expect(outside[2]?.external).toEqual({ location: 'part-2.bin', offset: '8192', length: '64' });
  });
});
