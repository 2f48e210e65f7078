/** What the fuzzer found, each as small as it gets. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { inspect, linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { constant, divideExactly, multiply, symbol } from '../../src/onnx/dims.js';
import { concat, encode } from '../../src/onnx/encode.js';
import type { NodeProto } from '../../src/onnx/gen/onnx.js';
import { openModel } from '../../src/onnx/graph.js';
import { makeAttribute, makeGraph, makeNode, makeValueInfo } from '../../src/onnx/message.js';
import { inferNode } from '../../src/onnx/shape-rules/registry.js';
import { inferShapes } from '../../src/onnx/shapes.js';
import { graphFile } from '../shared.js';

const bert = decode(readFileSync(graphFile('bert.optimum-eager.onnx')));

/** A model on x [1,8,N,16] and sizes [2]. */
function model(...node: NodeProto[]): Uint8Array {
  const input = [makeValueInfo('x', 1, [1, 8, 'tokens', 16]), makeValueInfo('sizes', 7, [2])];
  const output = [makeValueInfo(node.at(-1)?.output[0] ?? '', 1, [])];
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  const graph = makeGraph({ name: 'g', node, input, output });
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: 17n }], graph, ...none }));
}
const node = (opType: string, input: string[], output: string, more: Partial<NodeProto> = {}) =>
  makeNode({ name: `${opType} of ${output}`, opType, input, output: [output], ...more });

test('a value computed from itself', () => {
  expect(() =>
    inspect(model(node('Add', ['x', 'b'], 'a'), node('Add', ['a', 'x'], 'b'))),
  ).toThrowErrorMatchingInlineSnapshot(
    `
    [PerformersError: PF109  the graph is not valid ONNX: 'a' is computed from itself
      at   the main graph
      mend onnx.checker.check_model shows what is wrong; export the model again]
  `,
  );
});

test('a value computed from itself, by what a subgraph captures', () => {
  const g = makeGraph({ name: 'inner', node: [node('Identity', ['y'], 'z')], output: [makeValueInfo('z', 1, [])] });
  const attribute = [makeAttribute({ name: 'then_branch', type: 5, g })];
  expect(() => inspect(model(node('If', ['x'], 'y', { attribute })))).toThrow(
    "PF109  the graph is not valid ONNX: 'y'",
  );
});

test('two nodes that compute one value', () => {
  expect(() => inspect(model(node('Relu', ['x'], 'a'), node('Exp', ['x'], 'a')))).toThrow("two nodes compute 'a'");
});

test('a node without outputs that is called attention', () => {
  const nameless = makeNode({ opType: 'Softmax', input: ['x'], output: [''] });
  expect(inspect(model(nameless, node('Relu', ['x'], 'y'))).sites).toEqual([]);
});

