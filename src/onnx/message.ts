import type { AttributeProto, GraphProto, NodeProto, ValueInfoProto } from './gen/onnx.js';

/** Messages with the lists that the schema asks for left empty. */
export function makeNode(fields: Partial<NodeProto>): NodeProto {
  return { input: [], output: [], attribute: [], metadataProps: [], deviceConfigurations: [], ...fields };
}

export function makeAttribute(fields: Partial<AttributeProto>): AttributeProto {
  return { floats: [], ints: [], strings: [], tensors: [], graphs: [], sparseTensors: [], typeProtos: [], ...fields };
}

export function makeGraph(fields: Partial<GraphProto>): GraphProto {
  const lists = {
    node: [],
    initializer: [],
    sparseInitializer: [],
    input: [],
    output: [],
    valueInfo: [],
    quantizationAnnotation: [],
    metadataProps: [],
  };
  return { ...lists, ...fields };
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
