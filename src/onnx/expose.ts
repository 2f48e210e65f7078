import type { ModelProto } from './gen/onnx.js';

/**
 * The model with values of its main graph as further outputs, in the order given; what is an output already stays one.
 * Nothing else changes, and the given model is left as it is. Types are passed on where the file declares them;
 * onnxruntime infers the others.
 *
 * @throws TypeError when the main graph has no such value
 */
export function exposeValues(model: ModelProto, names: readonly string[]): ModelProto {
  const { graph } = model;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const computed = new Set([...graph.node.flatMap(({ output }) => output), ...graph.input.map(({ name }) => name)]);
  const taken = new Set(graph.output.map(({ name }) => name));
  const output = [...graph.output];
  for (const name of names) {
    if (name === '' || !computed.has(name)) throw new TypeError(`the main graph computes no value '${name}'`);
    if (taken.has(name)) continue;
    taken.add(name);
    output.push(graph.valueInfo.find((info) => info.name === name) ?? { name, metadataProps: [] });
  }
  return { ...model, graph: { ...graph, output } };
}
