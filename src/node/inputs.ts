import { PerformersError } from '../errors.js';
import { gaussians, streamSeed, uniforms } from '../features/rng.js';
import { toNumber } from '../onnx/dims.js';
import { type Graph, isOp, type Model } from '../onnx/graph.js';
import { inferShapes, type Shapes } from '../onnx/shapes.js';
import { numberToHalf } from '../onnx/tensor.js';
import type { Feeds, TensorLike } from '../session.js';
import { isCache, type SizedInput, sizeInputs } from './input-sizes.js';

export interface GeneratedInputs {
  readonly feeds: Feeds;
  /** Tokens that the model sees; differs from the number asked for where the model fixes a size or cuts squares. */
  readonly tokens: number;
}

/**
 * Inputs for any model, made from its graph: token ids within the table that they look up, masks of ones, positions
 * that count, an empty cache, N(0, 1) for pictures, signals and hidden states. From the second row of a batch on, the
 * masks end with a third of padding.
 *
 * @throws PerformersError PF204 for an input of a type that has no such values (strings, sequences)
 */
export function generateInputs(
  model: Model,
  { tokens, batch = 1, seed = 0 }: { tokens: number; batch?: number; seed?: number },
): GeneratedInputs {
  const shapes = inferShapes(model);
  const sizes = sizeInputs(model, shapes, { tokens, batch });
  const feeds = sizes.inputs.map((input, index) => [
    input.name,
    makeTensor(model.graph, shapes, input, streamSeed(seed, index)),
  ]);
  return { feeds: Object.fromEntries(feeds), tokens: sizes.tokens };
}

function makeTensor(graph: Graph, shapes: Shapes, input: SizedInput, seed: number): TensorLike {
  const type = types[input.elemType];
  if (!type) {
    throw new PerformersError(
      'PF204',
      `no values can be made up for the input '${input.name}': it is no tensor of numbers`,
      {
        at: input.name,
        mend: 'pass inputs of your own: --input inputs.json',
      },
    );
  }
  const { name, dims } = input;
  const value = type.float ? floatValues(name, dims, seed) : wholeValues(graph, shapes, input, type.name, seed);
  const size = dims.reduce((product, dim) => product * dim, 1);
  return { type: type.name, dims, data: type.pack(Array.from({ length: size }, (_, i) => value(i))) };
}

/** Element at a flat index. */
type Values = (index: number) => number;

function floatValues(name: string, dims: readonly number[], seed: number): Values {
  // A mask of rank 2 is one of ones and zeros; a larger one is added to the scores.
  if (/mask/i.test(name)) return dims.length <= 2 ? keepMask(dims) : () => 0;
  return gaussians(seed);
}

function wholeValues(graph: Graph, shapes: Shapes, { name, dims }: SizedInput, type: string, seed: number): Values {
  const last = dims[dims.length - 1] ?? 1;
  const keep = keepMask(dims);
  if (/pad(ding)?(_?mask)?$/i.test(name) && type === 'bool') return (i) => 1 - keep(i);
  if (/mask/i.test(name)) return keep;
  if (type === 'bool' || /token_type|segment/i.test(name) || isCache(name)) return () => 0;
  if (/position/i.test(name)) return (i) => i % last;
  if (dims.length === 0) return () => 1;
  const rows = rowsOfTable(graph, name, shapes) ?? 16;
  const uniform = uniforms(seed);
  return () => Math.floor(uniform() * rows);
}

/** 1 for what is looked at: all of the first row, the first two thirds (at least one) of the others. */
function keepMask(dims: readonly number[]): Values {
  const last = dims[dims.length - 1] ?? 1;
  const kept = Math.max(1, Math.ceil((2 * last) / 3));
  return (i) => (i < last || i % last < kept ? 1 : 0);
}

/** Rows of the table that a value looks up, be it behind casts, in a subgraph, or the value shifted before. */
function rowsOfTable(graph: Graph, value: string, shapes: Shapes, depth = 0): number | undefined {
  for (const node of graph.consumers(value)) {
    const [table, indices] = node.input;
    if (node.opType?.startsWith('Gather') && indices === value) {
      const rows = toNumber(shapes(graph, table ?? '').shape?.[0]);
      if (rows !== undefined) return rows;
    }
    if (node.opType === 'EmbedLayerNormalization' && table === value) {
      const rows = toNumber(shapes(graph, node.input[2] ?? '').shape?.[0]);
      if (rows !== undefined) return rows;
    }
    for (const inner of graph.subgraphs(node)) {
      const rows = rowsOfTable(inner, value, shapes, depth + 1);
      if (rows !== undefined) return rows;
    }
    if (depth < 8 && isOp(node, 'Cast', 'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten', 'Identity', 'Expand', 'Clip')) {
      const rows = rowsOfTable(graph, node.output[0] ?? '', shapes, depth + 1);
      if (rows !== undefined) return rows;
    }
  }
  return undefined;
}

interface ElementType {
  readonly name: string;
  readonly float: boolean;
  readonly pack: (values: readonly number[]) => TensorLike['data'];
}

/** By ONNX element type, with the names and arrays of onnxruntime. */
const types: Partial<Record<number, ElementType>> = {
  1: { name: 'float32', float: true, pack: (values) => Float32Array.from(values) },
  2: { name: 'uint8', float: false, pack: (values) => Uint8Array.from(values) },
  3: { name: 'int8', float: false, pack: (values) => Int8Array.from(values) },
  6: { name: 'int32', float: false, pack: (values) => Int32Array.from(values) },
  7: { name: 'int64', float: false, pack: (values) => BigInt64Array.from(values, BigInt) },
  9: { name: 'bool', float: false, pack: (values) => Uint8Array.from(values) },
  10: { name: 'float16', float: true, pack: (values) => Uint16Array.from(values, numberToHalf) },
  11: { name: 'float64', float: true, pack: (values) => Float64Array.from(values) },
};

/** Packs elements of a type given by the name that onnxruntime, or the JSON form of inputs, has for it. */
export function packTensor(type: string, dims: readonly number[], data: readonly number[]): TensorLike | undefined {
  const known = Object.values(types).find((entry) => entry?.name === (type === 'float' ? 'float32' : type));
  return known && { type: known.name, dims, data: known.pack(data) };
}
