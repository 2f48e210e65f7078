import type { ModelProto } from './gen/onnx.js';
import { allGraphs, openAsWritten } from './graph.js';
import { readTensor } from './tensor.js';

/** A file that holds weights of a model, as the model writes it, and the first tensor that lies there. */
export interface ExternalFile {
  readonly location: string;
  readonly tensor: string;
}

/** The files that a model refers to for its weights: initializers and constants of all graphs, each file once. */
export function externalFiles(proto: ModelProto): ExternalFile[] {
  const tensors = allGraphs(openAsWritten(proto).graph).flatMap(({ proto: graph }) => [
    ...graph.initializer,
    ...graph.node.flatMap(({ attribute }) => attribute.flatMap(({ t }) => t ?? [])),
  ]);
  const files = new Map<string, ExternalFile>();
  for (const bytes of tensors) {
    const { name, external } = readTensor(bytes);
    const location = external?.location;
    if (location !== undefined && !files.has(location)) files.set(location, { location, tensor: name });
  }
  return [...files.values()];
}
