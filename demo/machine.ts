import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, platform, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where and with what a report was made. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly system: string;
  readonly node: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: string;
}

const packages = ['performers.js', '@huggingface/transformers', 'onnxruntime-web', 'onnxruntime-node'];
const root = fileURLToPath(new URL('../', import.meta.url));

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${process.arch}`,
    node: process.version,
    versions: Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
    commit: commit(),
  };
}

/** package.json is not always among a package's exports, so it is looked for above its entry. */
function versionOf(name: string): string {
  let folder = name === 'performers.js' ? root : dirname(createRequire(import.meta.url).resolve(name));
  for (; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (
        typeof manifest === 'object' &&
        manifest &&
        'name' in manifest &&
        'version' in manifest &&
        manifest.name === name
      ) {
        return String(manifest.version);
      }
    } catch {
      // Not here: one folder up.
    }
  }
  return 'unknown';
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') ? ', with changes' : ''}`;
  } catch {
    return 'not a git checkout';
  }
}
