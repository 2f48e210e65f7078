import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** How to start a program of this folder as a process: from the sources by tsx, from the built package as its own entry. */
export function workerProgram(name: 'measure-worker' | 'bench-worker'): { path: string; execArgv: string[] } {
  const source = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  if (existsSync(source)) {
    const tsx = createRequire(import.meta.url).resolve('tsx');
    return { path: source, execArgv: ['--import', pathToFileURL(tsx).href] };
  }
  // What this file is bundled into may lie at the top of dist or in a folder of it.
  const places = [`./node/${name}.js`, `../node/${name}.js`];
  const built = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
  if (!built) throw new TypeError(`the build has no node/${name}.js`);
  return { path: built, execArgv: [] };
}
