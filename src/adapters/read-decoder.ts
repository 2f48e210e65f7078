/** What a decoder's calls are checked against (decoder-calls.ts), read from its graph and its config.json. */
import { decode } from '../onnx/decode.js';
import type { ValueInfoProto } from '../onnx/gen/onnx.js';
import { openModel } from '../onnx/graph.js';
import { positionLimit, trainedPositions } from '../rewrite/positions.js';
import { type DecoderFacts, isPast } from './decoder-calls.js';
import { type ModelSource, readConfig } from './model-file.js';
import type { SessionOptions } from './ort.js';

/** @param bytes of the model as it runs */
export async function readDecoder(source: ModelSource, bytes: Uint8Array): Promise<DecoderFacts | undefined> {
  const { graph } = decode(bytes, source.file);
  const names = graph?.input.map(({ name = '' }) => name) ?? [];
  if (!graph || !names.includes('input_ids') || !names.some(isPast)) return undefined;
  return {
    carriers: graph.input.filter(isCarrier).map(({ name = '' }) => name),
    positions: positionLimit(openModel(decode(source.bytes, source.file))),
    trained: trainedPositions(await readConfig(source.path)),
  };
}

/**
 * Every step of a stream has a mask of another length, and onnxruntime keeps a plan of its memory for every shape: off with a
 * state, whose point it is not to grow, unless the caller has said.
 */
export function decoderOptions(options: SessionOptions, decoder: DecoderFacts | undefined): SessionOptions {
  return decoder && decoder.carriers.length > 0 ? { enableMemPattern: false, ...options } : options;
}

/** As rewrite/state-interface.ts declares it: keys of no width, under this name. */
function isCarrier({ type }: ValueInfoProto): boolean {
  const last = type?.value?.$case === 'tensorType' ? type.value.value.shape?.dim.at(-1)?.value : undefined;
  return last?.$case === 'dimParam' && last.value === 'performers_nothing';
}
