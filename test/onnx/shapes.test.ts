/** Inferred shapes against the ones onnxruntime computes: every value of a graph is made an output and run. */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { builder, constantPool } from '../../src/onnx/build.js';
import { decode } from '../../src/onnx/decode.js';
import { type Dim, toNumber } from '../../src/onnx/dims.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { exposeValues } from '../../src/onnx/expose.js';
import { openModel } from '../../src/onnx/graph.js';
import { makeGraph, makeModel, makeValueInfo } from '../../src/onnx/message.js';
import { inferShapes } from '../../src/onnx/shapes.js';
import { graphFile } from '../shared.js';

/** Value of a dim once the sizes of the inputs are known; undefined when it holds an unknown of its own. */
function evaluate({ terms }: Dim, sizes: ReadonlyMap<string, number>): number | undefined {
  let sum = 0;
  for (const [monomial, coefficient] of terms) {
    let product = coefficient;
    for (const factor of monomial ? monomial.split('*') : []) {
      const size = sizes.get(factor);
      if (size === undefined) return undefined;
      product *= size;
    }
    sum += product;
  }
  return sum;
}

const files = [
  'bert.optimum-eager',
  'bert.optimum-sdpa',
  'bert.optimum13-opset11',
  'bert.torchscript15-constants',
  'bert.dynamo23-sdpa',
  'vit.optimum-eager',
  'whisper-encoder.optimum-eager',
  'distilbert.optimum-eager',
  'modernbert.optimum-sdpa',
  'gpt2.optimum-sdpa-past',
  'llama.optimum-sdpa-past',
  'clip.optimum-sdpa',
  'segformer.optimum-eager',
  'swin.optimum-eager',
];

/** Strided convolutions whose size does not divide give sizes of their own. */
const leastKnown: Readonly<Record<string, number>> = { 'segformer.optimum-eager': 0.6, 'swin.optimum-eager': 0.75 };

describe.each(files)('%s', (name) => {
  it('no inferred size is wrong, and most are known', async () => {
    const proto = decode(readFileSync(graphFile(`${name}.onnx`)));
    const model = openModel(proto);
    const shapes = inferShapes(model);
    const values = model.graph.nodes.flatMap(({ output }) => output).filter((value) => value);
    const floats = values.filter((value) => [1, 7].includes(shapes(model.graph, value).elemType));
    const exposed = exposeValues({ ...proto, graph: proto.graph && { ...proto.graph, valueInfo: [] } }, floats);
    const session = await InferenceSession.create(concat(encode(exposed)), {
      logSeverityLevel: 3,
      graphOptimizationLevel: 'disabled',
    });

    const io = JSON.parse(readFileSync(graphFile(`${name}.io.json`), 'utf8'));
    const feeds: Record<string, Tensor> = {};
    const sizes = new Map<string, number>();
    for (const [input, { type, dims, data }] of Object.entries<{ type: string; dims: number[]; data: number[] }>(
      io.inputs,
    )) {
      feeds[input] =
        type === 'int64'
          ? new Tensor('int64', BigInt64Array.from(data, BigInt), dims)
          : new Tensor('float32', Float32Array.from(data), dims);
      for (const [axis, dim] of (shapes(model.graph, input).shape ?? []).entries()) {
        if (toNumber(dim) === undefined) sizes.set(dim.key.replace(/^1\*/, ''), dims[axis] ?? 0);
      }
    }
    const outputs = await session.run(feeds);
    let known = 0;
    let asked = 0;
    for (const value of floats) {
      const { shape, data } = shapes(model.graph, value);
      const got = outputs[value];
      if (!got) continue;
      asked += 1;
      const sized = shape?.map((dim) => evaluate(dim, sizes));
      if (!sized?.every((size) => size !== undefined)) continue;
      known += 1;
      expect(sized, value).toEqual(got.dims);
      for (const [i, dim] of (data ?? []).entries()) {
        const want = dim && evaluate(dim, sizes);
        if (want !== undefined) expect(Number(got.data[i]), `${value}[${i}]`).toBeCloseTo(want, 3);
      }
    }
    expect(known / asked).toBeGreaterThan(leastKnown[name] ?? 0.9);
  });
});

it.each([
  { batch_dims: 0, index: [2, 2], want: [2, 5, 6] },
  { batch_dims: 2, index: [3, 4, 7, 1], want: [3, 4, 7, 6] },
])('GatherND with batch_dims $batch_dims', async ({ batch_dims, index, want }) => {
  const build = builder(17, 't/', constantPool('t/'));
  const result = build.op('GatherND', ['x', 'index'], { batch_dims });
  const input = [makeValueInfo('x', 1, ['batch', 4, 5, 6]), makeValueInfo('index', 7, ['indices', ...index.slice(1)])];
  const output = [makeValueInfo(result, 1, want)];
  const proto = makeModel(makeGraph({ name: 'g', node: [...build.nodes], input, output }), 17);
  const model = openModel(proto);
  const { shape } = inferShapes(model)(model.graph, result);
  expect(shape?.map((dim) => evaluate(dim, new Map([['indices', index[0]]])))).toEqual(want);
  const session = await InferenceSession.create(concat(encode(proto)), { logSeverityLevel: 3 });
  const size = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
  const { [result]: got } = await session.run({
    x: new Tensor('float32', new Float32Array(3 * 4 * 5 * 6), [3, 4, 5, 6]),
    index: new Tensor('int64', new BigInt64Array(size(index)), index),
  });
  expect(got.dims).toEqual(want);
});
