/* The process that session-process.ts starts: one session, asked over the channel that node gives to its children. */
import { nodeSessions } from '../adapters/runtime.node.js';
import type { Feeds, Session } from '../session.js';
import { recordError } from './error-record.js';
import { readBytes } from './model-folder.js';
import { peakMemory } from './peak-memory.js';
import type { Opened, Ran, Reply, Request } from './session-process.js';

/** Short runs are repeated for this long, before the clock and on it: wasm is compiled to fast code only as it runs. */
const settleMs = 1_000;
/** No more repeats are begun after this long: one run of a long input says enough. */
const patienceMs = 10_000;

let session: Session | undefined;

process.on('message', async (request: Request) => {
  const reply = await answer(request).then(
    (value): Reply => ({ value }),
    (error: unknown): Reply => ({ error: recordError(error) }),
  );
  process.send?.(reply);
});
process.on('disconnect', () => process.exit());

async function answer(request: Request): Promise<Opened | Ran> {
  if (request.op === 'run') return run(request.feeds, request.repeats);
  const { runtime, model, weightsBeside, asWritten } = request;
  const [bytes, path] = typeof model === 'string' ? [await readBytes(model), model] : [model, weightsBeside];
  const createSession = await nodeSessions(runtime, path, asWritten ? { graphOptimizationLevel: 'disabled' } : {});
  session = await createSession(bytes);
  return { inputNames: [...session.inputNames], outputNames: [...session.outputNames] };
}

async function run(feeds: Feeds, repeats: number): Promise<Ran> {
  if (!session) throw new TypeError("'open' comes before 'run'");
  const begun = performance.now();
  let outputs = await session.run(feeds);
  if (repeats > 0) while (performance.now() - begun < settleMs) outputs = await session.run(feeds);
  const ms: number[] = [];
  let spent = 0;
  const enough = () => spent >= (ms.length < repeats ? patienceMs : settleMs);
  while (repeats > 0 && !enough()) {
    const start = performance.now();
    outputs = await session.run(feeds);
    ms.push(performance.now() - start);
    spent += ms[ms.length - 1];
  }
  return { outputs, ms, peakMB: peakMemory() / 1e6 };
}
