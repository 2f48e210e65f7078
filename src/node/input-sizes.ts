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
  /** Whether there is a key cache among them. */
  readonly cached: boolean;
}

export interface WantedSizes {
  readonly tokens: number;
  readonly batch: number;
  /** Tokens in the key cache, for models that have one. */
  readonly past: number;
}

/** What a decoder's encoder has read is of another length, so that neither is taken for the other. */
const encoderSurplus = 3;

/**
 * Chooses the free sizes of a model's inputs so that it sees about `tokens` tokens. What a free size means is told by
 * its name (batch…, past…, a sum of names), by its place (first axis: batch; the other free one of a cache: past), for
 * masks by whether they share it with the ids (they cover the cache, too, where not), and for pictures and signals by
 * the convolutions behind the input.
 */
export function sizeInputs(model: Model, shapes: Shapes, wanted: WantedSizes): Sizes {
  const { graph } = model;
  const names = graph.proto.input.map(({ name = '' }) => name);
  const encoder = wanted.tokens + (names.some(isEncoder) ? encoderSurplus : 0);
  const idSizes = new Set(
    graph.proto.input.filter(({ name = '' }) => !isMask(name) && !isCache(name)).flatMap(sizeNames),
  );
  const cached = names.some((name) => isCache(name) && !isEncoder(name));
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
      const whole = cached && isMask(name) && !isEncoder(name) && !idSizes.has(dim);
      return freeDim({ name, rank: declared.length, whole }, axis, dim, { ...wanted, encoder });
    });
    inputs.push({ name, elemType, dims });
    const own = stem
      ? axes.reduce((product, axis, i) => product * tokensOf(stem, dims[axis], i), 1)
      : isCache(name) || isMask(name) || isEncoder(name)
        ? 0
        : (dims[1] ?? 0);
    tokens = Math.max(tokens, own);
  }
  return { inputs, tokens, cached };
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

interface Place {
  readonly name: string;
  readonly rank: number;
  /** A mask over the cache and the new tokens. */
  readonly whole: boolean;
}

function freeDim(input: Place, axis: number, size: string, wanted: WantedSizes & { readonly encoder: number }): number {
  const sum = size.split('+').map((part) => part.trim());
  const within: Place = { name: '', rank: 0, whole: false };
  if (sum.length > 1) return sum.reduce((total, part) => total + freeDim(within, 1, part, wanted), 0);
  // A cache of rank 5 has keys and values before its batch.
  const batchAxis = isCache(input.name) && input.rank === 5 ? 1 : 0;
  if (axis === batchAxis || /batch/i.test(size)) return wanted.batch;
  if (isEncoder(`${input.name} ${size}`)) return wanted.encoder;
  if (/total/i.test(size) || input.whole) return wanted.past + wanted.tokens;
  return /past/i.test(size) || isCache(input.name) ? wanted.past : wanted.tokens;
}

export function isCache(input: string): boolean {
  return /past|cache/i.test(input);
}

export function isMask(input: string): boolean {
  return /mask/i.test(input);
}

const isEncoder = (name: string) => /encoder/i.test(name);

function sizeNames(info: ValueInfoProto): string[] {
  return readType(info).declared.filter((dim) => typeof dim === 'string' && dim !== '') as string[];
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
