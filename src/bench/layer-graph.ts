/** One attention layer as an ONNX model in the forms that runtimes meet: q, k, v [1,N,H·D] → out [1,N,H·D], float32. */
import { type Builder, builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import type { ValueInfoProto } from '../onnx/gen/onnx.js';
import { makeGraph, makeModel, makeValueInfo } from '../onnx/message.js';
import type { LayerShape } from './shape.js';

const microsoft = 'com.microsoft';
const int32ToFloat = { to: 1 };

/** softmax(q·kᵀ/√D)·v as exporters write it out. */
export function plainLayer(shape: LayerShape): Uint8Array {
  return layer(shape, (build) => {
    const scores = build.op('MatMul', [heads(build, 'q', shape), transposedKeys(build, 'k', shape)]);
    return attended(build, build.op('Mul', [scores, build.float([shape.width ** -0.5], [])]), shape);
  });
}

/** onnxruntime's own operator, which never holds all scores where it has a fused kernel. */
export function fusedLayer({ heads: num_heads, causal, ...shape }: LayerShape): Uint8Array {
  return layer({ heads: num_heads, causal, ...shape }, (build) =>
    build.op('MultiHeadAttention', ['q', 'k', 'v'], { num_heads, unidirectional: causal ? 1 : 0 }, microsoft),
  );
}

/** q·kᵀ of 8-bit integers, q and k rounded to 256 steps of one size each (DynamicQuantizeLinear); the rest in float32. */
export function int8Layer(shape: LayerShape): Uint8Array {
  return layer(shape, (build) => {
    const [q, qStep, qZero] = build.ops('DynamicQuantizeLinear', ['q'], 3);
    const [k, kStep, kZero] = build.ops('DynamicQuantizeLinear', ['k'], 3);
    const products = [heads(build, q, shape), transposedKeys(build, k, shape), qZero, kZero];
    const whole = build.op('Cast', [build.op('MatMulInteger', products)], int32ToFloat);
    const step = build.op('Mul', [build.op('Mul', [qStep, kStep]), build.float([shape.width ** -0.5], [])]);
    return attended(build, build.op('Mul', [whole, step]), shape);
  });
}

/** A product of two matrices a, b [N,N], for what the runtime's arithmetic reaches. */
export function matmulModel(n: number): Uint8Array {
  return model(['a', 'b'], [n, n], (build) => build.op('MatMul', ['a', 'b']));
}

/** out = −x: as many bytes read as written, and next to no arithmetic. A copy itself onnxruntime would leave out. */
export function copyModel(length: number): Uint8Array {
  return model(['x'], [length], (build) => build.op('Neg', ['x']));
}

function layer({ heads: count, width }: LayerShape, body: (build: Builder) => string): Uint8Array {
  return model(['q', 'k', 'v'], [1, 'tokens', count * width], body);
}

/** [1,N,H·D] → [1,H,N,D] */
function heads(build: Builder, x: string, { heads: count, width }: LayerShape): string {
  return build.op('Transpose', [split(build, x, count, width)], { perm: [0, 2, 1, 3] });
}

/** [1,N,H·D] → [1,H,D,N] */
function transposedKeys(build: Builder, x: string, { heads: count, width }: LayerShape): string {
  return build.op('Transpose', [split(build, x, count, width)], { perm: [0, 2, 3, 1] });
}

function split(build: Builder, x: string, count: number, width: number): string {
  return build.op('Reshape', [x, build.int64([0, 0, count, width])]);
}

/** scores [1,H,N,N] → [1,N,H·D] */
function attended(build: Builder, scores: string, shape: LayerShape): string {
  const weights = build.op('Softmax', [shape.causal ? causal(build, scores) : scores], { axis: -1 });
  const context = build.op('MatMul', [weights, heads(build, 'v', shape)]);
  const joined = build.op('Transpose', [context], { perm: [0, 2, 1, 3] });
  return build.op('Reshape', [joined, build.int64([0, 0, shape.heads * shape.width])]);
}

/** Hides later keys with the least float, as exporters of decoders do. */
function causal(build: Builder, scores: string): string {
  const count = build.op('Gather', [build.op('Shape', ['q']), build.int64([1], [])], { axis: 0 });
  const places = build.op('Range', [build.int64([0], []), count, build.int64([1], [])]);
  const later = build.op('Less', [build.op('Reshape', [places, build.int64([-1, 1])]), places]);
  const mask = build.op('Where', [later, build.float([-3.4028234663852886e38], []), build.float([0], [])]);
  return build.op('Add', [scores, mask]);
}

function model(
  inputs: readonly string[],
  dims: readonly (number | string)[],
  body: (build: Builder) => string,
): Uint8Array {
  const pool = constantPool('bench/');
  const build = builder(17, 'bench/', pool);
  const output = 'out';
  build.rename(body(build), output);
  const tensor = (name: string): ValueInfoProto => makeValueInfo(name, 1, dims);
  const graph = makeGraph({
    name: 'bench',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: inputs.map(tensor),
    output: [tensor(output)],
  });
  const { opsetImport, ...rest } = makeModel(graph, 17);
  return concat(encode({ ...rest, opsetImport: [...opsetImport, { domain: microsoft, version: 1n }] }));
}
