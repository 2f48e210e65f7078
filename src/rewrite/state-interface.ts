/** Declarations of caches that hold a state, and what must not read them any more. */
import { PerformersError } from '../errors.js';
import type { Builder } from '../onnx/build.js';
import type { GraphProto, NodeProto, ValueInfoProto } from '../onnx/gen/onnx.js';
import { constantOf, type Graph, intAttribute, isOp } from '../onnx/graph.js';
import type { KeyCache, Site } from './site.js';

/**
 * The graph with its caches declared as what they are now. Axes that differ from call to call have names: runtimes check
 * numbers, and transformers.js makes the first cache of them, 0 for a name.
 *
 * @param prefix begins the names of all nodes that a rewrite has added
 */
export function declareStates(graph: GraphProto, sites: readonly Site[], prefix: string): GraphProto {
  const caches = new Map<string, readonly (string | undefined)[]>();
  for (const { operands } of sites) {
    const { cache } = operands;
    if (!cache) continue;
    checkReaders(graph, cache, prefix);
    for (const { key, value } of [cache.past, cache.present]) {
      caches.set(key, [undefined, 'performers_cache', undefined, 'performers_nothing']);
      caches.set(value, [undefined, undefined, 'performers_state', undefined]);
    }
  }
  const declare = (info: ValueInfoProto) => {
    const names = caches.get(info.name ?? '');
    return names ? renameAxes(info, names) : info;
  };
  return { ...graph, input: graph.input.map(declare), output: graph.output.map(declare) };
}

/**
 * Nodes that take the number of tokens from the values of a cache, each with what takes it from the keys instead, which go
 * on saying it.
 */
export function lengthReaders(graph: Graph, { past, present }: KeyCache, build: Builder): Map<NodeProto, NodeProto[]> {
  const readers = new Map<NodeProto, NodeProto[]>();
  for (const [value, key] of [
    [past.value, past.key],
    [present.value, present.key],
  ])
    for (const node of graph.consumers(value))
      if (isOp(node, 'Shape') && saysLength(graph, node))
        readers.set(node, [{ ...node, name: build.fresh('Shape'), input: [key] }]);
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

/** @throws PerformersError PF206 when something still reads keys or values in a cache that holds none any more */
function checkReaders(graph: GraphProto, { past, present }: KeyCache, prefix: string): void {
  const reads = (node: NodeProto, value: string): boolean =>
    node.input.includes(value) || node.attribute.some(({ g }) => g?.node.some((inner) => reads(inner, value)) ?? false);
  for (const value of [past.key, past.value, present.key, present.value]) {
    const lengthOnly = value === past.key || value === present.key;
    const reader = graph.node.find(
      (node) => !node.name?.startsWith(prefix) && reads(node, value) && !(lengthOnly && isOp(node, 'Shape')),
    );
    if (!reader) continue;
    throw new PerformersError(
      'PF206',
      `${value} would hold a state, and ${reader.opType} ${reader.name} reads keys from it`,
      {
        at: value,
        mend: 'leave this layer exact: --layers LAYER=exact-blocked, or a rule in linearize()',
      },
    );
  }
}
