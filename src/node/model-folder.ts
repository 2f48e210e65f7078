import { access, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { externalFiles } from '../onnx/external.js';

/** What a path given by a user is. Paths of files are relative to `root`, with '/' between folders. */
export interface ModelPath {
  readonly kind: 'file' | 'folder';
  /** Absolute; of a single file, its folder. */
  readonly root: string;
  readonly models: readonly string[];
  /** Everything else in the folder; nothing for a single file. */
  readonly others: readonly string[];
}

/** An external file of a model, found. */
export interface Weights {
  /** As the model writes it. */
  readonly location: string;
  readonly path: string;
}

/**
 * An .onnx file, a transformers.js folder (config.json, onnx/*.onnx) or any folder with .onnx files somewhere in it.
 *
 * @throws PerformersError PF107 (nothing there, or unreadable), PF106 (a folder without a model)
 */
export async function openPath(path: string): Promise<ModelPath> {
  const absolute = resolve(path);
  const info = await stat(absolute).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  if (!info.isDirectory()) {
    return { kind: 'file', root: dirname(absolute), models: [basename(absolute)], others: [] };
  }
  const files = await listFiles(absolute);
  const models = files.filter((file) => file.endsWith('.onnx'));
  if (models.length === 0) {
    throw new PerformersError('PF106', `no model in this folder: no file in it ends in .onnx`, {
      at: path,
      mend: 'pass an .onnx file, or a model folder as transformers.js has it: config.json and onnx/model.onnx',
    });
  }
  return { kind: 'folder', root: absolute, models, others: files.filter((file) => !file.endsWith('.onnx')) };
}

/** Files below a folder, sorted; links are followed, a folder that holds itself through a link is entered once. */
async function listFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string, above: readonly string[]): Promise<void> => {
    const real = await realpath(folder);
    if (above.includes(real)) return;
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const info = await stat(path);
      if (info.isDirectory()) await visit(path, [...above, real]);
      else if (info.isFile()) files.push(relative(root, path).split(sep).join('/'));
    }
  };
  try {
    await visit(root, []);
  } catch (cause) {
    throw unreadable(root, cause);
  }
  return files.sort();
}

/** @throws PerformersError PF107 */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const { buffer, byteOffset, byteLength } = await readFile(path);
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

export function unreadable(path: string, cause: unknown): PerformersError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PerformersError('PF107', `a file could not be read: ${reason}`, {
    at: path,
    mend: 'check the path and its permissions',
    cause,
  });
}

/**
 * The external weights of the model at `path`, every file checked: it must be there, and must not lie outside the
 * model's folder, be it by its name or through a link. (A download cache keeps both the model and its weights as
 * links into one folder of blobs; that folder counts, too.)
 *
 * @throws PerformersError PF101–PF103 (bytes), PF104 (missing), PF105 (outside)
 */
export async function findWeights(bytes: Uint8Array, path: string): Promise<Weights[]> {
  const found: Weights[] = [];
  const missing: string[] = [];
  const homes = [await realpath(dirname(path)), dirname(await realpath(path))];
  for (const { location, tensor } of externalFiles(decode(bytes, path))) {
    const file = resolve(dirname(path), location);
    if (isAbsolute(location) || !isInside(dirname(path), file)) throw outside(path, `${location} (tensor ${tensor})`);
    const there = await access(file).then(
      () => true,
      () => false,
    );
    if (!there) missing.push(`${location} (tensor ${tensor})`);
    else {
      const real = await realpath(file);
      if (!homes.some((home) => isInside(home, real))) throw outside(path, `${location} is a link to ${real}`);
      found.push({ location, path: file });
    }
  }
  if (missing.length > 0) {
    throw new PerformersError('PF104', `external weights are missing: ${missing.join(', ')}`, {
      at: path,
      mend: 'put them beside the model, under the names that the model gives them',
    });
  }
  return found;
}

function outside(path: string, what: string): PerformersError {
  return new PerformersError('PF105', `external weights lie outside the model folder: ${what}`, {
    at: path,
    mend: 'export the model with its weights beside it; files elsewhere are not read',
  });
}

/** True when `path` lies below `folder`; both absolute. */
export function isInside(folder: string, path: string): boolean {
  const step = relative(folder, path);
  return step !== '' && step !== '..' && !step.startsWith(`..${sep}`) && !isAbsolute(step);
}
