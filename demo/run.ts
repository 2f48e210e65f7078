import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Budget } from './budget.js';
import type { ChildMessage, Job, Measurement } from './measurement.js';

export type Outcome =
  | { readonly ran: true; readonly measurement: Measurement }
  | { readonly ran: false; readonly reason: string; readonly skipped?: true };

/** What is under way, for a line of progress. */
export interface Running {
  readonly job: Job;
  phase: string;
  readonly since: number;
}

export interface Run {
  /** In the order of the jobs. */
  readonly outcomes: readonly Promise<Outcome>[];
  readonly running: ReadonlySet<Running>;
  /** Ends all children; outcomes not yet there become failures. */
  stop(): void;
}

/**
 * Runs jobs in child processes, `atOnce` at a time, in order. A child that fails or dies is an outcome like others. The
 * budget is asked when a job's turn has come.
 */
export function runJobs(jobs: readonly Job[], atOnce: number, budget: Budget): Run {
  const running = new Set<Running>();
  const children = new Set<ChildProcess>();
  const waiting: (() => void)[] = [];
  let free = atOnce;
  let stopped = false;

  const run = async (job: Job): Promise<Outcome> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    const refusal = stopped ? 'interrupted' : budget.refuse(job);
    const state: Running = { job, phase: 'starting', since: performance.now() };
    running.add(state);
    try {
      if (refusal) return { ran: false, reason: refusal, skipped: true };
      const outcome = await runChild(job, state, children);
      if (outcome.ran) record(budget, job, outcome.measurement, performance.now() - state.since);
      return outcome;
    } finally {
      running.delete(state);
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
  return {
    outcomes: jobs.map(run),
    running,
    stop() {
      stopped = true;
      for (const child of children) child.kill();
    },
  };
}

function record(budget: Budget, { px, plan }: Job, { ms, runs }: Measurement, wallMs: number): void {
  budget.record({ px, plan: plan.text, ms, overheadMs: Math.max(0, wallMs - ms * runs) });
}

const root = fileURLToPath(new URL('../', import.meta.url));
const program = fileURLToPath(new URL('./child.ts', import.meta.url));

function runChild(job: Job, state: Running, children: Set<ChildProcess>): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = fork(program, {
      cwd: root,
      execArgv: ['--import', 'tsx'],
      // Typed arrays come back as such.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    children.add(child);
    let errors = '';
    child.stderr?.on('data', (chunk) => {
      errors = `${errors}${chunk}`.slice(-4000);
    });
    child.on('message', (message: ChildMessage) => {
      if (message.kind === 'phase') state.phase = message.phase;
      if (message.kind === 'done') resolve({ ran: true, measurement: message.measurement });
      if (message.kind === 'failed') resolve({ ran: false, reason: message.reason });
    });
    child.on('error', (error) => resolve({ ran: false, reason: error.message }));
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve({ ran: false, reason: deathOf(code, signal, errors) });
    });
    child.send(job);
  });
}

function deathOf(code: number | null, signal: NodeJS.Signals | null, errors: string): string {
  if (/heap out of memory|bad_alloc/.test(errors)) return 'out of memory';
  if (signal === 'SIGKILL') return 'killed by the system, most likely for its memory';
  if (signal) return `ended by ${signal}`;
  const last = errors.trim().split('\n').at(-1);
  return `the process ended with code ${code}${last ? `: ${last}` : ''}`;
}
