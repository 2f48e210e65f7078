import { PerformersError } from '../errors.js';
import { nodeFiles } from './node-files.js';
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
  const { readWeights } = await import('./weight-files.js');
  const externalData = await readWeights(bytes, path);
  return externalData.length > 0 ? { ...options, externalData } : options;
}

function sessionEntries({ extra }: SessionOptions): object {
  return typeof extra?.session === 'object' ? { ...extra.session } : {};
}