describe('shapes', () => {
  const sized = (size: bigint) => makeAttribute({ name: 'value_ints', type: 7, ints: [size, 1n] });
  it.each([2n ** 40n, 2n ** 62n, -3n, 0n])('a tensor of %i elements, in lists of sizes', (size) => {
    const nodes = [
      node('Constant', [], 'dims', { attribute: [sized(size)] }),
      node('ConstantOfShape', ['dims'], 'filled'),
      node('Squeeze', ['filled'], 'list'),
      node('Concat', ['list', 'sizes'], 'joined', { attribute: [makeAttribute({ name: 'axis', type: 2, i: 0n })] }),
      node('Reshape', ['x', 'joined'], 'y'),
    ];
    expect(inspect(model(...nodes)).sites).toEqual([]);
  });

  it('lists of sizes, one huge, one as far below zero, one no integer', () => {
    const half = makeAttribute({ name: 'value_float', type: 1, f: 0.5 });
    const nodes = [
      node('Shape', ['x'], 's'),
      node('Constant', [], 'half', { attribute: [half] }),
      node('Mul', ['s', 'half'], 'dims'),
      node('ConstantOfShape', ['dims'], 'fractional'),
      node('Squeeze', ['fractional'], 'list'),
      node('Concat', ['list', 'list'], 'y', { attribute: [makeAttribute({ name: 'axis', type: 2, i: 0n })] }),
    ];
    expect(inspect(model(...nodes)).sites).toEqual([]);
    const [huge, below, part] = [2 ** 40, 4 - 2 ** 40, 1.5].map((n) => ({ elemType: 7, shape: [constant(n)] }));
    for (const inputs of [[huge, below], [part]]) {
      const [type] = inferNode(node('Concat', ['a', 'b'], 'y'), {
        inputs,
        branches: [],
        opset: 17,
        fresh: () => symbol('fresh'),
      });
      expect(type?.data).toBeUndefined();
    }
  });

  it('a size divided by next to nothing', () => {
    expect(divideExactly(symbol('n'), constant(2 ** -149))).toBeUndefined();
    expect(divideExactly(multiply(symbol('n'), constant(6)), constant(3))?.key).toBe('2*n');
  });

  it('an unknown squared 60 times', () => {
    const nodes = [node('Shape', ['x'], 's0')];
    for (let i = 0; i < 60; i++) nodes.push(node('Mul', [`s${i}`, `s${i}`], `s${i + 1}`));
    expect(inspect(model(...nodes)).sites).toEqual([]);
  });

  it('products that a double does not hold are not equal to one another', () => {
    const [big, bigger] = [2 ** 53 - 1, 2 ** 53 + 1].map((n) => multiply(constant(n), symbol('n')));
    expect(multiply(big, constant(3)).key).not.toBe(multiply(bigger, constant(3)).key);
  });

  it('an operator that lacks inputs', () => {
    expect(inspect(model(node('Shape', ['x'], 's'), node('Mul', ['s'], 'a'), node('Div', ['s'], 'b'))).sites).toEqual(
      [],
    );
  });

  it('a slice along an axis that the tensor has not', () => {
    const ints = (...values: bigint[]) => [makeAttribute({ name: 'value_ints', type: 7, ints: values })];
    const nodes = [
      node('Constant', [], 'start', { attribute: ints(0n) }),
      node('Constant', [], 'end', { attribute: ints(2n) }),
      node('Constant', [], 'axes', { attribute: ints(5n) }),
      node('Slice', ['x', 'start', 'end', 'axes'], 'y'),
    ];
    const opened = openModel(decode(model(...nodes)));
    expect(inferShapes(opened)(opened.graph, 'y').shape).toBeUndefined();
  });

  it('are the same for a graph that is only long', () => {
    const nodes = [node('Relu', ['x'], 'v0')];
    for (let i = 0; i < 20_000; i++) nodes.push(node('Add', [`v${i}`, 'x'], `v${i + 1}`));
    const opened = openModel(decode(model(...nodes)));
    expect(inferShapes(opened)(opened.graph, 'v20000').shape).toHaveLength(4);
  });
});

test('attention behind 20,000 sums of a value with itself: neither the stack nor the time runs out', () => {
  const nodes = [node('Relu', ['x'], 'v0')];
  for (let i = 0; i < 20_000; i++) nodes.push(node('Add', [`v${i}`, `v${i}`], `v${i + 1}`));
  nodes.push(
    node('Transpose', ['v20000'], 't', {
      attribute: [makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] })],
    }),
    node('MatMul', ['v20000', 't'], 'scores'),
    node('Softmax', ['scores'], 'p'),
    node('MatMul', ['p', 'v20000'], 'context'),
  );
  const { sites, nearMisses, refusals } = inspect(model(...nodes));
  expect(sites.length + nearMisses.length + refusals.length).toBeGreaterThan(0);
});

test('heads and widths that are no whole numbers are none', () => {
  const floats = makeAttribute({ name: 'value_float', type: 1, f: 0.55 });
  const perm = makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] });
  const bytes = model(
    node('Shape', ['x'], 'shape'),
    node('Constant', [], 'part', { attribute: [floats] }),
    node('Mul', ['shape', 'part'], 'dims'),
    node('Reshape', ['x', 'dims'], 'v'),
    node('Transpose', ['x'], 't', { attribute: [perm] }),
    node('MatMul', ['x', 't'], 'scores'),
    node('Softmax', ['scores'], 'p', { attribute: [makeAttribute({ name: 'axis', type: 2, i: -1n })] }),
    node('MatMul', ['p', 'v'], 'context'),
  );
  expect(inspect(bytes).sites).toEqual([]);
});

