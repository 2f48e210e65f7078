import { basename, join } from 'node:path';
import { inspect } from '../linearize.js';
import type { Findings, Refusal, Site } from '../rewrite/site.js';
import { type ErrorRecord, recordError } from './error-record.js';
import { openPath, readBytes } from './model-folder.js';

/** What was found in one file; a file that cannot be read as a model is a row with its error. */
export interface InspectedFile {
  readonly file: string;
  readonly error?: ErrorRecord;
  readonly sites: readonly Omit<Site, 'operands'>[];
  readonly nearMisses: Findings['nearMisses'];
  /** `exact`: exact plans can take it all the same, with its bias as it is. */
  readonly refusals: readonly (Omit<Refusal, 'site'> & { readonly exact: boolean })[];
}

/** What `performers inspect --json` prints; docs/inspect-json.md and docs/inspect.schema.json say what is in it. */
export interface Inspection {
  readonly schema: 'performers.inspect/1';
  readonly files: readonly InspectedFile[];
  readonly total: Totals;
}

export interface Totals {
  readonly files: number;
  /** Files that could not be read as a model. */
  readonly broken: number;
  readonly sites: number;
  readonly nearMisses: number;
  readonly refusals: number;
}

/**
 * Sites, near misses and refusals of every model at the given paths, files and folders.
 *
 * @throws nothing: errors are in the rows
 */
export async function inspectFiles(
  paths: readonly string[],
  onProgress?: (progress: { done: number; total: number; what: string }) => void,
): Promise<Inspection> {
  const listed: { file: string; path?: string; error?: unknown }[] = [];
  for (const path of paths) {
    try {
      const { kind, root, models } = await openPath(path);
      const name = (model: string) => (kind === 'file' ? path : join(path, model));
      listed.push(...models.map((model) => ({ file: name(model), path: join(root, model) })));
    } catch (error) {
      listed.push({ file: path, error });
    }
  }
  const files: InspectedFile[] = [];
  for (const { file, path, error } of listed) {
    files.push(path === undefined ? failed(file, error) : await inspectFile(file, path));
    onProgress?.({ done: files.length, total: listed.length, what: basename(file) });
  }
  const sum = (count: (file: InspectedFile) => number) => files.reduce((total, file) => total + count(file), 0);
  const total = {
    files: files.length,
    broken: sum(({ error }) => (error ? 1 : 0)),
    sites: sum(({ sites }) => sites.length),
    nearMisses: sum(({ nearMisses }) => nearMisses.length),
    refusals: sum(({ refusals }) => refusals.length),
  };
  return { schema: 'performers.inspect/1', files, total };
}

async function inspectFile(file: string, path: string): Promise<InspectedFile> {
  try {
    const { sites, nearMisses, refusals } = inspect(await readBytes(path), { file });
    return {
      file,
      sites: sites.map(({ operands: _, ...site }) => site),
      nearMisses,
      refusals: refusals.map(({ site, ...refusal }) => ({ ...refusal, exact: site !== undefined })),
    };
  } catch (error) {
    return failed(file, error);
  }
}

function failed(file: string, error: unknown): InspectedFile {
  return { file, error: recordError(error), sites: [], nearMisses: [], refusals: [] };
}
