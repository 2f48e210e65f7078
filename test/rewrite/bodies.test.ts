/** Attention within the body of a Loop or a Scan, whose weights and sizes are those of the graph around it. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize, restore } from '../../src/linearize.js';
import { builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeAttribute, makeGraph, makeModel, makeNode, makeValueInfo } from '../../src/onnx/message.js';
import { close, expectMutantFails } from '../close.js';

const [heads, headDim, width] = [3, 8, 24];

/** x [batch,tokens,24], attended to by itself three times over; a Scan has a factor for each time. */
function modelOf(op: 'Loop' | 'Scan'): Uint8Array {
  const pool = constantPool('t/');
  const outer = builder(17, 't/', pool);
  const body = outer.body();
  const normal = gaussians(7);
  const project = () => {
    const weight = outer.float(
      Float32Array.from({ length: width * width }, () => normal() / Math.sqrt(width)),
      [width, width],
    );
    const split = body.op('Reshape', [body.op('MatMul', ['h', weight]), body.int64([0, 0, heads, headDim])]);
    return (...perm: number[]) => body.op('Transpose', [split], { perm });
  };
  const [q, k, v] = [project()(0, 2, 1, 3), project()(0, 2, 3, 1), project()(0, 2, 1, 3)];
  const scores = body.op('Mul', [body.op('MatMul', [q, k]), body.float([headDim ** -0.5], [])]);
  const context = body.op('MatMul', [body.op('Softmax', [scores], { axis: -1 }), v]);
  const joined = body.op('Reshape', [
    body.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
    body.int64([0, 0, width]),
  ]);
  const isLoop = op === 'Loop';
  const next = body.op('Add', ['h', isLoop ? joined : body.op('Mul', [joined, 'factor'])]);
  const state = (name: string) => makeValueInfo(name, 1, [undefined, undefined, width]);
  const again = isLoop ? [makeValueInfo(body.op('Identity', ['go']), 9, [])] : [];
  const given = isLoop ? [makeValueInfo('i', 7, []), makeValueInfo('go', 9, [])] : [];
  const g = makeGraph({
    name: 'body',
    node: [...body.nodes],
    input: [...given, state('h'), ...(isLoop ? [] : [makeValueInfo('factor', 1, [])])],
    output: [...again, state(next)],
  });
  const three = (name: string) => makeValueInfo(name, 1, ['batch', 'tokens', width]);
  const loop = makeNode({
    name: 'layers',
    opType: op,
    input: isLoop ? [outer.int64([3], []), '', 'x'] : ['x', outer.float([0.5, 1, 2])],
    output: ['y'],
    attribute: [
      makeAttribute({ name: 'body', type: 5, g }),
      ...(isLoop ? [] : [makeAttribute({ name: 'num_scan_inputs', type: 2, i: 1n })]),
    ],
  });
  const graph = makeGraph({
    name: 'g',
    node: [...outer.nodes, loop],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [three('x')],
    output: [three('y')],
  });
  return concat(encode(makeModel(graph, 17)));
}

async function run(bytes: Uint8Array): Promise<Float32Array> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const x = new Tensor('float32', Float32Array.from({ length: 2 * 13 * width }, gaussians(5)), [2, 13, width]);
  const { y } = await session.run({ x });
  return y?.data as Float32Array;
}

it.each(['Loop', 'Scan'] as const)('within a %s it is found, rewritten without a change, and restored', async (op) => {
  const bytes = modelOf(op);
  const found = inspect(bytes);
  expect(found.sites).toMatchObject([{ heads, headDim, kind: 'self', mask: 'none', subgraph: 'layers/body' }]);
  expect([...found.refusals, ...found.nearMisses]).toEqual([]);
  const want = await run(bytes);
  for (const plan of ['exact', 'exact-blocked:block=4']) {
    const { bytes: patched, report } = await linearize(bytes, { plan });
    const got = await run(patched);
    close(got, want, 1e-5);
    expectMutantFails(() =>
      close(
        got,
        want.map((x) => x * 1.01),
        1e-5,
      ),
    );
    expect(Buffer.compare(restore(patched, report), bytes)).toBe(0);
  }
});
