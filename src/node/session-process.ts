/*
 * Models run in processes of their own: a crash or an allocation that fails ends such a process and not this one, and
 * the peak memory of a process is that of one model at one size.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import type { Feeds, Session, SessionFactory, TensorLike } from '../session.js';
import { type ErrorRecord, errorFromRecord } from './error-record.js';
import { workerProgram } from './worker-program.js';

export type Request =
  | {
      readonly op: 'open';
      readonly runtime: NodeRuntime;
      readonly model: Uint8Array | string;
      readonly weightsBeside?: string;
      /** Runs the graph as it is written, without onnxruntime's graph optimisations. */
      readonly asWritten?: boolean;
    }
  | { readonly op: 'run'; readonly feeds: Feeds; readonly repeats: number };

export interface Opened {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

export interface Ran {
  readonly outputs: Record<string, TensorLike>;
  /** Of each repeat, of which there may be more than asked for, after runs that are not counted. None of none. */
  readonly ms: readonly number[];
  /** Largest memory of the process so far. */
  readonly peakMB: number;
}

export type Reply = { readonly value: Opened | Ran } | { readonly error: ErrorRecord };

export interface SessionProcess extends Session {
  time(feeds: Feeds, repeats: number): Promise<Ran>;
}

/**
 * Opens a model, a path or bytes, in a new process.
 *
 * @param limitMs ends a process that takes longer for one answer
 * @throws PerformersError PF301, PF302
 */
export async function openProcess(
  request: Omit<Extract<Request, { op: 'open' }>, 'op'>,
  limitMs?: number,
): Promise<SessionProcess> {
  const { path, execArgv } = workerProgram('measure-worker');
  const child = fork(path, [], { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const stderr: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
  const release = async () => {
    child.kill('SIGKILL');
  };
  try {
    const opened = await ask<Opened>(child, { op: 'open', ...request }, stderr, limitMs);
    const time = (feeds: Feeds, repeats: number) => ask<Ran>(child, { op: 'run', feeds, repeats }, stderr, limitMs);
    return { ...opened, time, run: async (feeds) => (await time(feeds, 0)).outputs, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Sessions in processes, for `verify` and the like; external weights are those beside `model`. */
export function processSessions(
  runtime: NodeRuntime,
  model: string,
  { asWritten = false, limitMs }: { asWritten?: boolean; limitMs?: number } = {},
): SessionFactory {
  return (bytes) => openProcess({ runtime, model: bytes, weightsBeside: model, asWritten }, limitMs);
}

/** One question at a time. */
function ask<T extends Opened | Ran>(
  child: ChildProcess,
  request: Request,
  stderr: readonly string[],
  limitMs?: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    // One that is gone has said so by 'close' already, and will not again.
    if (child.exitCode !== null || child.signalCode !== null) {
      reject(crash(child.exitCode, child.signalCode, stderr.join('')));
      return;
    }
    const timer =
      limitMs === undefined
        ? undefined
        : setTimeout(() => {
            settle();
            child.kill('SIGKILL');
            reject(overtime(limitMs));
          }, limitMs);
    const settle = () => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('close', onClose);
      child.off('error', reject);
    };
    const onMessage = (reply: Reply) => {
      settle();
      if ('error' in reply) reject(errorFromRecord(reply.error));
      else resolve(reply.value as T);
    };
    const onClose = (code: number | null, signal: string | null) => {
      settle();
      reject(crash(code, signal, stderr.join('')));
    };
    child.on('message', onMessage);
    child.on('close', onClose);
    child.on('error', reject);
    // A process that ends before it has read this says so by 'close', not here.
    child.send(request, () => undefined);
  });
}

function overtime(limitMs: number): PerformersError {
  return new PerformersError('PF302', `the model took longer than ${limitMs / 1000} s for one step`, {
    mend: 'try shorter inputs of your own: --input inputs.json',
  });
}

function crash(code: number | null, signal: string | null, stderr: string): PerformersError {
  const last = stderr.trim().split('\n').slice(-3).join(' ').slice(-300);
  const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
  return new PerformersError('PF302', `the process that ran the model ${how}${last && `: ${last}`}`, {
    mend: 'out of memory? try a shorter input, or a plan that needs less',
  });
}
