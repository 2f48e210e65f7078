/** The page's side of the worker: one question at a time, and an end to it at any moment. */

import type { SavedPlan } from '../../src/index.js';
import { errorFromRecord } from '../../src/node/error-record.js';
import type { Ask, Opened, Reply, RunResult } from './protocol.js';

type Value<A extends Ask> = A extends { op: 'open' } ? Opened : A extends { op: 'run' } ? RunResult : SavedPlan;
export type OnPhase = (what: string, done?: number, total?: number) => void;

/** Thrown where the user cancelled. */
export class Cancelled extends Error {}

export function createSession(onPhase: OnPhase) {
  let worker: Worker | undefined;
  let opening: Extract<Ask, { op: 'open' }> | undefined;
  let stop: (() => void) | undefined;

  function send<A extends Ask>(ask: A): Promise<Value<A>> {
    worker ??= new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'performers' });
    const own = worker;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        own.onmessage = own.onerror = null;
        stop = undefined;
        act();
      };
      const end = (error: Error) => {
        own.terminate();
        worker = undefined;
        settle(() => reject(error));
      };
      stop = () => end(new Cancelled('cancelled'));
      own.onerror = (event) => {
        event.preventDefault();
        end(new Error(event.message || 'the worker ended: most likely out of memory'));
      };
      own.onmessage = ({ data }: MessageEvent<Reply>) => {
        if (data.kind === 'phase') onPhase(data.what, data.done, data.total);
        else if (data.kind === 'error') settle(() => reject(errorFromRecord(data.error)));
        else settle(() => resolve(data.value as Value<A>));
      };
      own.postMessage(ask);
    });
  }

  return {
    async open(ask: Extract<Ask, { op: 'open' }>): Promise<Opened> {
      opening = undefined;
      const opened = await send(ask);
      opening = ask;
      return opened;
    },
    /** In a new worker, when the last was ended, the model is opened again first. */
    async ask<A extends Exclude<Ask, { op: 'open' }>>(ask: A): Promise<Value<A>> {
      if (!worker && opening) await send(opening);
      return send(ask);
    },
    /** Ends whatever is under way, at once. */
    cancel: () => stop?.(),
  };
}
