import type { GraphProto, ModelProto, NodeProto, ValueInfoProto } from './gen/onnx.js';
import { readTensor } from './tensor.js';

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
  const taken = new Set(graph.output.map(({ name }) => name));
  const added = names.filter((name) => !taken.has(name) && taken.add(name));
  return { ...model, graph: { ...graph, output: [...graph.output, ...infos(graph, added)] } };
}

/**
 * The part of the model that computes the values named, which are its only outputs, from its inputs and the values `given`, which
 * become inputs where the main graph computes them. onnxruntime runs whatever is in a file; what a value does not need costs
 * nothing only when it is not there.
 *
 * @throws TypeError when the main graph has no such value
 */
export function extractValues(
  model: ModelProto,
  names: readonly string[],
  given: readonly ValueInfoProto[] = [],
): ModelProto {
  const { graph } = model;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const output = infos(graph, [...new Set(names)]);
  const needed = new Set(names);
  const known = new Set(given.map(({ name = '' }) => name));
  const node: NodeProto[] = [];
  for (const candidate of [...graph.node].reverse()) {
    if (!candidate.output.some((value) => needed.has(value))) continue;
    // A node of several outputs may compute again what is given: under another name, or the file would have it twice.
    const again = candidate.output.some((value) => known.has(value));
    node.push(
      again
        ? { ...candidate, output: candidate.output.map((value) => (known.has(value) ? `${value}/again` : value)) }
        : candidate,
    );
    for (const value of reads(candidate)) if (!known.has(value)) needed.add(value);
  }
  const initializer = graph.initializer.filter((bytes) => needed.has(readTensor(bytes).name));
  return {
    ...model,
    graph: { ...graph, node: node.reverse(), initializer, input: [...graph.input, ...given], output },
  };
}

function infos(graph: GraphProto, names: readonly string[]): ValueInfoProto[] {
  const computed = new Set([...graph.node.flatMap(({ output }) => output), ...graph.input.map(({ name }) => name)]);
  return names.map((name) => {
    if (name === '' || !computed.has(name)) throw new TypeError(`the main graph computes no value '${name}'`);
    const known = [...graph.output, ...graph.valueInfo].find((info) => info.name === name);
    return known ?? { name, metadataProps: [] };
  });
}

/** Values a node reads, its subgraphs included; names that a subgraph defines itself do no harm here. */
function reads(node: NodeProto): string[] {
  const bodies = node.attribute.flatMap(({ g, graphs }) => (g ? [g] : graphs));
  return [
    ...node.input,
    ...bodies.flatMap((body) => [...body.node.flatMap(reads), ...body.output.map(({ name = '' }) => name)]),
  ];
}
