/** Declarations of caches that hold a state, and what must not read them any more. */
import { PerformersError } from '../errors.js';
import type { Builder } from '../onnx/build.js';
import type { NodeProto, ValueInfoProto } from '../onnx/gen/onnx.js';
import { allGraphs, constantOf, type Graph, intAttribute, isOp, type Model } from '../onnx/graph.js';
import type { KeyCache, KeysAndValues, Site } from './site.js';

/** What an input or output of a graph is declared as, and called, where it holds a state. */
export type Declare = (info: ValueInfoProto) => ValueInfoProto;

/**
 * Axes that differ from call to call have names: runtimes check numbers, and transformers.js makes the first cache of them,
 * 0 for a name.
 */
const axes = {
  key: [undefined, 'performers_cache', undefined, 'performers_nothing'],
  value: [undefined, undefined, 'performers_state', undefined],
} as const;

/** Inputs and outputs of the model. */
export function declareStates(sites: readonly Site[]): Declare {
  return declare(cachesOf(sites).flatMap(({ cache }) => [cache.past, cache.present].map((names) => [names, names])));
}

/** Outputs of the branch that sites lie in. */
export function declareGiven(sites: readonly Site[], prefix: string): Declare {
  return declare(cachesOf(sites).map(({ site, cache }) => [cache.given, namesGiven(site, cache, prefix)]));
}

function cachesOf(sites: readonly Site[]): { site: Site; cache: KeyCache }[] {
  return sites.flatMap((site) => (site.operands.cache ? [{ site, cache: site.operands.cache }] : []));
}

function declare(caches: readonly (readonly KeysAndValues[])[]): Declare {
  const known = new Map<string, Declare>();
  for (const [before, after] of caches)
    for (const kind of ['key', 'value'] as const)
      known.set(before[kind], (info) => ({ ...renameAxes(info, axes[kind]), name: after[kind] }));
  return (info) => known.get(info.name ?? '')?.(info) ?? info;
}

/**
 * What a state is called in the graph of its site. The names of a model's outputs stay. Of those of a branch only the order
 * counts: theirs are left to the keys and values, which the site may be reading itself.
 */
export function namesGiven({ subgraph }: Pick<Site, 'subgraph'>, { given }: KeyCache, prefix: string): KeysAndValues {
  return subgraph ? { key: `${prefix}${given.key}`, value: `${prefix}${given.value}` } : given;
}

/** What the length of a cache is to be read of, graph by graph. */
export function lengthsRead(
  { graph }: Model,
  sites: readonly Site[],
  prefix: string,
): { graph: Graph; instead: (readonly [from: string, to: string])[] }[] {
  const graphs = new Map(allGraphs(graph).map((inner) => [inner.path, inner]));
  return cachesOf(sites).flatMap(({ site, cache }) => {
    const { past, present, given, begins } = cache;
    const [before, after] = [past, present].map(({ key, value }) => [value, key] as const);
    const own = graphs.get(site.subgraph);
    if (!site.subgraph || !own) return [{ graph, instead: [before, after] }];
    const { key } = namesGiven(site, cache, prefix);
    const joined = begins ? [] : [given.key, given.value].map((name) => [name, key] as const);
    return [
      { graph, instead: [before, after] },
      { graph: own, instead: [before, ...joined] },
    ];
  });
}

/**
 * Nodes of a graph that take the number of tokens from a value, each with what takes it from another instead, by `from` and
 * `to`: from the keys of a cache, which go on saying it, and not from its values.
 */
export function lengthReaders(
  graph: Graph,
  instead: readonly (readonly [from: string, to: string])[],
  build: Builder,
): Map<NodeProto, NodeProto[]> {
  const readers = new Map<NodeProto, NodeProto[]>();
  for (const [from, to] of instead)
    for (const node of graph.consumers(from))
      if (isOp(node, 'Shape') && saysLength(graph, node))
        readers.set(node, [{ ...node, name: build.fresh('Shape'), input: [to] }]);
  return readers;
}

/** True where only the sizes of batch and tokens are read of a shape: the others are another matter in a state. */
function saysLength(graph: Graph, shape: NodeProto): boolean {
  const [start, end] = [intAttribute(shape, 'start') ?? 0, intAttribute(shape, 'end')];
  if (end === start + 1) return start === 0 || start === 2;
  if (start !== 0) return false;
  return graph.consumers(shape.output[0] ?? '').every((reader) => {
    const index = isOp(reader, 'Gather') ? constantOf(graph, reader.input[1] ?? '', 4)?.data : undefined;
    return index?.every((axis) => [0, 2, -2, -4].includes(axis)) ?? false;
  });
}

function renameAxes(info: ValueInfoProto, names: readonly (string | undefined)[]): ValueInfoProto {
  const type = info.type?.value;
  if (type?.$case !== 'tensorType' || !type.value.shape) return info;
  const dim = type.value.shape.dim.map((size, axis) => {
    const name = names[axis];
    return name === undefined ? size : { ...size, value: { $case: 'dimParam', value: name } as const };
  });
  const value = { ...type.value, shape: { ...type.value.shape, dim } };
  return { ...info, type: { ...info.type, value: { $case: 'tensorType', value } } };
}

/**
 * @param nodes of a rewritten graph
 * @throws PerformersError PF206 when something still reads keys or values in a cache that holds none any more
 */
export function checkReaders(nodes: readonly NodeProto[], { key, value }: KeysAndValues, prefix: string): void {
  for (const name of [key, value]) {
    const reader = readerOf(
      nodes,
      name,
      (node) => node.name?.startsWith(prefix) || (name === key && isOp(node, 'Shape')),
    );
    if (!reader) continue;
    throw new PerformersError(
      'PF206',
      `${name} would hold a state, and ${reader.opType} ${reader.name} reads keys from it`,
      {
        at: name,
        mend: 'leave this layer exact: --layers LAYER=exact-blocked, or a rule in linearize()',
      },
    );
  }
}

/** A node that reads a value, here or in a subgraph, and is not allowed to. */
function readerOf(
  nodes: readonly NodeProto[],
  value: string,
  mayRead: (node: NodeProto) => boolean | undefined,
): NodeProto | undefined {
  for (const node of nodes) {
    if (mayRead(node)) continue;
    if (node.input.includes(value)) return node;
    for (const { g } of node.attribute) {
      const inner = g && readerOf(g.node, value, mayRead);
      if (inner) return inner;
    }
  }
  return undefined;
}
