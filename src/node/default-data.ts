/** What `linearize` calibrates on where no data is given: a little of each kind, free for any use (assets/default-data). */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PerformersError } from '../errors.js';
import type { Model } from '../onnx/graph.js';

/** By the input that says what a model is for. */
const kinds: readonly { readonly inputs: readonly string[]; readonly folder: string }[] = [
  { inputs: ['input_ids'], folder: 'text' },
  { inputs: ['pixel_values'], folder: 'images' },
  { inputs: ['input_values', 'input_features', 'audio_values'], folder: 'audio' },
];

/** The folder of built-in data for a model. @throws PerformersError PF501 when the model takes none of the kinds */
export function defaultData(model: Model): string {
  const names = model.proto.graph?.input.map(({ name = '' }) => name) ?? [];
  const kind = kinds.find(({ inputs }) => inputs.some((name) => names.includes(name)));
  if (kind) return `${folder()}${kind.folder}`;
  throw new PerformersError('PF501', 'there is no built-in data for this model', {
    at: `inputs ${names.join(', ')}`,
    mend: 'add --data FILE: JSON lines of model inputs, { NAME: { type, dims, data } } each',
  });
}

function folder(): string {
  // In the sources, and what this file is bundled into: at the top of dist or in a folder of it.
  const places = ['../../assets/default-data/', './default-data/', '../default-data/'];
  const found = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
  if (found) return found;
  throw new TypeError('the build has no default-data');
}
