import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll } from 'vitest';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** How the command line is started: as it is built where PERFORMERS_CLI says so (`npm test`), else from the sources. */
export const command: readonly [string, ...string[]] = process.env.PERFORMERS_CLI
  ? [process.execPath, join(root, process.env.PERFORMERS_CLI)]
  : [process.execPath, '--import', tsx, join(root, 'src/cli/main.ts')];

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `performers` with arguments; never rejects. */
export function performers(...args: string[]): Promise<Outcome> {
  const [node, ...start] = command;
  return new Promise((resolve) => {
    execFile(node, [...start, ...args], { cwd: root, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

/** A folder that is gone after the tests of the file. */
export function scratchFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'performers-test-')));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Every file below a folder with a digest of its content: equal listings mean that nothing was touched. */
export function listing(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [relative(folder, path).split(sep).join('/'), digest(path)]));
}

export function digest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
}
