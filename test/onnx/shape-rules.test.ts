/** Shape rules one by one, against the shapes that onnxruntime computes at two sizes; what is not known is not judged. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/onnx/decode.js';
import { type Dim, minimum, symbol, toNumber } from '../../src/onnx/dims.js';
import { concat, encode } from '../../src/onnx/encode.js';
import type { NodeProto } from '../../src/onnx/gen/onnx.js';
import { openModel } from '../../src/onnx/graph.js';
import { makeAttribute, makeGraph, makeNode, makeValueInfo } from '../../src/onnx/message.js';
import { inferShapes } from '../../src/onnx/shapes.js';

type Attributes = Readonly<Record<string, number | string | readonly number[]>>;

function node(opType: string, input: readonly string[], output: string, attributes: Attributes = {}): NodeProto {
  const attribute = Object.entries(attributes).map(([name, value]) => {
    if (typeof value === 'number') return makeAttribute({ name, type: 2, i: BigInt(value) });
    if (typeof value === 'string') return makeAttribute({ name, type: 3, s: new TextEncoder().encode(value) });
    return makeAttribute({ name, type: 7, ints: value.map(BigInt) });
  });
  return makeNode({ opType, input: [...input], output: [output], attribute });
}
const ints = (output: string, ...values: number[]) => node('Constant', [], output, { value_ints: values });

/** x [batch,8,rows,12]; the value to judge is y. */
function modelOf(nodes: readonly NodeProto[], rank: number): Uint8Array {
  const graph = makeGraph({
    name: 'g',
    node: [...nodes],
    input: [makeValueInfo('x', 1, ['batch', 8, 'rows', 12])],
    output: [makeValueInfo('y', 1, new Array<undefined>(rank).fill(undefined))],
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: 17n }], graph, ...none }));
}

const weight = (...dims: number[]) => [ints('w/dims', ...dims), node('ConstantOfShape', ['w/dims'], 'w')];

/** Nodes, and how many of the sizes of y must be known. */
const cases: Readonly<Record<string, readonly [known: number, nodes: readonly NodeProto[]]>> = {
  'Conv, same size': [4, [...weight(6, 8, 3, 3), node('Conv', ['x', 'w'], 'y', { pads: [1, 1, 1, 1] })]],
  'Conv, stride that leaves a rest': [3, [...weight(6, 8, 3, 3), node('Conv', ['x', 'w'], 'y', { strides: [2, 2] })]],
  'Conv, SAME_UPPER': [2, [...weight(6, 8, 3, 3), node('Conv', ['x', 'w'], 'y', { auto_pad: 'SAME_UPPER' })]],
  'ConvTranspose in groups': [
    2,
    [...weight(8, 3, 2, 2), node('ConvTranspose', ['x', 'w'], 'y', { group: 2, strides: [2, 2] })],
  ],
  'AveragePool by 1': [4, [node('AveragePool', ['x'], 'y', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })]],
  'MaxPool, strided': [3, [node('MaxPool', ['x'], 'y', { kernel_shape: [2, 2], strides: [2, 2] })]],
  'MaxPool, rounded up': [2, [node('MaxPool', ['x'], 'y', { kernel_shape: [5, 5], strides: [5, 5], ceil_mode: 1 })]],
  GlobalAveragePool: [4, [node('GlobalAveragePool', ['x'], 'y')]],
  'Pad on two axes': [4, [ints('p', 0, 0, 1, 2, 0, 0, 3, 4), node('Pad', ['x', 'p'], 'y')]],
  SpaceToDepth: [3, [node('SpaceToDepth', ['x'], 'y', { blocksize: 2 })]],
  DepthToSpace: [4, [node('DepthToSpace', ['x'], 'y', { blocksize: 2 })]],
  ReduceL1: [4, [node('ReduceL1', ['x'], 'y', { axes: [1], keepdims: 1 })]],
  'ArgMax without its axis': [
    3,
    [node('ArgMax', ['x'], 'i', { axis: 1, keepdims: 0 }), node('Cast', ['i'], 'y', { to: 1 })],
  ],
  'Expand of which one size is not known': [
    4,
    [
      ints('one', 1),
      node('NonZero', ['x'], 'found'),
      node('Shape', ['found'], 'sizes'),
      node('Gather', ['sizes', 'one'], 'many', { axis: 0 }),
      ints('first', 1),
      ints('last', 1, 1),
      node('Min', ['many', 'one'], 'unknown'),
      node('Concat', ['first', 'unknown', 'last'], 'target', { axis: 0 }),
      node('Expand', ['x', 'target'], 'y'),
    ],
  ],
  'Tile, of which one count is not known': [
    3,
    [
      node('NonZero', ['x'], 'found'),
      node('Shape', ['found'], 'sizes'),
      ints('one', 1),
      node('Gather', ['sizes', 'one'], 'many', { axis: 0 }),
      node('Min', ['many', 'one'], 'unknown'),
      ints('first', 1, 2),
      ints('last', 3),
      node('Concat', ['first', 'unknown', 'last'], 'repeats', { axis: 0 }),
      node('Tile', ['x', 'repeats'], 'y'),
    ],
  ],
  'ConvInteger is of whole numbers': [
    4,
    [
      node('Cast', ['x'], 'xq', { to: 2 }),
      ...weight(6, 8, 1, 1),
      node('Cast', ['w'], 'wq', { to: 2 }),
      node('ConvInteger', ['xq', 'wq'], 'i'),
      node('Cast', ['i'], 'y', { to: 1 }),
    ],
  ],
  'nodes behind those that read from them, as converters to float16 append them': [
    4,
    [
      node('Softmax', ['b'], 'y', { axis: 1 }),
      node('Transpose', ['a'], 'b', { perm: [0, 3, 2, 1] }),
      node('Relu', ['x'], 'a'),
    ],
  ],
  'Einsum with an ellipsis': [4, [node('Einsum', ['x', 'x'], 'y', { equation: '...nd, ...md -> ...nm' })]],
  'the parts of an axis cut where it may end': [
    4,
    [
      ints('zero', 0),
      ints('three', 3),
      ints('end', 2 ** 40),
      ints('two', 2),
      node('Shape', ['x'], 'sizes'),
      node('Gather', ['sizes', 'zero'], 'cut', { axis: 0 }),
      node('Slice', ['x', 'zero', 'cut', 'three'], 'a'),
      node('Slice', ['x', 'cut', 'end', 'three'], 'b'),
      node('Concat', ['a', 'b'], 'y', { axis: -1 }),
    ],
  ],
  'the last n of an axis of n': [
    4,
    [
      ints('end', 2 ** 40),
      ints('two', 2),
      node('Shape', ['x'], 'sizes'),
      node('Gather', ['sizes', 'two'], 'n', { axis: 0 }),
      node('Neg', ['n'], 'start'),
      node('Slice', ['x', 'start', 'end', 'two'], 'y'),
    ],
  ],
  'sizes of a tensor of which not even the rank is known': [
    2,
    [
      ints('zero', 0),
      ints('rest', -1, 4, 6),
      node('Shape', ['x'], 'own'),
      node('Unique', ['own'], 'other'),
      node('Expand', ['zero', 'other'], 'z'),
      node('Shape', ['z'], 'sizes'),
      node('Gather', ['sizes', 'zero'], 'batch', { axis: 0 }),
      node('Concat', ['batch', 'rest'], 'shape', { axis: 0 }),
      node('Reshape', ['x', 'shape'], 'y'),
    ],
  ],
};

