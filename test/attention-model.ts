/** One attention site as a whole model, in the forms the tests ask for, and a way to run it. */
import { type Builder, builder, constantPool } from '../src/onnx/build.js';
import { concat, encode } from '../src/onnx/encode.js';
import { makeGraph, makeValueInfo } from '../src/onnx/message.js';
import type { Attention } from './oracle/attention.js';

export interface Form {
  readonly heads: number;
  readonly headDim: number;
  readonly valueDim?: number;
  /** Where the scale is applied: on the product, as exporters of ViT do, on q alone, or its root on q and k. */
  readonly scale?: 'after' | 'query' | 'roots';
  /** The scale is this many times 1/√headDim. Default 1; with 'roots' the sign is the queries'. */
  readonly times?: number;
  /** `mask` [B,S] as an int64 input, turned into an additive bias, expanded to [B,1,N,S], or used in a Where. */
  readonly mask?: 'add' | 'expand' | 'where';
  readonly opset?: number;
  /** Queries and keys of one sequence. */
  readonly self?: boolean;
  /** A further input `grid` [1,1,rows,columns]. */
  readonly grid?: boolean;
}

/** q [B,H,N,D], k [B,H,S,D], v [B,H,S,E] and a mask → context [B,H,N,E]. */
export function attentionModel(form: Form): Uint8Array {
  const { heads, headDim, valueDim = headDim, opset = 17 } = form;
  const queries = form.self ? 'keys' : 'queries';
  const pool = constantPool('t/');
  const build = builder(opset, 't/', pool);
  const context = attention(build, form);
  const inputs = [
    makeValueInfo('q', 1, ['batch', heads, queries, headDim]),
    makeValueInfo('k', 1, ['batch', heads, 'keys', headDim]),
    makeValueInfo('v', 1, ['batch', heads, 'keys', valueDim]),
    ...(form.mask ? [makeValueInfo('mask', 7, ['batch', 'keys'])] : []),
    ...(form.grid ? [makeValueInfo('grid', 1, [1, 1, 'rows', 'columns'])] : []),
  ];
  const graph = makeGraph({
    name: 'attention',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: inputs,
    output: [makeValueInfo(context, 1, ['batch', heads, queries, valueDim])],
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: BigInt(opset) }], graph, ...none }));
}

function attention(build: Builder, { headDim, scale = 'after', times: factor = 1, mask }: Form): string {
  const root = Math.sqrt(Math.abs(factor) / Math.sqrt(headDim));
  const signed = Math.sign(factor) * root;
  const times = (value: string, factor: number) => build.op('Mul', [value, build.float([factor], [])]);
  const q = scale === 'query' ? times('q', signed * root) : scale === 'roots' ? times('q', signed) : 'q';
  const transposed = build.op('Transpose', ['k'], { perm: [0, 1, 3, 2] });
  const product = build.op('MatMul', [q, scale === 'roots' ? times(transposed, root) : transposed]);
  const scores = scale === 'after' ? build.op('Div', [product, build.float([1 / (signed * root)], [])]) : product;
  return build.op('MatMul', [build.op('Softmax', [masked(build, scores, mask)], { axis: -1 }), 'v']);
}

const lowest = -3.4028234663852886e38;

function masked(build: Builder, scores: string, form: Form['mask']): string {
  if (!form) return scores;
  const keys = build.op('Reshape', ['mask', build.int64([0, 1, 1, -1])]);
  if (form === 'where')
    return build.op('Where', [build.op('Cast', [keys], { to: 9 }), scores, build.float([lowest], [])]);
  const table = form === 'expand' ? build.op('Expand', [keys, build.op('Shape', [scores])]) : keys;
  const hidden = build.op('Sub', [build.float([1], []), build.op('Cast', [table], { to: 1 })]);
  return build.op('Add', [scores, build.op('Mul', [hidden, build.float([lowest], [])])]);
}

export type Arrays = Readonly<
  Record<string, { readonly data: Float32Array | BigInt64Array; readonly dims: readonly number[] }>
>;

/** An input of the oracle as the model's inputs; masked keys are those with bias −∞. */
export function arraysOf(input: Attention): Arrays {
  const { B, H, N, S, D, E, q, k, v, keyBias } = input;
  const mask = BigInt64Array.from({ length: B * S }, (_, i) => (keyBias?.[i] === -Infinity ? 0n : 1n));
  return {
    q: { data: Float32Array.from(q), dims: [B, H, N, D] },
    k: { data: Float32Array.from(k), dims: [B, H, S, D] },
    v: { data: Float32Array.from(v), dims: [B, H, S, E] },
    ...(keyBias && { mask: { data: mask, dims: [B, S] } }),
  };
}

/** First output of a model on onnxruntime-node. */
export async function run(bytes: Uint8Array, arrays: Arrays): Promise<Float32Array> {
  // Named by a variable: a browser's server would follow a literal, and the models are of use there, too.
  const name = 'onnxruntime-node';
  const { InferenceSession, Tensor }: typeof import('onnxruntime-node') = await import(/* @vite-ignore */ name);
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const feeds = Object.fromEntries(
    Object.entries(arrays).map(([name, { data, dims }]) => [
      name,
      data instanceof BigInt64Array ? new Tensor('int64', data, dims) : new Tensor('float32', data, dims),
    ]),
  );
  const outputs = await session.run(feeds);
  const [first = ''] = session.outputNames;
  await session.release();
  return outputs[first]?.data as Float32Array;
}
