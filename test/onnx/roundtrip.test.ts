/** Bytes in, bytes out: nothing is lost, weights are not copied, and onnxruntime loads the result. */
import { readdirSync, readFileSync } from 'node:fs';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { allGraphs, openModel } from '../../src/onnx/graph.js';
import { readSmall, readTensor, writeTensor } from '../../src/onnx/tensor.js';
import { graphFile, modelFile, noModels } from '../shared.js';

const graphs = readdirSync(graphFile('.')).filter((file) => file.endsWith('.onnx'));
const shipped = 'models/vit-s14-saliency/onnx/model.onnx';

/** The same message, none of it the object that was read: nothing is left that remembers its bytes. */
function madeAnew<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const copy = Array.isArray(value)
    ? value.map(madeAnew)
    : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, madeAnew(part)]));
  return copy as T;
}

describe('comes out byte for byte the same, untouched and made anew', () => {
  const same = (file: string) => {
    const bytes = readFileSync(file);
    const model = decode(bytes);
    expect(Buffer.compare(concat(encode(model)), bytes)).toBe(0);
    expect(Buffer.compare(concat(encode(madeAnew(model))), bytes)).toBe(0);
  };
  it.each(graphs)('%s', (name) => same(graphFile(name)));
  it('the model shipped', () => same(shipped));
  it.skipIf(noModels).each(['all-MiniLM-L6-v2/onnx/model.onnx', 'moonshine-tiny/onnx/decoder_model_merged.onnx'])(
    '%s',
    (name) => same(modelFile(name)),
  );
});

it('a re-encoded model loads and runs in onnxruntime', async () => {
  const bytes = concat(encode(decode(readFileSync(graphFile('vit.optimum-eager.onnx')))));
  await expect(InferenceSession.create(bytes)).resolves.toHaveProperty('inputNames', ['pixel_values']);
});

it('weights stay views of the file, in the model and in the chunks', () => {
  const bytes = readFileSync(shipped);
  const model = decode(bytes);
  const weights = model.graph?.initializer ?? [];
  const chunks = encode(madeAnew(model));
  const passedOn = chunks.filter(({ buffer }) => buffer === bytes.buffer);
  expect(weights.length).toBeGreaterThan(100);
  for (const weight of weights) {
    const end = weight.byteOffset + weight.byteLength;
    expect(weight.buffer).toBe(bytes.buffer);
    expect(
      passedOn.some((chunk) => chunk.byteOffset <= weight.byteOffset && end <= chunk.byteOffset + chunk.byteLength),
    ).toBe(true);
    expect(readTensor(weight).raw?.buffer).toBe(bytes.buffer);
  }
  const size = (parts: readonly Uint8Array[]) => parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(size(chunks) - size(passedOn)).toBeLessThan(0.02 * bytes.byteLength);
  expect(passedOn.length).toBeLessThan(2 * weights.length);
});

it('unknown fields are kept, in the model and in its nodes', () => {
  const bytes = readFileSync(graphFile('bert.optimum-eager.onnx'));
  const extra = new BinaryWriter().tag(4095, WireType.LengthDelimited).string('from the future').finish();
  const again = concat(encode(decode(concat([bytes, extra]))));
  expect(Buffer.from(again).includes(Buffer.from('from the future'))).toBe(true);
  expect(again.byteLength).toBe(bytes.byteLength + extra.byteLength);
});

it('external weights are read as references', () => {
  const model = decode(readFileSync(graphFile('bert.dynamo18-sdpa.external.onnx')));
  const outside = (model.graph?.initializer ?? []).map(readTensor).filter(({ external }) => external);
  expect(outside.length).toBeGreaterThan(5);
  for (const tensor of outside) {
    expect(tensor.external?.location).toBe('bert.dynamo18-sdpa.external.onnx_data');
    expect(tensor.raw).toBeUndefined();
    expect(readSmall(tensor)).toBeUndefined();
  }
});

describe('subgraphs', () => {
  const { graph } = openModel(decode(readFileSync(graphFile('whisper-decoder-merged.optimum-eager.onnx'))));
  it('are walked, with paths', () => {
    expect(allGraphs(graph).map(({ path }) => path)).toEqual([
      '',
      'optimum::if/else_branch',
      'optimum::if/then_branch',
    ]);
  });
  it('count as readers of what they capture', () => {
    const node = graph.nodes.find(({ opType }) => opType === 'If');
    expect(graph.consumers('encoder_hidden_states')).toContain(node);
  });
});

describe('tensors', () => {
  it.each([
    [1, new Float32Array([1.5, -2, 0])],
    [7, new BigInt64Array([3n, -4n])],
    [9, new Uint8Array([1, 0])],
  ])('type %i is written and read back', (dataType, data) => {
    const raw = new Uint8Array(data.buffer);
    const tensor = readTensor(writeTensor({ name: 'x', dataType, dims: [data.length], raw }));
    expect(tensor).toMatchObject({ name: 'x', dataType, dims: [data.length] });
    expect(readSmall(tensor)).toEqual(Array.from(data, Number));
  });
  it('elements in typed fields instead of raw_data are read', () => {
    const writer = new BinaryWriter().tag(2, WireType.Varint).int32(1).tag(1, WireType.Varint).int64(2);
    const bytes = writer.tag(4, WireType.LengthDelimited).fork().float(0.5).float(-3).join().finish();
    expect(readSmall(readTensor(bytes))).toEqual([0.5, -3]);
  });
});
