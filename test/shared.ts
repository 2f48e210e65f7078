import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const shared = resolve(root, process.env.PERFORMERS_SHARED || '../shared');

/** Path of a file in test/graphs. @throws Error when there is none */
export function graphFile(name: string): string {
  return existing(join(root, 'test', 'graphs', name));
}

/** Path of a file or folder of a real model that this repository does not ship. @throws Error when it is not there */
export function modelFile(path: string): string {
  return existing(join(shared, 'models', path));
}

/** Path of a file of the data that this repository does not ship. @throws Error when it is not there */
export function dataFile(path: string): string {
  return existing(join(shared, 'data', path));
}

/**
 * Real models beyond the one shipped lie in ../shared/models (or under PERFORMERS_SHARED). A plain clone has none, and
 * the tests that need them are skipped, and counted as such; on CI they fail instead.
 */
export const noModels = !existsSync(join(shared, 'models')) && !process.env.CI && !process.env.PERFORMERS_SHARED;

function existing(file: string): string {
  if (existsSync(file)) return file;
  throw new Error(`${file} is not there; PERFORMERS_SHARED names the folder of models this repository does not ship`);
}
