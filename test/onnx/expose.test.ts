import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { inspect } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { exposeValues, extractValues } from '../../src/onnx/expose.js';

const bytes = readFileSync('models/vit-s14-saliency/onnx/model.onnx');
const [context = ''] = inspect(bytes).sites.map(({ operands }) => operands.context.value);
const names = (model: ReturnType<typeof decode>) => model.graph?.output.map(({ name }) => name);

test('a value within the model comes out beside the outputs, which stay as they were', async () => {
  const pixels = {
    type: 'float32',
    dims: [1, 3, 56, 56],
    data: Float32Array.from({ length: 3 * 56 ** 2 }, (_, i) => Math.sin(i)),
  };
  const run = async (model: Uint8Array) => {
    const session = await sessionFactory(ort)(model);
    const outputs = await session.run({ pixel_values: pixels });
    await session.release();
    return outputs;
  };
  const plain = await run(bytes);
  const { [context]: exposed, ...rest } = await run(concat(encode(exposeValues(decode(bytes), [context]))));
  expect(rest).toEqual(plain);
  // 4 × 4 patches and the class token; 6 heads of 64, in the layout that the site names.
  expect(exposed?.dims).toEqual([1, 6, 17, 64]);
});

test('nothing else of the model changes, and the given one stays as it is', () => {
  const model = decode(bytes);
  const before = concat(encode(model));
  const exposed = exposeValues(model, [context, context, 'predicted_depth']);
  expect(names(exposed)).toEqual(['predicted_depth', 'last_hidden_state', context]);
  // Byte by byte: 28 MB are too much for toEqual.
  expect(Buffer.compare(concat(encode(model)), before)).toBe(0);
  expect(exposed.graph?.node === model.graph?.node).toBe(true);
});

test.each(['', 'no such value'])('%j is refused', (name) => {
  expect(() => exposeValues(decode(bytes), [name])).toThrow(`the main graph computes no value '${name}'`);
});

test('the part that computes a value gives the same value, and is a part', async () => {
  const pixels = {
    type: 'float32',
    dims: [1, 3, 56, 56],
    data: Float32Array.from({ length: 3 * 56 ** 2 }, (_, i) => Math.cos(i)),
  };
  const model = decode(bytes);
  const part = extractValues(model, [context]);
  expect(names(part)).toEqual([context]);
  expect(part.graph?.node.length).toBeLessThan((model.graph?.node.length ?? 0) / 3);
  expect(part.graph?.initializer.length).toBeLessThan((model.graph?.initializer.length ?? 0) / 3);
  const run = async (file: Uint8Array) => {
    const session = await sessionFactory(ort)(file);
    const outputs = await session.run({ pixel_values: pixels });
    await session.release();
    return outputs[context];
  };
  expect(await run(concat(encode(part)))).toEqual(await run(concat(encode(exposeValues(model, [context])))));
  expect(() => extractValues(model, ['no such value'])).toThrow(/no value 'no such value'/);
});
