import { basename, join } from 'node:path';
import { inspect } from '../linearize.js';
import type { Findings, Refusal, Site } from '../rewrite/site.js';
import { type ErrorRecord, recordError } from './error-record.js';
import { openPath, readBytes } from './model-folder.js';

/** What was found in one file; a file that cannot be read as a model is a row with its error. */
export interface InspectedFile extends Omit<Findings, 'sites' | 'refusals'> {
  readonly file: string;
  readonly error?: ErrorRecord;
  readonly sites: readonly Omit<Site, 'operands'>[];
  readonly refusals: readonly Omit<Refusal, 'site'>[];
}

/** Sites, near misses and refusals of every model at the given paths. @throws nothing: errors are in the rows */
export async function inspectFiles(
  paths: readonly string[],
  onProgress?: (progress: { done: number; total: number; what: string }) => void,
): Promise<InspectedFile[]> {
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
  const rows: InspectedFile[] = [];
  for (const { file, path, error } of listed) {
    rows.push(path === undefined ? failed(file, error) : await inspectFile(file, path));
    onProgress?.({ done: rows.length, total: listed.length, what: basename(file) });
  }
  return rows;
}

async function inspectFile(file: string, path: string): Promise<InspectedFile> {
  try {
    const { sites, nearMisses, refusals } = inspect(await readBytes(path), { file });
    return {
      file,
      sites: sites.map(({ operands: _, ...site }) => site),
      nearMisses,
      refusals: refusals.map(({ site: _, ...refusal }) => refusal),
    };
  } catch (error) {
    return failed(file, error);
  }
}

function failed(file: string, error: unknown): InspectedFile {
  return { file, error: recordError(error), sites: [], nearMisses: [], refusals: [] };
}
