import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { GraphProto, ModelProto } from './gen/onnx.js';
import { makeGraph } from './message.js';

const graphField = 7;
const initializerField = 5;

/**
 * ModelProto → the chunks of an .onnx file, in order. Weights of the main graph are passed on as the views that
 * decode() made, so nothing large is copied here; write the chunks one by one, or join them with concat().
 *
 * Fields are written in the order of their numbers, as every protobuf writer does: a file that is decoded and
 * encoded unchanged comes out byte for byte the same.
 */
export function encode(model: ModelProto): Uint8Array[] {
  if (!model.graph) return [ModelProto.encode(model).finish()];
  const { irVersion, producerName, producerVersion, domain, modelVersion, docString } = model;
  const none = { opsetImport: [], metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  const before = ModelProto.encode({
    irVersion,
    producerName,
    producerVersion,
    domain,
    modelVersion,
    docString,
    ...none,
  }).finish();
  const after = ModelProto.encode({
    opsetImport: model.opsetImport,
    metadataProps: model.metadataProps,
    trainingInfo: model.trainingInfo,
    functions: model.functions,
    configuration: model.configuration,
    _unknownFields: model._unknownFields,
  }).finish();
  const graph = encodeGraph(model.graph);
  const length = graph.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  return [before, prefix(graphField, length), ...graph, after];
}

function encodeGraph(graph: GraphProto): Uint8Array[] {
  const before = GraphProto.encode(makeGraph({ node: graph.node, name: graph.name })).finish();
  const after = GraphProto.encode({ ...graph, node: [], name: undefined, initializer: [] }).finish();
  return [
    before,
    ...graph.initializer.flatMap((tensor) => [prefix(initializerField, tensor.byteLength), tensor]),
    after,
  ];
}

function prefix(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

/** Joins chunks; one copy, into a buffer of exactly the right size. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
