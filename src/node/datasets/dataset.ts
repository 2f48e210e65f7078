/** A labelled data set as rows of numbers, and how its files are found. */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PerformersError } from '../../errors.js';

export interface Dataset {
  readonly name: string;
  readonly n: number;
  readonly d: number;
  readonly x: Float64Array; // [n,d], as in the file
  /** Classes numbered from 0. */
  readonly labels: Int32Array; // [n]
  readonly classes: number;
}

export interface DatasetSource {
  /** What it is, in a line. */
  readonly about: string;
  /** Path within a data folder. */
  readonly path: string;
  /** Where to get it. */
  readonly origin: string;
  /** `at` is where `path` was found. */
  readonly read: (at: string) => Promise<Omit<Dataset, 'name' | 'n'>>;
}

/** Folders that are searched, in order: the one given, or PERFORMERS_DATA, or ./data and ../shared/data. */
export function dataFolders(given?: string): string[] {
  const named = given ?? process.env.PERFORMERS_DATA;
  return (named ? [named] : ['data', '../shared/data']).map((folder) => resolve(folder));
}

/** @throws PerformersError PF428 when no folder has it, PF429 when its bytes are not what they should be */
export async function readDataset(name: string, source: DatasetSource, folder?: string): Promise<Dataset> {
  const sought = dataFolders(folder).map((each) => join(each, source.path));
  for (const at of sought) {
    if (!(await exists(at))) continue;
    const { x, d, labels, classes } = await source.read(at);
    return { name, n: labels.length, d, x, labels, classes };
  }
  throw new PerformersError('PF428', `data set '${name}' is missing: ${source.path} was not found`, {
    at: sought.join(', '),
    mend: `get it from ${source.origin}, and name the folder that holds ${source.path} by --data-dir or PERFORMERS_DATA`,
  });
}

export async function readBytesAt(at: string): Promise<Uint8Array> {
  try {
    return await readFile(at);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PerformersError('PF428', `a file of the data set could not be read: ${reason}`, {
      at,
      mend: 'check that the file is there and may be read',
      cause,
    });
  }
}

/** Names in a folder, sorted: the order of the data may not depend on the file system. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).sort();
}

export function damaged(at: string, what: string, cause?: unknown): PerformersError {
  return new PerformersError('PF429', what, { at, mend: 'download the file again, whole and unchanged', cause });
}

async function exists(at: string): Promise<boolean> {
  return readFile(at).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'EISDIR',
  );
}
