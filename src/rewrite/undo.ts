import { PerformersError } from '../errors.js';
import { concat } from '../onnx/encode.js';
import type { GraphProto, ModelProto, NodeProto, ValueInfoProto } from '../onnx/gen/onnx.js';
import { allGraphs, type Graph, openAsWritten } from '../onnx/graph.js';
import { readMessage, writeMessage } from '../onnx/protobuf.js';
import { readTensor } from '../onnx/tensor.js';
import { metadataKey } from './rewritten.js';

/** What a rewrite took out of a model, enough to put it back. Everything it added begins with `prefix`. */
export interface Undo {
  readonly schema: 'performers.undo/1';
  readonly prefix: string;
  /** In decimal; absent where the file has none. Reports before 0.2 have a number. */
  readonly irVersion?: string | number;
  /** Constants added to the main graph. */
  readonly constants: number;
  /** The metadata entry before, when the model had been rewritten already. */
  readonly metadata?: string;
  readonly graphs: readonly GraphChange[];
  /** Calls of functions that were inlined into the main graph, and what the names of their nodes begin with. */
  readonly inlined?: { readonly prefix: string; readonly calls: readonly Removed[] };
  /** Inputs and outputs of the main graph as they were declared, where they have changed; encoded, in base64. */
  readonly interface?: { readonly input: readonly string[]; readonly output: readonly string[] };
  /** Sets of operators that the model did not import before. */
  readonly imported?: readonly string[];
}

export interface GraphChange {
  readonly path: string;
  /** What was removed: index in the original list, and the encoded message in base64. */
  readonly removed: readonly Removed[];
  readonly valueInfo: readonly Removed[];
  /** Outputs of a branch as they were declared, where they have changed; encoded, in base64. */
  readonly output?: readonly string[];
}
export type Removed = readonly [index: number, message: string];

export const encodeNode = (node: NodeProto) => toText(concat(writeMessage('NodeProto', node)));
export const encodeValueInfo = (info: ValueInfoProto) => toText(concat(writeMessage('ValueInfoProto', info)));
/** How a graph declares what goes in and comes out. */
export const interfaceOf = ({ input, output }: GraphProto) => ({
  input: input.map(encodeValueInfo),
  output: output.map(encodeValueInfo),
});
const decodeNode = (text: string) => readMessage('NodeProto', fromText(text));
const decodeValueInfo = (text: string) => readMessage('ValueInfoProto', fromText(text));

function toText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function fromText(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/**
 * The original of a rewritten model: the nodes that were added go, those that were removed come back to their places.
 *
 * @throws PerformersError PF205 when the record belongs to another model
 */
export function undoRewrite(proto: ModelProto, undo: Undo): ModelProto {
  const isOurs = (name: string) => name.startsWith(undo.prefix);
  const { graph } = openAsWritten(proto);
  const constants = graph.proto.initializer.filter((bytes) => isOurs(readTensor(bytes).name)).length;
  const entry = proto.metadataProps.find(({ key }) => key === metadataKey);
  const paths = new Set(allGraphs(graph).map(({ path }) => path));
  if (
    undo.schema !== 'performers.undo/1' ||
    !entry ||
    constants !== undo.constants ||
    undo.graphs.some(({ path }) => !paths.has(path))
  ) {
    throw new PerformersError('PF205', 'the undo record does not belong to this model', {
      at: 'undo',
      mend: 'pass the rewritten file together with the report that linearize returned for it',
    });
  }
  const changes = new Map(undo.graphs.map((change) => [change.path, change]));
  const restored = restoreGraph(graph, changes, isOurs);
  const imported = new Set(undo.imported);
  const metadata = undo.metadata === undefined ? [] : [{ key: metadataKey, value: undo.metadata }];
  return {
    ...proto,
    irVersion: undo.irVersion === undefined ? undefined : BigInt(undo.irVersion),
    opsetImport: proto.opsetImport.filter(({ domain = '' }) => !imported.has(domain)),
    graph: {
      ...withCalls(restored, undo.inlined),
      ...(undo.interface && {
        input: undo.interface.input.map(decodeValueInfo),
        output: undo.interface.output.map(decodeValueInfo),
      }),
      initializer: restored.initializer.filter((bytes) => !isOurs(readTensor(bytes).name)),
    },
    metadataProps: [...proto.metadataProps.filter((other) => other !== entry), ...metadata],
  };
}

function withCalls(graph: GraphProto, inlined: Undo['inlined']): GraphProto {
  if (!inlined) return graph;
  const kept = graph.node.filter(({ name = '' }) => !name.startsWith(inlined.prefix));
  return { ...graph, node: insert(kept, inlined.calls, decodeNode) };
}

function restoreGraph(
  graph: Graph,
  changes: ReadonlyMap<string, GraphChange>,
  isOurs: (name: string) => boolean,
): GraphProto {
  const change = changes.get(graph.path);
  const kept = graph.nodes
    .filter((node) => !isOurs(node.name ?? ''))
    .map((node) => {
      const before = graph.subgraphs(node);
      const after = before.map((body) => restoreGraph(body, changes, isOurs));
      return after.some((body, i) => body !== before[i]?.proto) ? withBodies(node, after) : node;
    });
  if (!change && kept.every((node, i) => node === graph.nodes[i]) && kept.length === graph.nodes.length) {
    return graph.proto;
  }
  const node = insert(kept, change?.removed ?? [], decodeNode);
  const valueInfo = insert(graph.proto.valueInfo, change?.valueInfo ?? [], decodeValueInfo);
  const output = change?.output ? { output: change.output.map(decodeValueInfo) } : {};
  return { ...graph.proto, node, valueInfo, ...output };
}

/** A copy of a node with its subgraphs replaced, in attribute order. */
export function withBodies(node: NodeProto, bodies: readonly GraphProto[]): NodeProto {
  const rest = [...bodies];
  const attribute = node.attribute.map((a) => {
    if (a.g) return { ...a, g: rest.shift() };
    return a.graphs.length > 0 ? { ...a, graphs: rest.splice(0, a.graphs.length) } : a;
  });
  return { ...node, attribute };
}

/** Puts removed messages back at their original indices; `removed` is in ascending order. */
function insert<T>(kept: readonly T[], removed: readonly Removed[], decode: (text: string) => T): T[] {
  const list = [...kept];
  for (const [index, text] of removed) list.splice(index, 0, decode(text));
  return list;
}
