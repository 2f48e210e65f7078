import type { ValueInfoProto } from '../onnx/gen/onnx.js';
import type { Model } from '../onnx/graph.js';
import type { Shapes } from '../onnx/shapes.js';
import { findStem, lengthFor, type Stem, tokensOf } from './stem.js';

/** A graph input with a number for every dim. */
export interface SizedInput {
  readonly name: string;
  /** ONNX element type; 0 for what is no tensor. */
  readonly elemType: number;
  readonly dims: readonly number[];
}

export interface Sizes {
  readonly inputs: readonly SizedInput[];
  /** Tokens that these inputs make, as near to the number asked for as the model lets them be. */
  readonly tokens: number;
}

/**
 * Chooses the free sizes of a model's inputs so that it sees about `tokens` tokens. What a free size means is told by
 * its name (batch…, past…, a sum of names), by its place (first axis: batch), and for pictures and signals by the
 * convolutions behind the input.
 */
export function sizeInputs(model: Model, shapes: Shapes, wanted: { tokens: number; batch: number }): Sizes {
  const { graph } = model;
  const inputs: SizedInput[] = [];
  let tokens = 0;
  for (const info of graph.proto.input) {
    const { name = '' } = info;
    if (graph.initializer(name)) continue;
    const { elemType, declared } = readType(info);
    const stem = isFloat(elemType) && declared.length >= 2 ? findStem(graph, name, shapes) : undefined;
    const axes = stem ? spatialAxes(declared, stem) : [];
    const side = stem ? perAxis(stem, wanted.tokens, axes.length) : 0;
    const dims = declared.map((dim, axis) => {
      if (typeof dim === 'number') return dim;
      if (stem && axes.includes(axis)) return lengthFor(stem, side, axes.indexOf(axis));
      if (stem && axis > 0) return stem.channels;
      return freeDim(name, axis, dim, wanted);
    });
    inputs.push({ name, elemType, dims });
    const own = stem
      ? axes.reduce((product, axis, i) => product * tokensOf(stem, dims[axis], i), 1)
      : isCache(name)
        ? 0
        : (dims[1] ?? 0);
    tokens = Math.max(tokens, own);
  }
  return { inputs, tokens };
}

/** A free dim is its name; '' when it has none. */
function readType(info: ValueInfoProto): { elemType: number; declared: (number | string)[] } {
  const type = info.type?.value;
  if (type?.$case !== 'tensorType') return { elemType: 0, declared: [] };
  const declared = type.value.shape?.dim.map(({ value }) => {
    if (value?.$case === 'dimValue' && value.value > 0n) return Number(value.value);
    return value?.$case === 'dimParam' ? value.value : '';
  });
  return { elemType: type.value.elemType ?? 0, declared: declared ?? [] };
}

function freeDim(input: string, axis: number, name: string, wanted: { tokens: number; batch: number }): number {
  const sum = name.split('+').map((part) => part.trim());
  if (sum.length > 1) return sum.reduce((total, part) => total + freeDim('', 1, part, wanted), 0);
  if (axis === 0 || /batch/i.test(name)) return wanted.batch;
  if (/^past/i.test(name) || (isCache(input) && axis === 2 && !/encoder/i.test(name))) return 0;
  return wanted.tokens;
}

export function isCache(input: string): boolean {
  return /past|cache/i.test(input);
}

const isFloat = (elemType: number) => elemType === 1 || elemType === 10 || elemType === 11;

/** Axes that the convolutions slide along: the last ones, or those before the channels where these come last. */
function spatialAxes(declared: readonly (number | string)[], { convs: [conv], channels }: Stem): number[] {
  const rank = declared.length;
  const count = conv?.kernel.length ?? 0;
  const channelsLast = rank === count + 2 && declared[rank - 1] === channels && declared[1] !== channels;
  const first = channelsLast ? 1 : rank - count;
  return Array.from({ length: count }, (_, i) => first + i).filter((axis) => axis > 0);
}

/** Tokens along one axis: a square of them on pictures, and what the position table allows. */
function perAxis({ positions }: Stem, tokens: number, axes: number): number {
  if (axes < 2) return positions ?? tokens;
  if (positions === undefined) return Math.max(1, Math.round(Math.sqrt(tokens)));
  // One row may be for a class token.
  const side = Math.floor(Math.sqrt(positions));
  return Math.max(1, side);
}
