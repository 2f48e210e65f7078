import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

/** What results were measured on; `load` is the mean over the last 15 minutes. */
export function machine() {
  const cwd = fileURLToPath(new URL('../', import.meta.url));
  return {
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd }).toString().trim(),
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    load: Number(loadavg()[2].toFixed(1)),
    node: process.version,
  };
}
