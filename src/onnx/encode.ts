import type { ModelProto } from './gen/onnx.js';
import { loaded } from './lazy-bytes.js';
import { writeMessage } from './protobuf.js';

/**
 * ModelProto → the chunks of an .onnx file, in order. What was not touched since decode() is passed on as views of the
 * bytes that it was given, weights above all, so nothing large is copied here; write the chunks one by one, or join them
 * with concat().
 *
 * A model that is decoded and encoded unchanged comes out byte for byte the same. In messages made anew, fields are
 * written in the order of their numbers, as every protobuf writer does, and then those that the schema does not know.
 */
export function encode(model: ModelProto): readonly Uint8Array[] {
  return writeMessage('ModelProto', model);
}

/** Joins chunks; one copy, into a buffer of exactly the right size. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(loaded(chunk), at);
    at += chunk.byteLength;
  }
  return bytes;
}
