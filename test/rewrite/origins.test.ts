/** Where queries and keys come from: what makes them projections of one sequence. */
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/linearize.js';
import { type Builder, builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../../src/onnx/message.js';

const [heads, headDim, width] = [2, 8, 16];

/** Attention over what `project` makes of the inputs: [B,N,16] each, for q, k and v in turn. */
function siteOf(
  project: (build: Builder, which: number) => string,
  inputs: Readonly<Record<string, (string | number)[]>>,
) {
  const pool = constantPool('t/');
  const build = builder(17, 't/', pool);
  const split = (which: number, ...perm: number[]) =>
    build.op('Transpose', [build.op('Reshape', [project(build, which), build.int64([0, 0, heads, headDim])])], {
      perm,
    });
  const scores = build.op('MatMul', [split(0, 0, 2, 1, 3), split(1, 0, 2, 3, 1)]);
  const context = build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), split(2, 0, 2, 1, 3)]);
  const graph = makeGraph({
    name: 'g',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: Object.entries(inputs).map(([name, dims]) => makeValueInfo(name, 1, dims)),
    output: [makeValueInfo(context, 1, ['batch', heads, 'tokens', headDim])],
  });
  const { sites, nearMisses, refusals } = inspect(concat(encode(makeModel(graph, 17))));
  expect([nearMisses, refusals]).toEqual([[], []]);
  return sites;
}
const weight = (build: Builder, ...dims: number[]) =>
  build.float(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(0.1), dims);

describe('self', () => {
  it('each by a convolution of its own over one picture (CvT)', () => {
    const sites = siteOf(
      (build, which) => {
        const strides = which === 0 ? [1, 1] : [2, 2];
        const conv = build.op('Conv', ['picture', weight(build, width, 1, 3, 3)], {
          kernel_shape: [3, 3],
          pads: [1, 1, 1, 1],
          strides,
          group: width,
        });
        const rows = build.op('Transpose', [build.op('Reshape', [conv, build.int64([0, 0, -1])])], { perm: [0, 2, 1] });
        return build.op('MatMul', [rows, weight(build, width, width)]);
      },
      { picture: ['batch', width, 'rows', 'columns'] },
    );
    expect(sites).toMatchObject([{ kind: 'self', heads, headDim }]);
  });

  it('each by a 4-bit product (MatMulBnb4)', () => {
    const sites = siteOf(
      (build) =>
        build.op(
          'MatMulBnb4',
          ['x', weight(build, (width * width) / 2), weight(build, width)],
          { K: width, N: width, block_size: width, quant_type: 1 },
          'com.microsoft',
        ),
      { x: ['batch', 'tokens', width] },
    );
    expect(sites).toMatchObject([{ kind: 'self', heads, headDim }]);
  });
});

it('cross: keys of another sequence', () => {
  const sites = siteOf(
    (build, which) => build.op('MatMul', [which === 0 ? 'x' : 'memory', weight(build, width, width)]),
    { x: ['batch', 'tokens', width], memory: ['batch', 'frames', width] },
  );
  expect(sites).toMatchObject([{ kind: 'cross', heads, headDim }]);
});
