import { readFileSync } from 'node:fs';
import { decode } from '../../src/onnx/decode.js';
import type { TensorLike } from '../../src/session.js';

/** The first, empty cache: named axes are 0 but for the batch. */
export function emptyCache(path: string): Record<string, TensorLike> {
  const { graph } = decode(new Uint8Array(readFileSync(path)));
  const entries = (graph?.input ?? [])
    .filter(({ name = '' }) => name.startsWith('past_key_values'))
    .map(({ name = '', type }) => {
      const shape = type?.value?.$case === 'tensorType' ? type.value.value.shape?.dim : undefined;
      const dims = (shape ?? []).map(({ value }, axis) =>
        value?.$case === 'dimValue' ? Number(value.value) : axis === 0 ? 1 : 0,
      );
      return [name, { type: 'float32', dims, data: new Float32Array() } as TensorLike] as const;
    });
  return Object.fromEntries(entries);
}
