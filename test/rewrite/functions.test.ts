/** Attention within model-local functions: found where it is called, and the same numbers once it is rewritten. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import type { AttributeProto, FunctionProto, NodeProto } from '../../src/onnx/gen/onnx.js';
import { openAsWritten, openModel } from '../../src/onnx/graph.js';
import { inlineFunctions } from '../../src/onnx/inline.js';
import { makeAttribute, makeGraph, makeNode, makeValueInfo } from '../../src/onnx/message.js';
import { makeMessage, writeMessage } from '../../src/onnx/protobuf.js';
import { close, expectMutantFails } from '../close.js';

const [heads, headDim] = [3, 8];
const float = (name: string, f: number) => makeAttribute({ name, type: 1, f });
const int = (name: string, i: number) => makeAttribute({ name, type: 2, i: BigInt(i) });
const ints = (name: string, ...values: number[]) => makeAttribute({ name, type: 7, ints: values.map(BigInt) });

function node(opType: string, input: string[], output: string[], attribute: AttributeProto[] = [], domain = '') {
  return makeNode({ opType, input, output, attribute, ...(domain && { domain }) });
}

function makeFunction(fields: Partial<FunctionProto>, version = 17): Uint8Array {
  const opsetImport = [
    { domain: '', version: BigInt(version) },
    { domain: 'local', version: 1n },
  ];
  return concat(
    writeMessage('FunctionProto', makeMessage('FunctionProto', { domain: 'local', opsetImport, ...fields })),
  );
}

const attend = (version?: number) =>
  makeFunction(
    {
      name: 'Attend',
      input: ['q', 'k', 'v', 'mask'],
      output: ['y'],
      attribute: ['scale'],
      node: [
        node('Transpose', ['k'], ['t'], [ints('perm', 0, 1, 3, 2)]),
        node('MatMul', ['q', 't'], ['product']),
        node('Constant', [], ['s'], [makeAttribute({ name: 'value_float', type: 1, refAttrName: 'scale' })]),
        node('Mul', ['product', 's'], ['scores']),
        node('Softmax', ['scores'], ['p'], [int('axis', -1)]),
        node('MatMul', ['p', 'v'], ['y']),
      ],
    },
    version,
  );
/** Calls the other twice, hands an input on, and has its scale by default. */
const block = makeFunction({
  name: 'Block',
  input: ['q', 'k', 'v'],
  output: ['y', 'same'],
  attributeProto: [float('factor', 0.25)],
  node: [
    node('Attend', ['q', 'k', 'v'], ['t'], [makeAttribute({ name: 'scale', type: 1, refAttrName: 'factor' })], 'local'),
    node('Attend', ['t', 'k', 'v', ''], ['y'], [float('scale', 0.5)], 'local'),
    node('Identity', ['q'], ['same']),
  ],
});
const calls = node('Block', ['q', 'k', 'v'], ['y', 'again'], [], 'local');

function modelOf(functions: Uint8Array[], nodes: NodeProto[] = [calls]): Uint8Array {
  const four = (name: string) => makeValueInfo(name, 1, ['batch', heads, 'tokens', headDim]);
  const graph = makeGraph({
    name: 'g',
    node: nodes,
    input: ['q', 'k', 'v'].map(four),
    output: [four('y'), four('again')],
  });
  const opsetImport = [
    { domain: '', version: 17n },
    { domain: 'local', version: 1n },
  ];
  const none = { metadataProps: [], trainingInfo: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport, graph, functions, ...none }));
}

async function run(bytes: Uint8Array): Promise<Float32Array[]> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const normal = gaussians(3);
  const dims = [2, heads, 13, headDim];
  const feeds = Object.fromEntries(
    ['q', 'k', 'v'].map((name) => [
      name,
      new Tensor('float32', Float32Array.from({ length: 2 * heads * 13 * headDim }, normal), dims),
    ]),
  );
  const { y, again } = await session.run(feeds);
  return [y?.data as Float32Array, again?.data as Float32Array];
}

describe('attention within functions', () => {
  const bytes = modelOf([attend(), block]);

  it('is found at every call, with the attributes of the call', () => {
    const { sites, refusals, nearMisses } = inspect(bytes);
    expect(sites).toMatchObject([
      { heads, headDim, scale: 0.25 },
      { heads, headDim, scale: 0.5 },
    ]);
    expect([...refusals, ...nearMisses]).toEqual([]);
  });

  it('is the same once it is exact attention of our own', async () => {
    const want = await run(bytes);
    for (const plan of ['exact', 'exact-blocked:block=4']) {
      const { bytes: patched, report } = await linearize(bytes, { plan });
      expect(report.sites).toHaveLength(2);
      const got = await run(patched);
      for (const [i, output] of want.entries()) close(got[i] ?? [], output, 1e-6);
      expectMutantFails(() =>
        close(
          got[0] ?? [],
          (want[0] ?? new Float32Array()).map((x) => x * 1.01),
          1e-6,
        ),
      );
    }
  });

  it('keeps the calls, all that it takes to put them back', () => {
    const { inlined } = openModel(decode(bytes));
    expect(inlined?.calls.map(([index, { opType }]) => [index, opType])).toEqual([[0, 'Block']]);
    const added = inlined?.proto.graph?.node ?? [];
    expect(added).toHaveLength(13);
    expect(added.every(({ name }) => name?.startsWith(inlined?.prefix ?? '-'))).toBe(true);
  });
});

it('restore gives the calls back, byte for byte', async () => {
  const bytes = modelOf([attend(), block]);
  for (const plan of ['exact', 'window:window=32']) {
    const { bytes: patched, report } = await linearize(bytes, { plan });
    expect(report.sites).toHaveLength(2);
    expect(Buffer.compare(restore(patched, JSON.parse(JSON.stringify(report))), bytes)).toBe(0);
  }
});

describe('calls are left as they are', () => {
  const left = (functions: Uint8Array[], nodes?: NodeProto[]) => {
    const proto = decode(modelOf(functions, nodes));
    expect(inlineFunctions(proto)).toBeUndefined();
    expect(openModel(proto).graph.nodes).toEqual(openAsWritten(proto).graph.nodes);
  };
  it('of functions that no node calls', () =>
    left([attend()], [node('Relu', ['q'], ['y']), node('Relu', ['y'], ['again'])]));
  it('of a function of another opset', () =>
    left([attend(13)], [node('Attend', ['q', 'k', 'v'], ['y'], [float('scale', 1)], 'local')]));
  it('where the graph would grow beyond any proportion', () => {
    const doubling = Array.from({ length: 40 }, (_, i) =>
      makeFunction({
        name: `F${i}`,
        input: ['x'],
        output: ['y'],
        node: [node(`F${i + 1}`, ['x'], ['t'], [], 'local'), node(`F${i + 1}`, ['t'], ['y'], [], 'local')],
      }),
    );
    left(doubling, [node('F0', ['q'], ['y'], [], 'local')]);
  });
  it('of a function within itself', () => {
    const self = makeFunction({
      name: 'Self',
      input: ['x'],
      output: ['y'],
      node: [node('Relu', ['x'], ['t']), node('Self', ['t'], ['y'], [], 'local')],
    });
    const { inlined } = openModel(decode(modelOf([self], [node('Self', ['q'], ['y'], [], 'local')])));
    expect(inlined?.proto.graph?.node.map(({ opType }) => opType)).toEqual(['Relu', 'Self']);
  });
});
