/**
 * Cuts a model at the attention it leaves to kernels (kernel-nodes.ts) into models that onnxruntime can run one after another:
 *
 *   segment 0 → kernels → segment 1 → kernels → … → last segment
 *
 * A node belongs to the segment after the last kernel it depends on. A value that later segments read is an output of its own segment and an
 * input of theirs; each initializer is in the segments that read it. What is made of constants alone, and arithmetic on the shapes
 * and scalars of the model's inputs, is computed again in each segment that reads it: cheaper than handing it on.
 */
import { toNumber } from '../onnx/dims.js';
import {
  TensorProto_DataType as DataType,
  type ModelProto,
  type NodeProto,
  type ValueInfoProto,
} from '../onnx/gen/onnx.js';
import { captured, domainOf, type Graph, type Model } from '../onnx/graph.js';
import { makeValueInfo } from '../onnx/message.js';
import { inferShapes } from '../onnx/shapes.js';
import { readSmall, readTensor } from '../onnx/tensor.js';
import type { ValueType } from '../onnx/value-type.js';
import { kernelDomain } from './kernel-nodes.js';

/** A kernel node and what it reads. */
export interface KernelCall {
  readonly operator: string;
  /** Values [B,H,N,D], [B,G,S,D], [B,G,S,E]. */
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** [B or 1,1,1,S] */
  readonly keyBias?: string;
  /** [1,1,rows,columns] of TileAttention. */
  readonly grid?: string;
  /** [B,H,N,E] */
  readonly output: string;
  /** The inputs behind these, in order; undefined where one is left out. */
  readonly constants: readonly (Float32Array | undefined)[];
  readonly attributes: Readonly<Record<string, number>>;
}

export interface Segment {
  readonly model: ModelProto;
  /** Inputs of the model, and values of earlier segments and kernels. */
  readonly inputs: readonly string[];
  /** None where the kernels read nothing but inputs of the model. */
  readonly outputs: readonly SegmentOutput[];
  /** They run when the segment has. */
  readonly calls: readonly KernelCall[];
}

export interface SegmentOutput {
  readonly name: string;
  /** Sizes and other small integers, which onnxruntime keeps on the CPU. */
  readonly onCpu: boolean;
}

export interface Segmented {
  readonly segments: readonly Segment[];
  /** The segment with whose kernels a value has been read for the last time; inputs of the model are not listed. */
  readonly lastUse: ReadonlyMap<string, number>;
}

/** Whether a model leaves anything to kernels. */
export function hasKernels({ graph }: Model): boolean {
  return graph.nodes.some(isKernel);
}

/** Pure: what does not change is shared with the model given. A model without kernels is one segment. `uncut`: why it cannot be cut. */
export function cutAtKernels(model: Model): Segmented | { readonly uncut: string } {
  const { graph } = model;
  const shapes = inferShapes(model);
  const typeOf = (value: string) => shapes(graph, value);
  const levelOf = levelsOf(graph);
  const again = computedAgain(graph, typeOf);
  const count = 1 + Math.max(0, ...graph.nodes.map((node) => levelOf(node) + (isKernel(node) ? 1 : 0)));
  const wanted = Array.from({ length: count }, () => new Set<string>());
  const calls = Array.from({ length: count }, (): KernelCall[] => []);
  const lastUse = new Map<string, number>();
  const called = new Set<NodeProto>();
  let uncut: string | undefined;
  const want = (value: string, reader: number): void => {
    const producer = graph.producer(value);
    if (!producer) return;
    lastUse.set(value, Math.max(lastUse.get(value) ?? 0, reader));
    if (!isKernel(producer)) wanted[levelOf(producer)].add(value);
    else if (!called.has(producer)) call(producer);
  };
  const call = (node: NodeProto): void => {
    called.add(node);
    const level = levelOf(node);
    const read = readCall(graph, node);
    calls[level].push(read);
    for (const value of [read.q, read.k, read.v, read.keyBias, read.grid]) {
      if (value && graph.initializer(value)) uncut ??= `'${value}', which a kernel reads, is a constant`;
      else if (value) want(value, level);
    }
  };
  for (const { name = '' } of graph.proto.output) want(name, count - 1);
  const segments: Segment[] = [];
  // From the last: what later segments read of one is known when its turn comes.
  for (let level = count - 1; level >= 0; level--) {
    const part = partOf(
      graph,
      wanted[level],
      (node) => !isKernel(node) && (again.has(node) || levelOf(node) === level),
    );
    const input: ValueInfoProto[] = [];
    for (const value of part.inputs) {
      want(value, level);
      const info = graph.proto.input.find(({ name }) => name === value) ?? declare(value, typeOf(value));
      if (info) input.push(info);
      else uncut ??= `the type of '${value}', which would cross a cut, is not known`;
    }
    segments.unshift({
      model: segmentModel(model, { ...part, input, outputs: wanted[level], typeOf }),
      inputs: [...part.inputs],
      outputs: [...wanted[level]].map((name) => ({ name, onCpu: isSmall(typeOf(name)) })),
      calls: calls[level],
    });
  }
  if (uncut !== undefined) return { uncut };
  return { segments, lastUse };
}

const isKernel = (node: NodeProto) => domainOf(node) === kernelDomain;

