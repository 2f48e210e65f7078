/** Declarations of caches that hold a state, and what must not read them any more. */
import { PerformersError } from '../errors.js';
import type { GraphProto, NodeProto, ValueInfoProto } from '../onnx/gen/onnx.js';
import { isOp } from '../onnx/graph.js';
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
        mend: 'leave this layer exact: --layer-plan LAYER=exact-blocked, or a rule in linearize()',
      },
    );
  }
}
