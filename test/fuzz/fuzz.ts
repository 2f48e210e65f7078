/** Cases in child processes: what takes too long, too much memory, or throws what it should not is a failure. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Outcome } from './case.js';
import type { Job, Message } from './worker.js';

const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** A case that says nothing for so long hangs; its own bound, in processor time, is far below (case.ts). */
const silenceMs = 120_000;
/** Heap of a process. The largest case is some 20 MB of bytes, as 10⁵ messages. */
const heapMB = 1024;

export interface Failure {
  readonly seed: number;
  readonly error: string;
}
export interface Result {
  readonly cases: number;
  readonly seconds: number;
  readonly outcomes: Partial<Record<Outcome, number>>;
  readonly failures: readonly Failure[];
  /** Of the largest process, code and cases together. */
  readonly peakMB: number;
}

export interface Options {
  readonly seed: number;
  readonly cases: number;
  readonly jobs: number;
  readonly onProgress?: (progress: { readonly done: number; readonly failures: number }) => void;
  readonly onFailure?: (failure: Failure) => void;
}

export async function fuzz({ seed, cases, jobs, onProgress, onFailure }: Options): Promise<Result> {
  const start = performance.now();
  const failures: Failure[] = [];
  const outcomes: Partial<Record<Outcome, number>> = {};
  let done = 0;
  let peakMB = 0;
  const fail = (failure: Failure) => {
    failures.push(failure);
    onFailure?.(failure);
  };
  /** One process from a case on, and another after it where it did not come to its end. */
  const run = async (job: Job): Promise<void> => {
    let current = job.seed;
    let ended = false;
    const child = startWorker(job);
    let timer: NodeJS.Timeout | undefined;
    let why = '';
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        why = `no end within ${silenceMs / 1000} s`;
        child.kill('SIGKILL');
      }, silenceMs);
    };
    alive();
    let begun = 0;
    child.on('message', (message: Message) => {
      alive();
      if ('at' in message) {
        current = message.at;
        begun += 1;
        done += 1;
        if (done % 1000 === 0) onProgress?.({ done, failures: failures.length });
      } else if ('failed' in message) fail({ seed: message.failed, error: message.error });
      else {
        ended = true;
        peakMB = Math.max(peakMB, message.peakMB);
        for (const [outcome, count] of Object.entries(message.outcomes)) {
          const key = outcome as Outcome;
          outcomes[key] = (outcomes[key] ?? 0) + count;
        }
      }
    });
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('exit', (code, signal) => resolve([code, signal])),
    );
    clearTimeout(timer);
    if (ended) return;
    fail({ seed: current, error: why || `the process ended with ${signal ?? code}: out of memory?` });
    if (begun < job.cases) await run({ ...job, seed: current + job.step, cases: job.cases - begun });
  };
  const shares = Array.from({ length: jobs }, (_, i) => ({
    seed: seed + i,
    cases: Math.ceil((cases - i) / jobs),
    step: jobs,
  }));
  await Promise.all(shares.map(run));
  return { cases: done, seconds: Math.round((performance.now() - start) / 1000), outcomes, failures, peakMB };
}

function startWorker(job: Job): ChildProcess {
  const args = [`--max-old-space-size=${heapMB}`, '--import', tsx, worker, JSON.stringify(job)];
  return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}
