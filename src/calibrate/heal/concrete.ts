/**
 * A model for inputs of one size, as @jax-js/onnx takes it: what depends on sizes and constants alone is computed once, by
 * onnxruntime, and becomes a constant; sizes in Reshapes are numbers; weights that are unpacked from fewer bits are float32.
 *
 * ScatterElements, which @jax-js/onnx does not know, writes one number at chosen places of an axis in our lowerings. It
 * becomes a comparison of the places with all indices, which costs a row of zeros and ones an index.
 */
import { type Builder, builder, constantPool } from '../../onnx/build.js';
import { concat, encode } from '../../onnx/encode.js';
import { extractValues } from '../../onnx/expose.js';
import { TensorProto_DataType as DataType, type ModelProto, type NodeProto } from '../../onnx/gen/onnx.js';
import { type Graph, intAttribute, isOp, openModel } from '../../onnx/graph.js';
import { writeTensor } from '../../onnx/tensor.js';
import type { Feeds, SessionFactory, TensorLike } from '../../session.js';
import { feedsOf } from '../record.js';

const prefix = 'concrete/';

export async function concretise(proto: ModelProto, feeds: Feeds, createSession: SessionFactory): Promise<ModelProto> {
  const model = openModel(proto);
  const { graph } = model;
  const fixed = fixedValues(graph);
  const kept = graph.sorted.filter((node) => !node.output.some((value) => fixed.has(value)));
  const read = new Set([...kept.flatMap(({ input }) => input), ...graph.proto.output.map(({ name = '' }) => name)]);
  const computed = [...read].filter((value) => fixed.has(value) && graph.producer(value));
  const indices = kept.filter((node) => isOp(node, 'Gather')).map(({ input: [, index = ''] }) => index);
  const filled = kept.filter((node) => isOp(node, 'Pad') && node.input[2]).flatMap(({ input }) => input.slice(1, 3));
  const sized = kept.flatMap((node) =>
    isOp(node, 'Reshape', 'Pad')
      ? node.output
      : isOp(node, 'ScatterElements', 'MatMul', 'Gather', 'GatherND', 'GatherElements')
        ? node.input.slice(0, 2)
        : [],
  );
  const known = await evaluate(
    model.proto,
    {
      values: computed,
      copied: [...new Set([...indices, ...filled])].filter((index) => graph.initializer(index)),
      shapesOf: [...new Set(sized)],
      has: (value: string) => fixed.has(value) || graph.initializer(value) !== undefined,
    },
    feeds,
    createSession,
  );
  const pool = constantPool(prefix);
  const build = builder(model.opsets.get('') ?? 1, prefix, pool);
  const node = kept.flatMap((each) => concreteNodes(each, known, build.body()));
  const still = new Set(node.flatMap(({ input }) => input));
  const initializer = [
    ...graph.proto.initializer,
    ...computed.filter((value) => still.has(value)).map((value) => asInitializer(value, known.value(value))),
    ...pool.initializers.map(({ bytes }) => bytes),
  ];
  const names = graph.proto.output.map(({ name = '' }) => name);
  const whole = { ...proto, graph: { ...graph.proto, node, initializer, valueInfo: [] } };
  return extractValues(whole, names);
}

/** Values of a graph that its sizes and constants decide. */
function fixedValues(graph: Graph): Set<string> {
  const fixed = new Set<string>();
  const isFixed = (value: string) => value === '' || fixed.has(value) || graph.initializer(value) !== undefined;
  for (const node of graph.sorted) {
    const sizes = isOp(node, 'Shape', 'Size');
    if (graph.subgraphs(node).length > 0 || !(sizes || node.input.every(isFixed))) continue;
    for (const output of node.output) fixed.add(output);
  }
  return fixed;
}

interface Known {
  /** True of what sizes and constants decide. */
  has(name: string): boolean;
  value(name: string): TensorLike;
  shape(name: string): number[];
}

async function evaluate(
  proto: ModelProto,
  wanted: {
    readonly values: readonly string[];
    readonly copied: readonly string[];
    readonly shapesOf: readonly string[];
    readonly has: Known['has'];
  },
  feeds: Feeds,
  createSession: SessionFactory,
): Promise<Known> {
  const { graph } = proto;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const build = builder(openModel(proto).opsets.get('') ?? 1, prefix, constantPool(prefix));
  const shapes = new Map(wanted.shapesOf.map((value) => [value, build.op('Shape', [value])]));
  const copies = new Map(wanted.copied.map((value) => [value, build.op('Identity', [value])]));
  const extended = { ...proto, graph: { ...graph, node: [...graph.node, ...build.nodes] } };
  const names = [...wanted.values, ...copies.values(), ...shapes.values()];
  const session = await createSession(concat(encode(extractValues(extended, names))));
  try {
    const outputs = await session.run(feedsOf(feeds, session.inputNames));
    return {
      has: wanted.has,
      value: (name) => outputs[copies.get(name) ?? name],
      shape: (name) => Array.from<number | bigint | string, number>(outputs[shapes.get(name) ?? ''].data, Number),
    };
  } finally {
    await session.release();
  }
}

