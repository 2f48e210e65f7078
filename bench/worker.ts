/**
 * Times models against each other in one process, runs taken in turn so that what disturbs one disturbs all. Called by
 * run.ts with a job as its argument; prints one line of JSON.
 */
import { readFileSync } from 'node:fs';
import * as web from 'onnxruntime-web';
import { gaussians } from '../src/features/rng.js';
import { peakMemory } from '../src/node/peak-memory.js';

export interface Job {
  readonly models: readonly { readonly name: string; readonly file: string }[];
  /** Dims of every input of the models, which are float32 and the same for all. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly repeats: number;
}
export interface Timing {
  readonly name: string;
  readonly error?: string;
  /** Milliseconds of each run after one that is not counted. */
  readonly ms: readonly number[];
}
export interface JobResult {
  readonly timings: readonly Timing[];
  /** Of the whole process: meaningful when the job has one model. */
  readonly peakMB: number;
}

web.env.wasm.numThreads = 1;
const job: Job = JSON.parse(process.argv[2] ?? '');
const normal = gaussians(1);
const feeds = Object.fromEntries(
  Object.entries(job.inputs).map(([name, dims]) => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    return [name, new web.Tensor('float32', Float32Array.from({ length: size }, normal), [...dims])];
  }),
);

const sessions = new Map<string, web.InferenceSession>();
const times = new Map<string, number[]>(job.models.map(({ name }) => [name, []]));
const errors = new Map<string, string>();
for (const { name, file } of job.models)
  sessions.set(name, await web.InferenceSession.create(readFileSync(file), { logSeverityLevel: 4 }));
for (let i = 0; i <= job.repeats; i++) {
  for (const [name, session] of sessions) {
    if (errors.has(name)) continue;
    try {
      const start = performance.now();
      await session.run(feeds);
      if (i > 0) times.get(name)?.push(performance.now() - start);
    } catch (error) {
      errors.set(name, error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error));
    }
  }
}
const timings: Timing[] = job.models.map(({ name }) => {
  const error = errors.get(name);
  return { name, ms: times.get(name) ?? [], ...(error !== undefined && { error }) };
});
const result: JobResult = { timings, peakMB: Math.round(peakMemory() / 2 ** 20) };
console.log(JSON.stringify(result));
