import { PerformersError } from '../errors.js';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from './gen/onnx.js';
import { type Inlined, inlineFunctions } from './inline.js';
import { readSmall, readTensor, type Tensor } from './tensor.js';

/** One graph or subgraph with look-ups by value name. Subgraphs see the values of the graphs around them. */
export interface Graph {
  readonly proto: GraphProto;
  /** `If node/branch` steps joined by `::`; empty for the main graph. */
  readonly path: string;
  readonly outer?: Graph;
  /** The node of `outer` that it is a subgraph of. */
  readonly holder?: NodeProto;
  readonly nodes: readonly NodeProto[];
  /** The same nodes, each behind those that it reads from. Files have them so, but for what converters append. */
  readonly sorted: readonly NodeProto[];
  readonly inner: readonly Graph[];
  /** Subgraphs by the node that holds them, in attribute order. */
  subgraphs(node: NodeProto): readonly Graph[];
  /** The node of this graph that computes a value. */
  producer(value: string): NodeProto | undefined;
  /** An initializer of this graph. */
  initializer(value: string): Tensor | undefined;
  isInput(value: string): boolean;
  isOutput(value: string): boolean;
  /** Nodes, here and in subgraphs, that read a value of this graph. */
  consumers(value: string): readonly NodeProto[];
}

export interface Model {
  /** With the calls of model-local functions inlined. */
  readonly proto: ModelProto;
  /** The calls that were, where there were any. */
  readonly inlined?: Inlined;
  readonly graph: Graph;
  /** Opset version by domain; the standard domain is ''. */
  readonly opsets: ReadonlyMap<string, number>;
}

/**
 * Indexes a decoded model. Node and value look-ups are O(1) afterwards; nothing is copied.
 *
 * @throws PerformersError PF109 where two nodes compute one value, or one computes itself; PF102 for a damaged tensor
 */
export function openModel(given: ModelProto): Model {
  const inlined = inlineFunctions(given);
  return inlined ? { ...openAsWritten(inlined.proto), inlined } : openAsWritten(given);
}

/** openModel() with calls of functions left as they are. @throws PerformersError PF109, PF102 */
export function openAsWritten(proto: ModelProto): Model {
  if (!proto.graph) throw new TypeError('decode() lets no model without a graph through');
  const opsets = new Map(
    proto.opsetImport.map(
      ({ domain = '', version = 0n }) => [domain === 'ai.onnx' ? '' : domain, Number(version)] as const,
    ),
  );
  return { proto, graph: openGraph(proto.graph, ''), opsets };
}

function openGraph(proto: GraphProto, path: string, around: Pick<Graph, 'outer' | 'holder'> = {}): Graph {
  const producers = new Map<string, NodeProto>();
  const consumers = new Map<string, NodeProto[]>();
  const held = new Map<NodeProto, Graph[]>();
  const inner: Graph[] = [];
  const paths = new Set<string>();
  const initializers = new Map<string, Tensor>();
  const order: NodeProto[] = [];
  for (const bytes of proto.initializer) {
    const tensor = readTensor(bytes);
    initializers.set(tensor.name, tensor);
  }
  const inputs = new Set(proto.input.map(({ name = '' }) => name));
  const outputs = new Set(proto.output.map(({ name = '' }) => name));
  const graph: Graph = {
    proto,
    path,
    ...around,
    nodes: proto.node,
    sorted: order,
    inner,
    subgraphs: (node) => held.get(node) ?? [],
    producer: (value) => producers.get(value),
    initializer: (value) => initializers.get(value),
    isInput: (value) => inputs.has(value),
    isOutput: (value) => outputs.has(value),
    consumers: (value) => consumers.get(value) ?? [],
  };
  const read = (value: string, node: NodeProto) => {
    const list = consumers.get(value);
    if (list) list.push(node);
    else consumers.set(value, [node]);
  };
  for (const node of proto.node) {
    for (const output of node.output) {
      if (producers.has(output)) throw invalid(`two nodes compute '${output}'`, path);
      if (output) producers.set(output, node);
    }
    for (const input of node.input) if (input) read(input, node);
    const children: Graph[] = [];
    for (const attribute of node.attribute) {
      const bodies = attribute.g ? [attribute.g] : attribute.graphs;
      for (const body of bodies) {
        const child = openGraph(body, freshPath(path, node, attribute, paths), { outer: graph, holder: node });
        inner.push(child);
        children.push(child);
        for (const value of captured(child)) read(value, node);
      }
    }
    if (children.length > 0) held.set(node, children);
  }
  for (const node of inOrder(graph)) order.push(node);
  return graph;
}

/** One path a graph: nodes may share a name, and an attribute may hold several graphs. */
function freshPath(outer: string, node: NodeProto, { name }: AttributeProto, taken: Set<string>): string {
  // A name may be as long as the file: not to be repeated for every graph below it.
  const step = `${(node.name || node.output[0] || '').slice(0, 500)}/${(name ?? '').slice(0, 500)}`;
  const path = outer ? `${outer}::${step}` : step;
  let free = path;
  for (let i = 2; taken.has(free); i++) free = `${path}#${i}`;
  taken.add(free);
  return free;
}

