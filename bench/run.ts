/**
 * npm run bench [-- SUITE…]: whole encoders, projections and linearize() itself, as ratios measured in one run.
 * Prints a table and writes bench/results/SUITE.json with the machine, versions and commit it was measured on.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { machine } from './machine.js';
import { suites } from './suites.js';
import type { Job, JobResult } from './worker.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const worker = fileURLToPath(new URL('worker.ts', import.meta.url));

/** Runs a job in a process of its own. */
async function measure(job: Job): Promise<JobResult> {
  const failed = (error: string): JobResult => ({
    timings: job.models.map(({ name }) => ({ name, ms: [], error })),
    peakMB: 0,
  });
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', worker, JSON.stringify(job)], {
      maxBuffer: 2 ** 26,
      cwd: root,
    });
    return JSON.parse(stdout.trim().split('\n').pop() ?? '');
  } catch (error) {
    return failed(
      error instanceof Error
        ? (error.message.split('\n').find((line) => /error|abort|memory/i.test(line)) ?? error.message.slice(0, 200))
        : String(error),
    );
  }
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(suites, name));
if (unknown.length > 0) {
  console.error(`no suite ${unknown.join(', ')}; there are ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
const version = (name: string) =>
  JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
const measuredOn = {
  ...machine(),
  memoryGB: Math.round(totalmem() / 2 ** 30),
  'onnxruntime-web': version('onnxruntime-web'),
  backend: 'wasm, 1 thread',
};
mkdirSync(join(root, 'bench', 'results'), { recursive: true });
for (const [name, suite] of Object.entries(suites)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const folder = mkdtempSync(join(tmpdir(), 'performers-bench-'));
  try {
    console.log(`\n${name}: ${suite.title}`);
    const rows = await suite.run({ folder, measure, print: (line) => console.log(`  ${line}`) });
    writeFileSync(
      join(root, 'bench', 'results', `${name}.json`),
      `${JSON.stringify({ schema: 'performers.suite/1', title: suite.title, machine: measuredOn, rows }, null, 2)}\n`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}
