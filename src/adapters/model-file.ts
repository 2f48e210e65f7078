import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { type ExternalFile, externalFiles } from '../onnx/external.js';
import type { OnnxRuntime, SessionOptions } from './ort.js';

/** A model on its way into a session. */
export interface ModelSource {
  readonly bytes: Uint8Array;
  /** Name for errors and the report. */
  readonly file: string;
  /** Absolute path and its folder, when it came from a file. */
  readonly path?: string;
  readonly folder?: string;
}

/**
 * The bytes of a model given as such, as a path (Node) or as a URL (elsewhere).
 *
 * @throws PerformersError PF107 when it cannot be read
 */
export async function readModel(model: Uint8Array | string): Promise<ModelSource> {
  if (typeof model !== 'string') return { bytes: model, file: 'model' };
  try {
    const node = await nodeFiles();
    if (!node) return { bytes: await download(model), file: new URL(model, location.href).pathname };
    const path = node.path.resolve(model);
    const bytes = new Uint8Array(await node.fs.readFile(path));
    return { bytes, file: node.path.basename(path), path, folder: node.path.dirname(path) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PerformersError('PF107', `the model could not be read: ${reason}`, {
      at: model,
      mend: 'check the path, or pass the bytes of the file',
      cause,
    });
  }
}

/** The config.json of transformers.js beside the model file at `path`, or above its folder; undefined where there is none to read. */
export async function readConfig(path: string | undefined): Promise<Readonly<Record<string, unknown>> | undefined> {
  const node = path === undefined ? undefined : await nodeFiles();
  if (path === undefined || !node) return undefined;
  const folder = node.path.dirname(node.path.resolve(path));
  for (const home of [folder, node.path.dirname(folder)]) {
    try {
      const config: unknown = JSON.parse(await node.fs.readFile(node.path.join(home, 'config.json'), 'utf8'));
      if (typeof config === 'object' && config !== null) return { ...config };
    } catch {
      // Not there, or nothing that could be read.
    }
  }
  return undefined;
}

async function download(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${url}`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * Session options with which external weights beside a file are found although onnxruntime is given bytes. The native
 * one would look for them in the working directory; an entry of its configuration names the folder (verified with
 * onnxruntime-node 1.21 and 1.30). The others want them in memory.
 *
 * @throws PerformersError PF105 when the model refers to a file outside its folder
 */
export async function withWeights(
  ort: OnnxRuntime,
  { bytes, path, folder }: ModelSource,
  options: SessionOptions,
): Promise<SessionOptions> {
  if (path === undefined || folder === undefined || options.externalData) return options;
  if (ort.env?.versions.node !== undefined) {
    const session = { ...sessionEntries(options), model_external_initializers_file_folder_path: folder };
    return { ...options, extra: { ...options.extra, session } };
  }
  const externalData = await readWeights(bytes, path);
  return externalData.length > 0 ? { ...options, externalData } : options;
}

function sessionEntries({ extra }: SessionOptions): object {
  return typeof extra?.session === 'object' ? { ...extra.session } : {};
}

/** Files that are missing are left out: createOrtSession names them. */
async function readWeights(bytes: Uint8Array, path: string): Promise<{ path: string; data: Uint8Array }[]> {
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

/** Node's own modules, or undefined elsewhere. Named by a variable, so that no bundler for browsers looks for them. */
async function nodeFiles(): Promise<
  { fs: typeof import('node:fs/promises'); path: typeof import('node:path') } | undefined
> {
  if (!globalThis.process?.versions?.node) return undefined;
  const load = (name: string) => import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  return { fs: await load('node:fs/promises'), path: await load('node:path') };
}
