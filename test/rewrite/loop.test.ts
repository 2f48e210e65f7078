/** Attention within the body of a Loop, whose weights and sizes are those of the graph around it. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize, restore } from '../../src/linearize.js';
import { builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeAttribute, makeGraph, makeModel, makeNode, makeValueInfo } from '../../src/onnx/message.js';
import { close, expectMutantFails } from '../close.js';

const [heads, headDim, width] = [3, 8, 24];

/** x [batch,tokens,24], attended to by itself three times over. */
function loopModel(): Uint8Array {
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
  const next = body.op('Add', ['h', joined]);
  const again = body.op('Identity', ['go']);
  const three = (name: string) => makeValueInfo(name, 1, ['batch', 'tokens', width]);
  const g = makeGraph({
    name: 'body',
    node: [...body.nodes],
    input: [
      makeValueInfo('i', 7, []),
      makeValueInfo('go', 9, []),
      makeValueInfo('h', 1, [undefined, undefined, width]),
    ],
    output: [makeValueInfo(again, 9, []), makeValueInfo(next, 1, [undefined, undefined, width])],
  });
  const loop = makeNode({
    name: 'layers',
    opType: 'Loop',
    input: [outer.int64([3], []), '', 'x'],
    output: ['y'],
    attribute: [makeAttribute({ name: 'body', type: 5, g })],
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

it('is found, rewritten without a change, and restored', async () => {
  const bytes = loopModel();
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
