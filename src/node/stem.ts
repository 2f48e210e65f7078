import { toNumber } from '../onnx/dims.js';
import type { NodeProto } from '../onnx/gen/onnx.js';
import { type Graph, intAttribute, intsAttribute, isOp, stringAttribute } from '../onnx/graph.js';
import type { Shapes } from '../onnx/shapes.js';

/** The convolutions that turn pixels, samples or frames into tokens: what decides how long an input N tokens need. */
export interface Stem {
  readonly channels: number;
  readonly convs: readonly Conv[];
  /** Tokens of a learned position table that is added to them: the one length that the model takes. */
  readonly positions?: number;
}

/** One number a spatial axis. */
interface Conv {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  /** Of both ends together. */
  readonly pad: readonly number[];
}

/** Beyond these, values are no longer a picture or a signal. */
const tokenOps = ['MatMul', 'Gemm', 'Softmax', 'Gather', 'Shape', 'Size'];
const reach = 16;

/** The stem behind a graph input, or undefined when it does not go through a convolution first. */
export function findStem(graph: Graph, input: string, shapes: Shapes): Stem | undefined {
  const convs: Conv[] = [];
  let channels = 0;
  let value = input;
  for (let node = nextConv(graph, value); node; node = nextConv(graph, value)) {
    const shape = shapes(graph, node.input[1] ?? '').shape?.map(toNumber);
    const conv = shape && readConv(node, shape.slice(2));
    if (!conv) break;
    if (convs.length === 0) channels = (shape[1] ?? 1) * (intAttribute(node, 'group') ?? 1);
    convs.push(conv);
    value = node.output[0] ?? '';
    // Later convolutions on pictures shrink keys, or are depthwise: the tokens are those behind the first.
    if (conv.kernel.length > 1) break;
  }
  if (convs.length === 0) return undefined;
  return { channels, convs, positions: positionsBehind(graph, value, shapes) };
}

function readConv(node: NodeProto, kernelShape: readonly (number | undefined)[]): Conv | undefined {
  const kernel = intsAttribute(node, 'kernel_shape') ?? kernelShape;
  const axes = kernel.length;
  const stride = intsAttribute(node, 'strides') ?? new Array<number>(axes).fill(1);
  const dilation = intsAttribute(node, 'dilations') ?? new Array<number>(axes).fill(1);
  const pads = intsAttribute(node, 'pads') ?? new Array<number>(2 * axes).fill(0);
  const same = stringAttribute(node, 'auto_pad')?.startsWith('SAME') ?? false;
  const extent: number[] = [];
  for (const [i, size] of kernel.entries()) {
    if (size === undefined) return undefined;
    extent.push((size - 1) * dilation[i] + 1);
  }
  return { kernel: extent, stride, pad: extent.map((size, i) => (same ? size - 1 : pads[i] + pads[i + axes])) };
}

/** Input length along one spatial axis that gives `tokens` along it. */
export function lengthFor(stem: Stem, tokens: number, axis: number): number {
  return stem.convs.reduceRight(
    (length, { kernel, stride, pad }) => Math.max(1, (length - 1) * stride[axis] + kernel[axis] - pad[axis]),
    tokens,
  );
}

/** Tokens along one spatial axis of an input of `length`. */
export function tokensOf(stem: Stem, length: number, axis: number): number {
  return stem.convs.reduce(
    (size, { kernel, stride, pad }) => Math.floor((size + pad[axis] - kernel[axis]) / stride[axis]) + 1,
    length,
  );
}

/** Nearest convolution downstream of a value. */
function nextConv(graph: Graph, value: string): NodeProto | undefined {
  return walk(graph, value, (node) => isOp(node, 'Conv'), tokenOps);
}

/** Rows of a table [1,T,D] of fixed size that is added to what `value` becomes. */
function positionsBehind(graph: Graph, value: string, shapes: Shapes): number | undefined {
  let rows: number | undefined;
  walk(
    graph,
    value,
    (node) => {
      if (!isOp(node, 'Add')) return false;
      for (const input of node.input) {
        const [batch, tokens, width, ...more] = shapes(graph, input).shape?.map(toNumber) ?? [];
        if (more.length === 0 && batch === 1 && width !== undefined && tokens !== undefined && tokens > 1)
          rows = tokens;
      }
      return rows !== undefined;
    },
    [...tokenOps, 'Conv', 'LayerNormalization', 'ReduceMean', 'Resize'],
  );
  return rows;
}

/** Breadth-first over readers, not past the operators in `stop`, to the first node that `wanted` takes. */
function walk(
  graph: Graph,
  from: string,
  wanted: (node: NodeProto) => boolean,
  stop: readonly string[],
): NodeProto | undefined {
  let front = [from];
  for (let step = 0; step < reach && front.length > 0; step++) {
    const readers = front.flatMap((value) => graph.consumers(value));
    const hit = readers.find(wanted);
    if (hit) return hit;
    front = [...new Set(readers.filter((node) => !isOp(node, ...stop)).flatMap(({ output }) => output))];
  }
  return undefined;
}
