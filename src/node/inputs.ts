import { PerformersError } from '../errors.js';
import { gaussians, streamSeed, uniforms } from '../features/rng.js';
import { toNumber } from '../onnx/dims.js';
import { allGraphs, type Graph, isOp, type Model } from '../onnx/graph.js';
import { inferShapes, type Shapes } from '../onnx/shapes.js';
import { numberToHalf } from '../onnx/tensor.js';
import type { Feeds, TensorLike } from '../session.js';
import { isCache, isMask, type SizedInput, sizeInputs } from './input-sizes.js';

export interface GeneratedInputs {
  readonly feeds: Feeds;
  /** Tokens that the model sees; differs from the number asked for where the model fixes a size or cuts squares. */
  readonly tokens: number;
  /** Tokens in the cache; 0 for a model without one. */
  readonly past: number;
  readonly batch: number;
  /** Where rows are padded; undefined where none is. */
  readonly padding: 'left' | 'right' | undefined;
}

export interface InputOptions {
  readonly tokens: number;
  /** Default 1. */
  readonly batch?: number;
  /** Tokens in the key cache, for models that have one. Default 0. */
  readonly past?: number;
  /** Where all rows of a batch but the first have a third of padding. Default right. */
  readonly padding?: 'left' | 'right';
  /** Which branch a merged decoder takes; by default the one with a cache where there is a past. */
  readonly useCache?: boolean;
  /** Default 0. */
  readonly seed?: number;
}

/**
 * Inputs for any model, made from its graph: token ids within the table that they look up, masks of ones and, in all rows
 * but the first, padding; positions that count what is not padding; a cache of N(0, 1) and lengths that fit it; N(0, 1)
 * for pictures, signals and hidden states.
 *
 * GroupQueryAttention leaves what comes out for padding undefined, so that its prompts are not padded; its steps are, on
 * the right, and a prompt with a past is of one row, as it asks.
 *
 * @throws PerformersError PF204 for an input of a type that has no such values (strings, sequences)
 */
export function generateInputs(model: Model, options: InputOptions): GeneratedInputs {
  const { tokens, past = 0, seed = 0 } = options;
  const grouped = allGraphs(model.graph).some(({ nodes }) =>
    nodes.some(({ opType }) => opType === 'GroupQueryAttention'),
  );
  const batch = grouped && tokens > 1 && past > 0 ? 1 : (options.batch ?? 1);
  const shapes = inferShapes(model);
  const sizes = sizeInputs(model, shapes, { tokens, batch, past });
  const context: Context = {
    graph: model.graph,
    shapes,
    past,
    total: tokens + past,
    useCache: options.useCache ?? past > 0,
    padded: grouped && tokens > 1 ? undefined : grouped ? 'right' : (options.padding ?? 'right'),
  };
  const feeds = sizes.inputs.map((input, index) => [input.name, makeTensor(context, input, streamSeed(seed, index))]);
  const masked = sizes.inputs.some(({ name }) => isMask(name) || /lens/i.test(name));
  return {
    feeds: Object.fromEntries(feeds),
    tokens: sizes.tokens,
    past: sizes.cached ? past : 0,
    batch,
    padding: batch > 1 && masked ? context.padded : undefined,
  };
}

interface Context {
  readonly graph: Graph;
  readonly shapes: Shapes;
  readonly past: number;
  /** Of the cache and the new tokens. */
  readonly total: number;
  readonly useCache: boolean;
  readonly padded: 'left' | 'right' | undefined;
}

function makeTensor(given: Context, input: SizedInput, seed: number): TensorLike {
  // Tokenizers and processors fill what an encoder reads on the right, and a graph may look at every n-th place of its
  // mask only: with the first ones hidden, a decoder could be left without any key, where a rewrite gives zeros.
  const filled = given.padded !== undefined && /^encoder_/.test(input.name);
  const context: Context = filled ? { ...given, padded: 'right' } : given;
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
  const value = type.float ? floatValues(context, name, dims, seed) : wholeValues(context, input, type.name, seed);
  const size = dims.reduce((product, dim) => product * dim, 1);
  return { type: type.name, dims, data: type.pack(Array.from({ length: size }, (_, i) => value(i))) };
}

/** Element at a flat index. */
type Values = (index: number) => number;

function floatValues(context: Context, name: string, dims: readonly number[], seed: number): Values {
  // A mask of rank 2 is one of ones and zeros; a larger one is added to the scores.
  if (isMask(name)) return dims.length <= 2 ? keepMask(context, dims) : () => 0;
  return gaussians(seed);
}

function wholeValues(context: Context, { name, dims }: SizedInput, type: string, seed: number): Values {
  const { graph, shapes, past, total, padded } = context;
  const last = dims[dims.length - 1] ?? 1;
  const keep = keepMask(context, dims);
  const read = readers(graph, name);
  if (/pad(ding)?(_?mask)?$/i.test(name) && type === 'bool') return (i) => 1 - keep(i);
  if (read(5) || /seq_?lens?_k/i.test(name)) return (i) => keptOf(total, i, padded) - 1;
  if (read(6) || /^total_/i.test(name)) return () => total;
  if (isMask(name)) return keep;
  if (isCache(name) && type === 'bool') return () => Number(context.useCache);
  if (isCache(name) && dims.length < 2 && !/position/i.test(name)) return () => past;
  if (type === 'bool' || /token_type|segment/i.test(name)) return () => 0;
  if (/position/i.test(name)) {
    const missing = (row: number) => (padded === 'left' ? total - keptOf(total, row, padded) : 0);
    return (i) => Math.max(0, past + (i % last) - missing(Math.floor(i / last)));
  }
  if (dims.length === 0) return () => 1;
  const rows = rowsOfTable(graph, name, shapes) ?? 16;
  const uniform = uniforms(seed);
  return () => Math.floor(uniform() * rows);
}

/** Whether a value is read, behind casts, as one of the inputs of GroupQueryAttention. */
function readers(graph: Graph, value: string): (input: number) => boolean {
  const nodes = graph.consumers(value);
  return (input) =>
    nodes.some(
      (node) =>
        (node.opType === 'GroupQueryAttention' && node.input[input] === value) ||
        (isOp(node, 'Cast') && readers(graph, node.output[0] ?? '')(input)),
    );
}

/** Tokens of a row that are no padding: all of the first row, two thirds (at least one) of the others. */
function keptOf(length: number, row: number, padded: Context['padded']): number {
  return row === 0 || !padded ? length : Math.max(1, Math.ceil((2 * length) / 3));
}

/** 1 for what is looked at. */
function keepMask({ padded }: Context, dims: readonly number[]): Values {
  const last = dims[dims.length - 1] ?? 1;
  const count = dims.slice(1, -1).reduce((product, dim) => product * dim, last);
  return (i) => {
    const kept = keptOf(last, Math.floor(i / count), padded);
    return Number(padded === 'left' ? i % last >= last - kept : i % last < kept);
  };
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

/** What onnxruntime calls an ONNX element type; undefined for one that has no values here. */
export function elementTypeName(elemType: number): string | undefined {
  return types[elemType]?.name;
}

/** Packs elements of a type given by the name that onnxruntime, or the JSON form of inputs, has for it. */
export function packTensor(type: string, dims: readonly number[], data: readonly number[]): TensorLike | undefined {
  const known = Object.values(types).find((entry) => entry?.name === (type === 'float' ? 'float32' : type));
  return known && { type: known.name, dims, data: known.pack(data) };
}
