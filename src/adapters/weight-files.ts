/** The files of external weights beside a model. Only Node has such; pages never load this. */
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { type ExternalFile, externalFiles } from '../onnx/external.js';
import { nodeFiles } from './node-files.js';

/** Files that are missing are left out: createOrtSession names them. */
export async function readWeights(bytes: Uint8Array, path: string): Promise<{ path: string; data: Uint8Array }[]> {
  const weights: { path: string; data: Uint8Array }[] = [];
  for (const { name, read } of await weightFiles(bytes, path)) {
    if (read) weights.push({ path: name, data: await read() });
  }
  return weights;
}

/** The names of external weights that the model at `path` refers to and that are not there. */
export async function missingWeights(bytes: Uint8Array, path: string): Promise<string[]> {
  return (await weightFiles(bytes, path)).flatMap(({ name, read }) => (read ? [] : [name]));
}

interface WeightFile {
  readonly name: string;
  /** Absent when the file is. */
  readonly read?: () => Promise<Uint8Array>;
}

async function weightFiles(bytes: Uint8Array, model: string): Promise<WeightFile[]> {
  const node = await nodeFiles();
  if (!node) return [];
  const { fs, path } = node;
  const folder = path.dirname(model);
  // A download cache keeps model and weights as links into one folder of blobs (node/model-folder.ts has the same rule).
  const homes = [await fs.realpath(folder), path.dirname(await fs.realpath(model))];
  const inside = (home: string, file: string) => !/^\.\.([\\/]|$)/.test(path.relative(home, file)) && file !== home;
  const outside = (what: string) =>
    new PerformersError('PF105', `external weights lie outside the model folder: ${what}`, {
      at: model,
      mend: 'export the model with its weights beside it',
    });
  const find = async ({ location: name }: ExternalFile): Promise<WeightFile> => {
    const file = path.resolve(folder, name);
    if (path.isAbsolute(name) || !inside(folder, file)) throw outside(name);
    const real = await fs.realpath(file).catch(() => undefined);
    if (real === undefined) return { name };
    if (!homes.some((home) => inside(home, real))) throw outside(`${name} is a link to ${real}`);
    return { name, read: async () => new Uint8Array(await fs.readFile(file)) };
  };
  return Promise.all(externalFiles(decode(bytes, model)).map(find));
}
