import { PerformersError } from '../errors.js';
import type { ModelProto } from './gen/onnx.js';
import { readMessage } from './protobuf.js';

/**
 * Bytes of an .onnx file → ModelProto. Tensors stay encoded views of `bytes` (see onnx.proto), so the cost is that
 * of the nodes alone; unknown fields are kept. Do not change `bytes` while the model is in use.
 *
 * @throws PerformersError PF103 (empty), PF101 (not ONNX), PF102 (truncated or damaged)
 */
export function decode(bytes: Uint8Array, file = 'model'): ModelProto {
  if (bytes.byteLength === 0) {
    throw new PerformersError('PF103', 'the input is empty: 0 bytes', {
      at: file,
      mend: 'pass the bytes of an .onnx file',
    });
  }
  let model: ModelProto;
  try {
    model = readMessage('ModelProto', bytes, file);
  } catch (cause) {
    throw beginsLikeOnnx(bytes) ? cause : notOnnx(bytes, file, cause);
  }
  if (
    !model.graph ||
    (model.graph.node.length === 0 && model.graph.output.length === 0) ||
    model.opsetImport.length === 0
  ) {
    throw notOnnx(bytes, file);
  }
  return model;
}

/** A damaged ONNX file still begins like one: field 1, ir_version, a small varint. Anything else never was one. */
function beginsLikeOnnx([tag, version = 0]: Uint8Array): boolean {
  return tag === 0x08 && version <= 0x20;
}

function notOnnx(bytes: Uint8Array, file: string, cause?: unknown): PerformersError {
  const head = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return new PerformersError(
    'PF101',
    `not an ONNX model: no graph in its ${bytes.byteLength} bytes (they begin ${head})`,
    {
      at: file,
      mend: 'pass an .onnx file; a Git LFS pointer or an HTML error page is a common mix-up',
      cause,
    },
  );
}
