import { PerformersError } from '../errors.js';
import type { Feeds, TensorLike } from '../session.js';
import { packTensor } from './inputs.js';
import { readBytes } from './model-folder.js';

/**
 * Inputs from a JSON file: `{ "inputs": { NAME: { "type": "int64", "dims": [1, 3], "data": [1, 2, 3] } } }`, or the
 * inner object alone. Types are those of ONNX; infinities and NaN are written as strings, bool as 0 and 1.
 *
 * @throws PerformersError PF107 (unreadable), PF202 (not of this form)
 */
export async function readInputFile(path: string): Promise<Feeds> {
  return parseInputs(new TextDecoder().decode(await readBytes(path)), path);
}

/** The same from text; `at` is where it stood. @throws PerformersError PF202 */
export function parseInputs(text: string, at: string): Feeds {
  const wrong = (what: string, cause?: unknown) =>
    new PerformersError('PF202', `${what} in the input file`, {
      at,
      mend: 'write { "inputs": { NAME: { "type": "int64", "dims": [1, 3], "data": [1, 2, 3] } } }',
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw wrong('no JSON', cause);
  }
  const inputs = isRecord(json) && isRecord(json.inputs) ? json.inputs : json;
  if (!isRecord(inputs) || Object.keys(inputs).length === 0) throw wrong('no inputs');
  const feeds: Record<string, TensorLike> = {};
  for (const [name, entry] of Object.entries(inputs)) {
    if (!isRecord(entry) || !isNumbers(entry.dims) || !Array.isArray(entry.data)) {
      throw wrong(`'${name}' has no type, dims and data`);
    }
    const size = entry.dims.reduce((product, dim) => product * dim, 1);
    if (entry.data.length !== size) throw wrong(`'${name}' has ${entry.data.length} elements and dims for ${size}`);
    const tensor = packTensor(String(entry.type), entry.dims, entry.data.map(Number));
    if (!tensor) throw wrong(`'${name}' is of the unknown type '${entry.type}'`);
    feeds[name] = tensor;
  }
  return feeds;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}