/** How many kernels, one behind the other, a node waits for. */
function levelsOf(graph: Graph): (node: NodeProto) => number {
  const levels = new Map<NodeProto, number>();
  for (const node of graph.sorted) {
    let level = 0;
    for (const value of reads(graph, node)) {
      const producer = graph.producer(value);
      if (producer) level = Math.max(level, (levels.get(producer) ?? 0) + (isKernel(producer) ? 1 : 0));
    }
    levels.set(node, level);
  }
  return (node) => levels.get(node) ?? 0;
}

/** Values of this graph that a node reads, for its subgraphs too. */
function reads(graph: Graph, node: NodeProto): string[] {
  return [...node.input.filter(Boolean), ...graph.subgraphs(node).flatMap((body) => [...captured(body)])];
}

const random = /^(Random|Bernoulli$|Multinomial$)/;

/** Nodes that every segment computes for itself: of constants alone, or small ones of the model's inputs. */
function computedAgain(graph: Graph, typeOf: (value: string) => ValueType): Set<NodeProto> {
  const again = new Set<NodeProto>();
  const ofInputs = new Set<NodeProto>();
  for (const node of graph.sorted) {
    if (isKernel(node) || random.test(node.opType ?? '') || graph.subgraphs(node).length > 0) continue;
    const values = reads(graph, node);
    const producers = values.flatMap((value) => graph.producer(value) ?? []);
    if (!producers.every((producer) => again.has(producer))) continue;
    const fed = values.some((value) => graph.isInput(value)) || producers.some((producer) => ofInputs.has(producer));
    if (fed && !node.output.every((value) => value === '' || isSmall(typeOf(value)))) continue;
    again.add(node);
    if (fed) ofInputs.add(node);
  }
  return again;
}

const integers: readonly number[] = [DataType.INT64, DataType.INT32, DataType.BOOL];

/** A scalar, or a list of integers. */
function isSmall({ elemType, shape }: ValueType): boolean {
  return shape !== undefined && (shape.length === 0 || (shape.length === 1 && integers.includes(elemType)));
}

interface Part {
  readonly nodes: ReadonlySet<NodeProto>;
  readonly inputs: ReadonlySet<string>;
  readonly initializers: ReadonlySet<string>;
}

/** What computes some values of nodes that are `inside`, and what that reads from elsewhere. */
function partOf(graph: Graph, wanted: Iterable<string>, inside: (node: NodeProto) => boolean): Part {
  const nodes = new Set<NodeProto>();
  const inputs = new Set<string>();
  const initializers = new Set<string>();
  const queue = [...wanted];
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    const producer = graph.producer(value);
    if (producer && inside(producer)) {
      if (!nodes.has(producer)) queue.push(...reads(graph, producer));
      nodes.add(producer);
      continue;
    }
    if (graph.initializer(value)) initializers.add(value);
    if (producer || graph.isInput(value)) inputs.add(value);
  }
  return { nodes, inputs, initializers };
}

function segmentModel(
  { proto, graph }: Model,
  part: Part & {
    readonly input: readonly ValueInfoProto[];
    readonly outputs: Iterable<string>;
    readonly typeOf: (value: string) => ValueType;
  },
): ModelProto {
  const computed = new Set([...part.nodes].flatMap(({ output }) => output));
  const output = [...part.outputs].map(
    (name) =>
      graph.proto.output.find((info) => info.name === name) ??
      declare(name, part.typeOf(name)) ?? { name, metadataProps: [] },
  );
  return {
    ...proto,
    graph: {
      ...graph.proto,
      node: graph.sorted.filter((node) => part.nodes.has(node)),
      initializer: graph.proto.initializer.filter((bytes) => part.initializers.has(readTensor(bytes).name)),
      input: part.input,
      output,
      valueInfo: graph.proto.valueInfo.filter(({ name = '' }) => computed.has(name)),
    },
  };
}

/** A declaration with the sizes that are numbers; undefined where the element type is unknown. */
function declare(name: string, { elemType, shape }: ValueType): ValueInfoProto | undefined {
  if (elemType === DataType.UNDEFINED) return undefined;
  if (shape) return makeValueInfo(name, elemType, shape.map(sizeOf));
  return { name, type: { value: { $case: 'tensorType', value: { elemType } } }, metadataProps: [] };
}

/** Sizes of 0 or less are no sizes of a declaration. */
function sizeOf(dim: Parameters<typeof toNumber>[0]): number | undefined {
  const size = toNumber(dim);
  return size !== undefined && size > 0 ? size : undefined;
}

function readCall(graph: Graph, node: NodeProto): KernelCall {
  const [q = '', k = '', v = '', keyBias = '', ...others] = node.input;
  const [grid, constants] = node.opType === 'TileAttention' ? [others[0], others.slice(1)] : [undefined, others];
  return {
    operator: node.opType ?? '',
    ...{ q, k, v, ...(keyBias && { keyBias }), ...(grid && { grid }), output: node.output[0] },
    constants: constants.map((name) => {
      const tensor = name ? graph.initializer(name) : undefined;
      return tensor && Float32Array.from(readSmall(tensor, Number.POSITIVE_INFINITY) ?? []);
    }),
    attributes: Object.fromEntries(node.attribute.map(({ name = '', i, f }) => [name, Number(i ?? f ?? 0)])),
  };
}
