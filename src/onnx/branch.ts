import { extractValues } from './expose.js';
import type { ModelProto } from './gen/onnx.js';
import { type Graph, type Model, openModel } from './graph.js';
import { makeNode } from './message.js';

/**
 * The model that is left of one with an `If` in its main graph when the condition is known: the nodes of that branch in the place of the
 * `If`, every value by its name in the file. Nodes, constants and inputs that nothing reads any more go.
 *
 * @throws TypeError when `branch` is no branch of an `If` in the main graph
 */
export function onlyBranch({ proto, graph }: Model, branch: Graph): ModelProto {
  const { holder, outer } = branch;
  if (outer !== graph || holder?.opType !== 'If') {
    throw new TypeError(`${branch.path} is no branch of an If in the main graph`);
  }
  const given = branch.proto.output.flatMap(({ name = '' }, i) => {
    const taken = holder.output[i] ?? '';
    // Merged exports call both the same.
    return taken === name || taken === '' ? [] : [makeNode({ opType: 'Identity', input: [name], output: [taken] })];
  });
  const node = graph.sorted.flatMap((each) => (each === holder ? [...branch.sorted, ...given] : [each]));
  const initializer = [...graph.proto.initializer, ...branch.proto.initializer];
  const valueInfo = [...graph.proto.valueInfo, ...branch.proto.valueInfo];
  const outputs = graph.proto.output.map(({ name = '' }) => name);
  const needed = extractValues({ ...proto, graph: { ...graph.proto, node, initializer, valueInfo } }, outputs);
  const left = openModel(needed).graph;
  const input = left.proto.input.filter(({ name = '' }) => left.consumers(name).length > 0 || outputs.includes(name));
  return { ...needed, graph: { ...left.proto, input } };
}