test('twenty thousand heads are none', () => {
  const ints = (...values: bigint[]) => [makeAttribute({ name: 'value_ints', type: 7, ints: values })];
  const bytes = model(
    node('Constant', [], 'dims', { attribute: ints(1n, 20_721n, -1n, 8n) }),
    node('Reshape', ['x', 'dims'], 'q'),
    node('Transpose', ['q'], 't', { attribute: [makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] })] }),
    node('MatMul', ['q', 't'], 'scores'),
    node('Softmax', ['scores'], 'p', { attribute: [makeAttribute({ name: 'axis', type: 2, i: -1n })] }),
    node('MatMul', ['p', 'q'], 'context'),
  );
  expect(inspect(bytes).refusals).toMatchObject([{ reason: 'no model is 20721 heads × 8 wide, its values 8' }]);
});

describe('restore', () => {
  const back = async (changed: typeof bert) => {
    const bytes = concat(encode(changed));
    const { bytes: patched, report } = await linearize(bytes, { plan: 'exact' });
    expect(report.sites.length).toBeGreaterThan(0);
    return Buffer.compare(restore(patched, JSON.parse(JSON.stringify(report))), bytes);
  };
  it.each([undefined, 2n ** 62n + 1n])('an IR version of %s', async (irVersion) => {
    expect(await back({ ...bert, irVersion })).toBe(0);
  });
  it('nodes that are called as ours would be', async () => {
    const graph = bert.graph && {
      ...bert.graph,
      node: bert.graph.node.map((n) => ({ ...n, name: 'performers/MatMul_0' })),
    };
    expect(await back({ ...bert, graph })).toBe(0);
  });
});

test('a context that another subgraph computes is no site', async () => {
  // The result of the products is computed within an If, of weights from without.
  const g = makeGraph({
    name: 'inner',
    node: [node('MatMul', ['p', 'x'], 'context')],
    output: [makeValueInfo('context', 1, [])],
  });
  const attribute = ['then_branch', 'else_branch'].map((name) => makeAttribute({ name, type: 5, g }));
  const perm = makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] });
  const bytes = model(
    node('Transpose', ['x'], 't', { attribute: [perm] }),
    node('MatMul', ['x', 't'], 'scores'),
    node('Softmax', ['scores'], 'p'),
    node('If', ['c'], 'y', { attribute }),
  );
  expect(inspect(bytes).sites).toEqual([]);
  expect((await linearize(bytes, { plan: 'exact' })).report.sites).toEqual([]);
});

test('attention so deep in subgraphs that what a plan adds could not be read back', async () => {
  const perm = makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] });
  const attend = [
    node('Transpose', ['x'], 't', { attribute: [perm] }),
    node('MatMul', ['x', 't'], 'scores'),
    node('Softmax', ['scores'], 'p', { attribute: [makeAttribute({ name: 'axis', type: 2, i: -1n })] }),
    node('MatMul', ['p', 'x'], 'context'),
  ];
  const within = (levels: number): NodeProto[] => {
    if (levels === 0) return attend;
    const nodes = within(levels - 1);
    const end = nodes.at(-1)?.output[0] ?? '';
    const g = makeGraph({ name: 'inner', node: nodes, output: [makeValueInfo(end, 1, [])] });
    return [node('If', ['c'], `y${levels}`, { attribute: [makeAttribute({ name: 'then_branch', type: 5, g })] })];
  };
  for (const [levels, sites] of [
    [28, 1],
    [29, 0],
    [31, 0],
  ] as const) {
    const { bytes, report } = await linearize(model(...within(levels)), { plan: 'features:m=16' });
    expect(report.sites).toHaveLength(sites);
    expect(() => decode(bytes)).not.toThrow();
    expect(report.refusals.map(({ reason }) => reason).join()).toMatch(sites === 1 ? /^$/ : /within (29|31) subgraphs/);
  }
});

test('a mask by an operator that is given fewer inputs than it takes', () => {
  const perm = makeAttribute({ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] });
  const to = makeAttribute({ name: 'to', type: 2, i: 1n });
  const bytes = model(
    node('Transpose', ['x'], 't', { attribute: [perm] }),
    node('MatMul', ['x', 't'], 'scores'),
    node('Shape', ['scores'], 'shape'),
    node('ConstantOfShape', ['shape'], 'zeros'),
    node('Cast', ['zeros'], 'floats', { attribute: [to] }),
    node('Sub', ['floats'], 'bias'),
    node('Add', ['scores', 'bias'], 'masked'),
    node('Softmax', ['masked'], 'p', { attribute: [makeAttribute({ name: 'axis', type: 2, i: -1n })] }),
    node('MatMul', ['p', 'x'], 'context'),
  );
  expect(inspect(bytes).sites).toEqual([]);
});
