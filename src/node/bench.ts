/** The bench in Node: every lane a process, ended when it holds more memory than it may. */
import { execFileSync, fork } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, freemem, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaneJob } from '../bench/lane.js';
import type { BenchResult, Machine, NotMeasured } from '../bench/result.js';
import { type BenchOptions, type LaneEvents, runBench } from '../bench/run.js';
import { type BackendName, backends, threadsOf } from './bench-backends.js';
import type { LaneReply } from './bench-worker.js';
import { memoryMark } from './peak-memory.js';
import { workerProgram } from './worker-program.js';

export interface BenchFilesOptions extends Omit<BenchOptions, 'backends' | 'machine'> {
  readonly backends: readonly BackendName[];
  /** Bytes a process may hold, where the kernel says what it holds (Linux). Default: half of what is free. */
  readonly memoryLimit?: number;
}

/** Measures; a method that fails is a result. @throws PerformersError none of its own: what cannot be started is a failed lane */
export function benchInNode({ memoryLimit = freemem() / 2, ...options }: BenchFilesOptions): Promise<BenchResult> {
  const given = options.backends.map((name) => ({
    name,
    what: backends[name].what,
    threads: threadsOf(name),
    memory: 'most memory the process held, runtime and Node included',
    forms: ['model'] as const,
  }));
  return runBench({ ...options, backends: given, machine: describeMachine() }, (job, events) =>
    startProcess(job, events, memoryLimit),
  );
}

function startProcess(job: LaneJob, { say, end }: LaneEvents, memoryLimit: number): () => void {
  const { path, execArgv } = workerProgram('bench-worker');
  const child = fork(path, [], { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let errors = '';
  let died: NotMeasured | undefined;
  let settled = false;
  const settle = (reason?: NotMeasured) => {
    if (settled) return;
    settled = true;
    clearInterval(watch);
    end(reason);
  };
  // Left to itself, a process that takes all memory takes other programs with it.
  const watch = setInterval(() => {
    const held = memoryMark(child.pid ?? 0, 'VmRSS') ?? 0;
    if (held <= memoryLimit) return;
    died = { status: 'limit', reason: `held ${gigabytes(held)}, and ${gigabytes(memoryLimit)} are allowed` };
    child.kill('SIGKILL');
  }, 50);
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = `${errors}${text}`.slice(-2000);
  });
  child.on('message', (reply: LaneReply) => {
    if ('message' in reply) say(reply.message);
    else settle(reply.end);
  });
  child.on('error', (error) => settle({ status: 'failed', reason: error.message }));
  child.on('close', (code, signal) => {
    const last = errors.trim().split('\n').at(-1)?.slice(-200);
    const how = signal ? `ended by ${signal}` : `ended with exit code ${code}`;
    settle(died ?? { status: 'failed', reason: `the process was ${how}${last ? `: ${last}` : ''}` });
  });
  child.send(job, () => undefined);
  return () => child.kill('SIGKILL');
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(2)} GB`;
}

function describeMachine(): Machine {
  const root = packageRoot();
  const commit = root && existsSync(join(root, '.git')) ? gitCommit(root) : undefined;
  return {
    what: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${process.platform} ${process.arch}`,
    cores: cpus().length,
    load: Number(loadavg()[2].toFixed(1)),
    versions: {
      'performers.js': root ? versionIn(root) : 'unknown',
      ...Object.fromEntries(['onnxruntime-node', 'onnxruntime-web'].flatMap(installed)),
      node: process.versions.node,
    },
    ...(commit && { commit }),
  };
}

/** Above this file, in the sources as in the built package. */
function packageRoot(): string | undefined {
  const folders = ['..', '../..'].map((up) => fileURLToPath(new URL(up, import.meta.url)));
  return folders.find((folder) => existsSync(join(folder, 'package.json')));
}

function gitCommit(root: string): string | undefined {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, stdio: 'pipe' }).toString().trim();
  } catch {
    // No git here.
    return undefined;
  }
}

function installed(name: string): [string, string][] {
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const folder = entry.slice(0, entry.lastIndexOf(name) + name.length);
    return [[name, versionIn(folder)]];
  } catch {
    return [];
  }
}

function versionIn(folder: string): string {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}
