/* The process that bench.ts starts for every lane: one method on one backend. */
import { nodeSessions } from '../adapters/runtime.node.js';
import { sessionBackend } from '../bench/backend.js';
import { failure, type LaneJob, type LaneMessage, runLane } from '../bench/lane.js';
import type { NotMeasured } from '../bench/result.js';
import { backends, isBackendName, threadsOf } from './bench-backends.js';
import { peakMemory } from './peak-memory.js';

export type LaneReply = { readonly message: LaneMessage } | { readonly end: NotMeasured | undefined };

process.once('message', async (job: LaneJob) => {
  const end = await work(job).then(
    () => undefined,
    (error: unknown) => failure(error),
  );
  reply({ end }, () => process.exit());
});
process.on('disconnect', () => process.exit());

async function work(job: LaneJob): Promise<void> {
  if (!isBackendName(job.backend)) throw new TypeError(`no backend ${job.backend}`);
  const createSession = await nodeSessions(
    backends[job.backend].runtime,
    undefined,
    { logSeverityLevel: 3 },
    threadsOf(job.backend),
  );
  await runLane(job, sessionBackend(createSession, peakMemory), (message) => reply({ message }));
}

function reply(value: LaneReply, then?: () => void): void {
  process.send?.(value, undefined, undefined, then);
}
