/** Graphs to time: an encoder with attention or with attention deleted, and a projection. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { gaussians } from '../src/features/rng.js';
import { type Builder, builder, constantPool } from '../src/onnx/build.js';
import { decode } from '../src/onnx/decode.js';
import { concat, encode } from '../src/onnx/encode.js';
import type { ValueInfoProto } from '../src/onnx/gen/onnx.js';
import { makeGraph, makeValueInfo } from '../src/onnx/message.js';
import { writeTensor } from '../src/onnx/tensor.js';

export interface Sizes {
  readonly heads: number;
  readonly headDim: number;
  readonly layers: number;
}

/** x [1,N,H·D] through `layers` of attention and an MLP of width 4, without norms; `attention: false` passes v on. */
export function encoder({ heads, headDim, layers }: Sizes, options: { attention: boolean }): Uint8Array {
  const width = heads * headDim;
  const random = gaussians(1);
  const dims = [1, 'tokens', width];
  const weight = (build: Builder, rows: number, columns: number) =>
    build.float(
      Float32Array.from({ length: rows * columns }, () => 0.02 * random()),
      [rows, columns],
    );
  const body = (build: Builder) => {
    let x = 'x';
    for (let layer = 0; layer < layers; layer++) {
      const [q = '', k = '', v = ''] = Array.from({ length: 3 }, () => {
        const projected = build.op('MatMul', [x, weight(build, width, width)]);
        return build.op('Transpose', [build.op('Reshape', [projected, build.int64([0, 0, heads, headDim])])], {
          perm: [0, 2, 1, 3],
        });
      });
      const context = options.attention ? plainAttention(build, q, k, v, headDim) : v;
      const joined = build.op('Reshape', [
        build.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
        build.int64([0, 0, width]),
      ]);
      x = build.op('Add', [x, build.op('MatMul', [joined, weight(build, width, width)])]);
      const hidden = build.op('MatMul', [x, weight(build, width, 4 * width)]);
      const gated = build.op('Mul', [hidden, build.op('Sigmoid', [hidden])]);
      x = build.op('Add', [x, build.op('MatMul', [gated, weight(build, 4 * width, width)])]);
    }
    return x;
  };
  return model(body, [tensor('x', dims)], dims);
}

/** x [rows,d] times a constant Ωᵀ [d,m]. */
export function projection(omega: Float32Array, d: number): Uint8Array {
  const m = omega.length / d;
  const transposed = Float32Array.from(omega, (_, at) => omega[(at % m) * d + Math.floor(at / m)]);
  return model(
    (build) => build.op('MatMul', ['x', build.float(transposed, [d, m])]),
    [tensor('x', ['rows', d])],
    ['rows', m],
  );
}

/** Projected attention between stretches of elementwise nodes, on x [1,8,N,16]: a graph as long as asked for. */
export function longGraph(nodes: number): Uint8Array {
  const dims = [1, 8, 'tokens', 16];
  const body = (build: Builder) => {
    const half = build.float([0.5], []);
    const weight = build.float(new Float32Array(256), [16, 16]);
    let x = 'x';
    while (build.nodes.length < nodes) {
      for (let i = 0; i < 92; i++) x = build.op(i % 2 ? 'Add' : 'Mul', [x, half]);
      const [q = '', k = '', v = ''] = Array.from({ length: 3 }, () => build.op('MatMul', [x, weight]));
      x = plainAttention(build, q, k, v, 16);
    }
    return x;
  };
  return model(body, [tensor('x', dims)], dims);
}

/** An encoder of 8 layers with weights of so many megabytes in all, each layer's a tensor of its own. */
export function writeHeavyEncoder(path: string, megabytes: number): void {
  const layers = 8;
  const bytes = encoder({ heads: 4, headDim: 16, layers }, { attention: true });
  const { graph, ...rest } = decode(bytes);
  if (!graph) throw new TypeError('an encoder has a graph');
  const size = Math.floor((megabytes * 2 ** 20) / layers / 4) * 4;
  // One buffer for all: they are views of it.
  const raw = new Uint8Array(new Float32Array(size / 4).map((_, i) => (i % 997) / 997).buffer);
  const heavy = Array.from({ length: layers }, (_, i) =>
    writeTensor({ name: `heavy_${i}`, dataType: 1, dims: [size / 4], raw }),
  );
  const file = openSync(path, 'w');
  for (const chunk of encode({ ...rest, graph: { ...graph, initializer: [...graph.initializer, ...heavy] } })) {
    writeSync(file, chunk);
  }
  closeSync(file);
}

function plainAttention(build: Builder, q: string, k: string, v: string, headDim: number): string {
  const product = build.op('MatMul', [q, build.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const scores = build.op('Div', [product, build.float([Math.sqrt(headDim)], [])]);
  return build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), v]);
}

function model(
  body: (build: Builder) => string,
  input: ValueInfoProto[],
  dims: readonly (number | string)[],
): Uint8Array {
  const pool = constantPool('bench/');
  const build = builder(17, 'bench/', pool);
  const output = body(build);
  const initializer = pool.initializers.map(({ bytes }) => bytes);
  const graph = makeGraph({
    name: 'bench',
    node: [...build.nodes],
    initializer,
    input,
    output: [tensor(output, dims)],
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: 17n }], graph, ...none }));
}

function tensor(name: string, dims: readonly (number | string)[]): ValueInfoProto {
  return makeValueInfo(name, 1, dims);
}