function concreteNodes(node: NodeProto, known: Known, build: Builder): NodeProto[] {
  const [first = '', second = '', third = ''] = node.input;
  const [result = ''] = node.output;
  if (isOp(node, 'Reshape')) {
    const shape = build.int64(known.shape(result));
    return [{ ...node, input: [first, shape], attribute: [] }];
  }
  if (isOp(node, 'MatMul')) return alignedProduct(node, known, build);
  if (isOp(node, 'Gather') && known.has(second) && !known.has(first)) return gatherProduct(node, known, build);
  if (isOp(node, 'GatherND', 'GatherElements')) {
    const rows = isOp(node, 'GatherND') ? second : oneRowIndices(known, node, build);
    build.rename(build.op('MatMul', [hits(build, rows, known.shape(first), axisOf(node, known)), first]), result);
    return [...build.nodes];
  }
  if (isOp(node, 'Pad') && third !== '') return paddedWith(node, known, build);
  if (!isOp(node, 'ScatterElements')) return [node];
  const written = Array.from<number | bigint | string, number>(known.value(third).data, Number);
  const [value] = written;
  if (written.some((other) => other !== value)) throw new TypeError('our lowerings write one number at all places');
  const shape = known.shape(first);
  const some = build.op(
    'ReduceMax',
    ...maxOver(build, hits(build, second, shape, axisOf(node, known)), shape.length - 2),
  );
  const chosen = build.op('Greater', [build.op('Reshape', [some, build.int64(shape)]), build.float([0.5], [])]);
  build.rename(build.op('Where', [chosen, build.float([value], []), first]), result);
  return [...build.nodes];
}

/** The axis of rows [..,S,W], along which our lowerings pick and write. */
function axisOf(node: NodeProto, known: Known): number {
  const rank = known.shape(node.input[0] ?? '').length;
  const axis = intAttribute(node, isOp(node, 'GatherND') ? 'batch_dims' : 'axis') ?? 0;
  if ((axis + rank) % rank === rank - 2) return rank - 2;
  throw new TypeError(`${node.opType} along axis ${axis} of ${rank} is none of our lowerings'`);
}

/** Which of S rows each index [..,t,1] names: 1 and 0 [..,t,S]. */
function hits(build: Builder, indices: string, shape: readonly number[], axis: number): string {
  const rows = build.int64(Array.from({ length: shape[axis] }, (_, i) => i));
  return build.op('Cast', [build.op('Equal', [indices, rows])], { to: DataType.FLOAT });
}

/** One column of the indices [..,t,W] of a GatherElements, whose columns are copies. */
function oneRowIndices(known: Known, { input: [, indices = ''] }: NodeProto, build: Builder): string {
  const last = build.int64([known.shape(indices).length - 1]);
  return build.op('Slice', [indices, build.int64([0]), build.int64([1]), last]);
}

/** Rows by fixed indices as a product with zeros and ones: @jax-js/jax cannot compile the gradient of picking rows. */
function gatherProduct(node: NodeProto, known: Known, build: Builder): NodeProto[] {
  const [data = '', indices = ''] = node.input;
  const shape = known.shape(data);
  const axis = ((intAttribute(node, 'axis') ?? 0) + shape.length) % shape.length;
  const { data: places, dims } = known.value(indices);
  const S = shape[axis];
  const count = dims.reduce((a, b) => a * b, 1);
  const table = new Float32Array(count * S);
  for (let row = 0; row < count; row++) table[row * S + ((Number(places[row]) + S) % S)] = 1;
  const size = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)];
  const rows = build.op('Reshape', [data, build.int64([size(before), S, size(after)])]);
  const picked = build.op('MatMul', [build.float(table, [1, count, S]), rows]);
  build.rename(build.op('Reshape', [picked, build.int64([...before, ...dims, ...after])]), node.output[0] ?? '');
  return [...build.nodes];
}

/** Padding with any number as padding with zeros, the only one that @jax-js/onnx has, and that number added where it pads. */
function paddedWith(node: NodeProto, known: Known, build: Builder): NodeProto[] {
  const [data = '', amounts = '', filler = ''] = node.input;
  const [result = ''] = node.output;
  const number = Number(known.value(filler).data[0]);
  const zeros = { ...node, input: [data, amounts] };
  if (number === 0) return [zeros];
  const shape = known.shape(result);
  const before = Array.from<number | bigint | string, number>(known.value(amounts).data, Number);
  const table = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < table.length; i++) {
    let at = i;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const place = at % shape[axis];
      at = Math.floor(at / shape[axis]);
      if (place < before[axis] || place >= shape[axis] - before[axis + shape.length]) table[i] = number;
    }
  }
  const padded = build.fresh('padded');
  build.rename(build.op('Add', [padded, build.float(table, shape)]), result);
  return [{ ...zeros, output: [padded] }, ...build.nodes];
}

function maxOver(build: Builder, value: string, axis: number): [string[], Record<string, number | number[]>] {
  if (build.opset >= 18) return [[value, build.int64([axis])], { keepdims: 1 }];
  return [[value], { axes: [axis], keepdims: 1 }];
}

/** @jax-js/onnx takes the first axes of stacks of matrices for one another unless there are as many on both sides. */
function alignedProduct(node: NodeProto, known: Known, build: Builder): NodeProto[] {
  const shapes = node.input.map((value) => known.shape(value));
  const most = Math.max(...shapes.map(({ length }) => length));
  const input = node.input.map((value, i) => {
    const missing = most - shapes[i].length;
    if (shapes[i].length < 3 || missing === 0) return value;
    return build.op('Reshape', [value, build.int64([...new Array<number>(missing).fill(1), ...shapes[i]])]);
  });
  return [...build.nodes, { ...node, input }];
}

const types: Readonly<Record<string, DataType>> = {
  float32: DataType.FLOAT,
  int64: DataType.INT64,
  int32: DataType.INT32,
  bool: DataType.BOOL,
};

function asInitializer(name: string, { type, dims, data }: TensorLike): Uint8Array {
  const dataType = types[type];
  if (dataType === undefined || !ArrayBuffer.isView(data))
    throw new TypeError(`${name} is of type ${type}, which @jax-js/onnx does not take`);
  return writeTensor({ name, dataType, dims, raw: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });
}
