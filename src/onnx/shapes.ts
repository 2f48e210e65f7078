import { constant, declared, symbol } from './dims.js';
import type { ValueInfoProto } from './gen/onnx.js';
import { constantOf, type Graph, type Model, tensorOf } from './graph.js';
import { inferNode } from './shape-rules/registry.js';
import { upTo } from './shape-rules/rule.js';
import type { ValueType } from './value-type.js';

/** Looks up the proven type of a value as seen from a graph. */
export type Shapes = (graph: Graph, value: string) => ValueType;

const unknown: ValueType = { elemType: 0 };

/**
 * Shape, type and shape-value inference over all graphs, from the graph's inputs and constants alone. What the file
 * says in value_info is not read: exporters write wrong shapes there.
 */
export function inferShapes(model: Model): Shapes {
  const tables = new Map<Graph, Map<string, ValueType>>();
  const opset = model.opsets.get('') ?? 1;
  const shapes: Shapes = (graph, value) => {
    for (let at: Graph | undefined = graph; at; at = at.outer) {
      const known = tables.get(at)?.get(value) ?? constantType(at, value);
      if (known) return known;
    }
    return unknown;
  };
  const visit = (graph: Graph) => {
    const table = new Map<string, ValueType>();
    tables.set(graph, table);
    for (const input of graph.proto.input) {
      table.set(input.name ?? '', graph.outer ? declaredRank(input, graph.path) : declaredType(input));
    }
    for (const node of graph.sorted) {
      for (const inner of graph.subgraphs(node)) visit(inner);
      const inputs = node.input.map((value) => (value ? shapes(graph, value) : undefined));
      const branches = graph
        .subgraphs(node)
        .map((inner) => inner.proto.output.map(({ name = '' }) => shapes(inner, name)));
      const outputs = inferNode(node, {
        inputs,
        branches,
        opset,
        fresh: (axis) => symbol(`${graph.path}${node.output[0]}.${axis}`),
      });
      for (const [i, output] of node.output.entries()) if (output) table.set(output, outputs[i] ?? unknown);
    }
  };
  visit(model.graph);
  return shapes;
}

function constantType(graph: Graph, value: string): ValueType | undefined {
  if (!graph.initializer(value)) return undefined;
  const tensor = tensorOf(graph, value) ?? graph.initializer(value);
  if (!tensor) return undefined;
  const data = graph.isInput(value) ? undefined : constantOf(graph, value, 64)?.data.map(constant);
  return { elemType: tensor.dataType, shape: upTo(tensor.dims)?.map(constant), data };
}

/** What a Loop or Scan hands to its body may change its sizes on the way: type and rank are all that is known of it. */
function declaredRank(input: ValueInfoProto, path: string): ValueType {
  const { elemType, shape } = declaredType(input);
  return { elemType, shape: shape?.map((_, axis) => symbol(`${path}${input.name}.${axis}`)) };
}

/** Graph inputs are the one place where the file's word is taken: they are its interface. */
function declaredType(input: ValueInfoProto): ValueType {
  const type = input.type?.value;
  if (type?.$case !== 'tensorType') return unknown;
  const shape = upTo(type.value.shape?.dim)?.map(({ value }, axis) => {
    if (value?.$case === 'dimValue' && value.value > 0n) return constant(Number(value.value));
    return value?.$case === 'dimParam' && value.value ? declared(value.value) : symbol(`${input.name}.${axis}`);
  });
  return { elemType: type.value.elemType ?? 0, shape };
}
