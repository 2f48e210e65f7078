import type { LaneJob } from '../../src/bench/lane.js';
import type { LaneEvents } from '../../src/bench/run.js';
import type { LaneReply } from './worker.js';

/** Every lane has a worker of its own: ending it ends what runs in it, and gives its memory back. */
export function startWorker(job: LaneJob, { say, end }: LaneEvents): () => void {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    type: 'module',
    name: job.method ?? 'roofline',
  });
  const settle = (reason?: Parameters<LaneEvents['end']>[0]) => {
    worker.terminate();
    end(reason);
  };
  worker.addEventListener('message', ({ data }: MessageEvent<LaneReply>) => {
    if ('message' in data) say(data.message);
    else settle(data.end);
  });
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    settle({ status: 'failed', reason: event.message || 'the worker could not be started, or ran out of memory' });
  });
  worker.postMessage(job);
  return () => settle({ status: 'limit', reason: 'stopped' });
}