function evaluate({ terms }: Dim, sizes: ReadonlyMap<string, number>): number | undefined {
  const parts = [...terms].map(([monomial, factor]) => {
    const names = monomial ? monomial.split('*') : [];
    return names.reduce((product, name) => product * (sizes.get(name) ?? Number.NaN), factor);
  });
  const sum = parts.reduce((a, b) => a + b, 0);
  return Number.isNaN(sum) ? undefined : sum;
}

describe('shape rules', () => {
  it.each(Object.entries(cases))('%s', async (name, [least, nodes]) => {
    const bytes = modelOf(nodes, name === 'ArgMax without its axis' ? 3 : 4);
    const model = openModel(decode(bytes));
    const { shape } = inferShapes(model)(model.graph, 'y');
    const session = await InferenceSession.create(bytes, { logSeverityLevel: 3, graphOptimizationLevel: 'disabled' });
    for (const [batch, rows] of [
      [1, 6],
      [2, 10],
    ] as const) {
      const sizes = new Map([
        ['batch', batch],
        ['rows', rows],
      ]);
      const x = new Tensor('float32', new Float32Array(batch * rows * 96).fill(1), [batch, 8, rows, 12]);
      const { y } = await session.run({ x });
      expect(shape).toHaveLength(y?.dims.length ?? -1);
      const sized = shape?.map((dim) => evaluate(dim, sizes)) ?? [];
      expect(sized.filter((size) => size !== undefined).length).toBeGreaterThanOrEqual(least);
      for (const [axis, size] of sized.entries()) if (size !== undefined) expect(size).toBe(y?.dims[axis]);
    }
  });

  it('the lesser of two sizes is the known one, or has a name of its own', () => {
    const [n, m] = [symbol('n'), symbol('m')];
    expect(minimum(n, n)).toBe(n);
    expect(minimum(n, m).key).not.toBe(minimum(m, symbol('k')).key);
    expect(toNumber(minimum(n, m))).toBeUndefined();
  });
});
