/**
 * Model-local functions (FunctionProto): each call is replaced by what the function does, so that everything after
 * this sees one graph. What is added is named by a prefix of its own and the calls are kept, which is all that it takes
 * to put them back. A call is left as it is where that would not be the same: a function that calls itself, that is of
 * another version of an operator set than the model, or whose subgraphs hold weights; and all are left where the graph
 * would grow out of proportion.
 */
import { PerformersError } from '../errors.js';
import type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto } from './gen/onnx.js';
import { makeNode } from './message.js';
import { readMessage } from './protobuf.js';

export interface Inlined {
  readonly proto: ModelProto;
  /** What the names of all nodes and values that were added begin with. */
  readonly prefix: string;
  /** The calls of the main graph: index among its nodes as they were, and the node. In ascending order. */
  readonly calls: readonly (readonly [index: number, node: NodeProto])[];
}

/** Nodes that may be made for each one of the file. */
const growth = 16;

/** The model with its calls of functions inlined, or undefined where there are none. */
export function inlineFunctions(proto: ModelProto): Inlined | undefined {
  const { graph } = proto;
  if (!graph || proto.functions.length === 0) return undefined;
  const functions = proto.functions.flatMap(readFunction);
  const known = new Map(functions.map((f) => [keyOf(f.domain, f.name, f.overload), f]));
  const versions = new Map(proto.opsetImport.map(({ domain, version }) => [standard(domain), version]));
  const prefix = freshPrefix(graph);
  const all = functions.reduce((sum, { node }) => sum + node.length, graph.node.length);
  let room = growth * all;
  let count = 0;

  const bodyOf = (node: NodeProto, within: readonly FunctionProto[]): FunctionProto | undefined => {
    const body = known.get(keyOf(node.domain, node.opType, node.overload));
    return body && !within.includes(body) && isPlain(body, versions) ? body : undefined;
  };
  const expand = (node: NodeProto, within: readonly FunctionProto[]): readonly NodeProto[] => {
    const body = bodyOf(node, within);
    if (!body || room < 0) return [node];
    room -= body.node.length + 1;
    count += 1;
    return instance(body, node, `${prefix}${count}/`).flatMap((inner) => expand(inner, [...within, body]));
  };

  const calls: (readonly [number, NodeProto])[] = [];
  const nodes: NodeProto[] = [];
  for (const [index, node] of graph.node.entries()) {
    const expanded = expand(node, []);
    if (expanded[0] !== node) calls.push([index, node]);
    for (const inner of expanded) nodes.push(inner);
  }
  if (calls.length === 0 || room < 0) return undefined;
  return { proto: { ...proto, graph: { ...graph, node: nodes } }, prefix, calls };
}

/** A function that cannot be read is passed on as it is, and so are calls of it. */
function readFunction(bytes: Uint8Array): FunctionProto[] {
  try {
    return [readMessage('FunctionProto', bytes)];
  } catch (error) {
    if (error instanceof PerformersError) return [];
    throw error;
  }
}

const standard = (domain = '') => (domain === 'ai.onnx' ? '' : domain);
const keyOf = (domain?: string, name = '', overload = '') => JSON.stringify([standard(domain), name, overload]);

function isPlain(body: FunctionProto, versions: ReadonlyMap<string, bigint | undefined>): boolean {
  const used = new Set(body.node.map(({ domain }) => standard(domain)));
  const same = body.opsetImport.every(
    ({ domain, version }) => !used.has(standard(domain)) || versions.get(standard(domain)) === version,
  );
  return same && body.node.length > 0 && !body.node.some(holdsWeights);
}

function holdsWeights(node: NodeProto): boolean {
  return bodies(node).some((graph) => graph.initializer.length > 0 || graph.node.some(holdsWeights));
}

const bodies = (node: NodeProto): GraphProto[] => node.attribute.flatMap(({ g, graphs }) => (g ? [g] : graphs));

/** The nodes of a function as one call has them: its inputs, outputs and attributes those of the call. */
function instance(body: FunctionProto, call: NodeProto, prefix: string): NodeProto[] {
  const names = new Map<string, string>();
  for (const [i, name] of body.input.entries()) names.set(name, call.input[i] ?? '');
  const passed: NodeProto[] = [];
  for (const [i, name] of body.output.entries()) {
    const output = call.output[i];
    const input = names.get(name);
    if (!output) continue;
    // An output that is an input as it came, or that is given out twice.
    if (input !== undefined) {
      passed.push(makeNode({ opType: 'Identity', name: `${prefix}Identity_${i}`, input: [input], output: [output] }));
    } else names.set(name, output);
  }
  const rename = (value: string) => (value ? (names.get(value) ?? `${prefix}${value}`) : value);
  const attributeOf = (attribute: AttributeProto): AttributeProto[] => {
    const { refAttrName, name, g, graphs } = attribute;
    if (!refAttrName) {
      return [{ ...attribute, ...(g && { g: inner(g) }), graphs: graphs.map(inner) }];
    }
    const given = [...call.attribute, ...body.attributeProto].find((other) => other.name === refAttrName);
    return given ? [{ ...given, name }] : [];
  };
  const nodeOf = (node: NodeProto, at: number): NodeProto => ({
    ...node,
    name: `${prefix}${node.name || `${node.opType}_${at}`}`,
    input: node.input.map(rename),
    output: node.output.map(rename),
    attribute: node.attribute.flatMap(attributeOf),
  });
  const inner = (graph: GraphProto): GraphProto => ({
    ...graph,
    node: graph.node.map(nodeOf),
    input: graph.input.map((info) => ({ ...info, name: rename(info.name ?? '') })),
    output: graph.output.map((info) => ({ ...info, name: rename(info.name ?? '') })),
    valueInfo: [],
  });
  return [...body.node.map(nodeOf), ...passed];
}

function freshPrefix({ node, input, output }: GraphProto): string {
  const taken = new Set<string>();
  const take = (name = '') => taken.add(name.split('/', 1)[0] ?? '');
  for (const { name, input, output } of node) for (const used of [name, ...input, ...output]) take(used);
  for (const { name } of [...input, ...output]) take(name);
  for (let i = 1; ; i++) {
    const name = i === 1 ? 'inlined' : `inlined${i}`;
    if (!taken.has(name)) return `${name}/`;
  }
}
