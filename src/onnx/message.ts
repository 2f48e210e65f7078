import type { AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto } from './gen/onnx.js';
import { makeMessage } from './protobuf.js';

export function makeNode(fields: Partial<NodeProto>): NodeProto {
  return makeMessage('NodeProto', fields);
}

export function makeAttribute(fields: Partial<AttributeProto>): AttributeProto {
  return makeMessage('AttributeProto', fields);
}

export function makeGraph(fields: Partial<GraphProto>): GraphProto {
  return makeMessage('GraphProto', fields);
}

/** A model of the standard operators alone. */
export function makeModel(graph: GraphProto, opset: number): ModelProto {
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return { irVersion: 8n, opsetImport: [{ domain: '', version: BigInt(opset) }], graph, ...none };
}

/** Declares a tensor; sizes are numbers, names of unknown sizes, or undefined. */
export function makeValueInfo(
  name: string,
  elemType: number,
  sizes: readonly (number | string | undefined)[],
): ValueInfoProto {
  const dim = sizes.map((size) => ({
    value:
      typeof size === 'number'
        ? ({ $case: 'dimValue', value: BigInt(size) } as const)
        : size === undefined
          ? undefined
          : ({ $case: 'dimParam', value: size } as const),
  }));
  return { name, type: { value: { $case: 'tensorType', value: { elemType, shape: { dim } } } }, metadataProps: [] };
}
