/** One fused operator as a whole model, and a way to run it at any size. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { gaussians } from '../src/features/rng.js';
import { type Attributes, builder, constantPool } from '../src/onnx/build.js';
import { concat, encode } from '../src/onnx/encode.js';
import { makeGraph, makeValueInfo } from '../src/onnx/message.js';
import type { TensorLike } from '../src/session.js';

export type Sizes = Readonly<Record<string, number>>;

export interface Input {
  /** Numbers, names of sizes, or sums of names such as P+N. */
  readonly dims: readonly (number | string)[];
  readonly type?: 'float32' | 'int32' | 'int64' | 'bool';
  /** Element by element, row-major; N(0, 1) when left out. */
  readonly data?: (sizes: Sizes) => readonly number[];
}

export interface FusedModel {
  readonly op: string;
  readonly domain?: string;
  readonly opset?: number;
  readonly inputs: readonly (Input | undefined)[];
  readonly outputs: number;
  readonly attributes: Attributes;
}

const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9 };
const name = (i: number) => `input${i}`;

export function fusedModel({ op, domain = '', opset = 21, inputs, outputs, attributes }: FusedModel): Uint8Array {
  const pool = constantPool('t/');
  const build = builder(opset, 't/', pool);
  const made = build.ops(
    op,
    inputs.map((input, i) => (input ? name(i) : '')),
    outputs,
    attributes,
    domain,
  );
  for (const [i, value] of made.entries()) build.rename(value, `output${i}`);
  const graph = makeGraph({
    name: op,
    node: [...build.nodes],
    input: inputs.flatMap((input, i) =>
      input ? [makeValueInfo(name(i), elementTypes[input.type ?? 'float32'], input.dims)] : [],
    ),
    // Without a shape; the runtime knows.
    output: made.map((_, i) => ({
      name: `output${i}`,
      type: { value: { $case: 'tensorType', value: { elemType: 1 } } },
      metadataProps: [],
    })),
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  const opsetImport = [
    { domain: '', version: BigInt(opset) },
    { domain: 'com.microsoft', version: 1n },
  ];
  return concat(encode({ irVersion: 10n, opsetImport, graph, ...none }));
}

export async function runFused(
  bytes: Uint8Array,
  inputs: FusedModel['inputs'],
  sizes: Sizes,
): Promise<Record<string, TensorLike>> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const feeds: Record<string, Tensor> = {};
  for (const [i, input] of inputs.entries()) {
    if (!input) continue;
    const dims = input.dims.map((dim) => sizeOf(dim, sizes));
    const count = dims.reduce((product, dim) => product * dim, 1);
    const random = gaussians(i + 1);
    const data = input.data?.(sizes) ?? Array.from({ length: count }, random);
    feeds[name(i)] = makeTensor(input.type ?? 'float32', data, dims);
  }
  const outputs = await session.run(feeds);
  await session.release();
  return outputs as unknown as Record<string, TensorLike>;
}

function sizeOf(dim: number | string, sizes: Sizes): number {
  if (typeof dim === 'number') return dim;
  return dim.split('+').reduce((sum, part) => sum + (sizes[part] ?? Number.NaN), 0);
}

function makeTensor(type: 'float32' | 'int32' | 'int64' | 'bool', data: readonly number[], dims: number[]): Tensor {
  if (type === 'float32') return new Tensor(type, Float32Array.from(data), dims);
  if (type === 'int32') return new Tensor(type, Int32Array.from(data), dims);
  return type === 'bool'
    ? new Tensor(type, Uint8Array.from(data), dims)
    : new Tensor(type, BigInt64Array.from(data, BigInt), dims);
}