/** Kahn's algorithm. What walks the graph afterwards need not fear to walk in circles. */
function inOrder(graph: Graph): readonly NodeProto[] {
  const waiting = new Map<NodeProto, number>();
  for (const node of graph.nodes) waiting.set(node, 0);
  for (const node of graph.nodes) {
    for (const output of node.output) {
      for (const reader of graph.consumers(output)) waiting.set(reader, (waiting.get(reader) ?? 0) + 1);
    }
  }
  const ready = graph.nodes.filter((node) => waiting.get(node) === 0);
  // The list grows while it is walked.
  for (const node of ready) {
    for (const output of node.output) {
      for (const reader of graph.consumers(output)) {
        const left = (waiting.get(reader) ?? 0) - 1;
        waiting.set(reader, left);
        if (left === 0) ready.push(reader);
      }
    }
  }
  const [stuck] = graph.nodes.filter((node) => waiting.get(node) !== 0);
  if (stuck) throw invalid(`'${stuck.output[0]}' is computed from itself`, graph.path);
  return ready;
}

function invalid(what: string, path: string): PerformersError {
  return new PerformersError('PF109', `the graph is not valid ONNX: ${what}`, {
    at: path ? `subgraph ${path}` : 'the main graph',
    mend: 'onnx.checker.check_model shows what is wrong; export the model again',
  });
}

/** Values that a subgraph, or one within it, reads from outside. */
export function captured(graph: Graph): Set<string> {
  const names = new Set<string>();
  const own = (value: string) => Boolean(graph.producer(value) ?? graph.initializer(value)) || graph.isInput(value);
  const add = (value: string) => {
    if (value && !own(value)) names.add(value);
  };
  for (const node of graph.nodes) for (const input of node.input) add(input);
  for (const { name = '' } of graph.proto.output) add(name);
  for (const child of graph.inner) for (const value of captured(child)) add(value);
  return names;
}

/** This graph and all within it, outermost first, in node order. */
export function allGraphs(graph: Graph): Graph[] {
  return [graph, ...graph.inner.flatMap(allGraphs)];
}

/** The graph that defines a value seen from `graph`. */
export function definer(graph: Graph, value: string): Graph | undefined {
  for (let at: Graph | undefined = graph; at; at = at.outer) {
    if (at.producer(value) ?? at.initializer(value)) return at;
    if (at.isInput(value)) return at;
  }
  return undefined;
}

/** The node that computes a value, looked up through the enclosing graphs. */
export function producerOf(graph: Graph, value: string): NodeProto | undefined {
  return definer(graph, value)?.producer(value);
}

/** Head of the initializer or Constant node behind a value. */
export function tensorOf(graph: Graph, value: string): Tensor | undefined {
  const home = definer(graph, value);
  const tensor = home?.initializer(value);
  if (tensor) return home?.isInput(value) ? undefined : tensor;
  const node = home?.producer(value);
  if (node?.opType !== 'Constant' || domainOf(node)) return undefined;
  const bytes = attribute(node, 'value')?.t;
  return bytes ? readTensor(bytes) : undefined;
}

/** Elements of a small constant with its dims; from an initializer or any form of a Constant node. */
export function constantOf(
  graph: Graph,
  value: string,
  limit?: number,
): { dims: readonly number[]; data: number[] } | undefined {
  const tensor = tensorOf(graph, value);
  if (tensor) {
    const data = readSmall(tensor, limit);
    return data && { dims: tensor.dims, data };
  }
  const node = producerOf(graph, value);
  if (node?.opType !== 'Constant' || domainOf(node)) return undefined;
  for (const a of node.attribute) {
    if (a.name === 'value_int') return { dims: [], data: [Number(a.i)] };
    if (a.name === 'value_float') return { dims: [], data: [a.f ?? 0] };
    if (a.name === 'value_ints') return { dims: [a.ints.length], data: a.ints.map(Number) };
    if (a.name === 'value_floats') return { dims: [a.floats.length], data: [...a.floats] };
  }
  return undefined;
}

export function attribute(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((a) => a.name === name);
}
export function intAttribute(node: NodeProto, name: string): number | undefined {
  const a = attribute(node, name);
  return a && a.type !== AttributeType.FLOAT ? Number(a.i ?? 0) : undefined;
}
export function floatAttribute(node: NodeProto, name: string): number | undefined {
  return attribute(node, name)?.f;
}
export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return attribute(node, name)?.ints.map(Number);
}
export function stringAttribute(node: NodeProto, name: string): string | undefined {
  const a = attribute(node, name);
  return a && new TextDecoder().decode(a.s);
}

/** Domain of a node's operator; the standard one, which may be written 'ai.onnx', is ''. */
export function domainOf(node: NodeProto): string {
  return node.domain === undefined || node.domain === 'ai.onnx' ? '' : node.domain;
}

/** `domain.Op`, or `Op` alone in the standard domain. */
export function operatorName(node: NodeProto): string {
  const domain = domainOf(node);
  return domain ? `${domain}.${node.opType}` : (node.opType ?? '');
}

/** True for an operator of the standard domain. */
export function isOp(node: NodeProto | undefined, ...types: string[]): boolean {
  return node !== undefined && !domainOf(node) && types.includes(node.opType ?? '');
}
