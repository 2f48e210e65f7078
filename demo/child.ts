/*
 * One plan at one size, in a process of its own: its peak memory is its own, and where it fails the others go on.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { env, pipeline, RawImage, type Tensor } from '@huggingface/transformers';
import * as ort from 'onnxruntime-node';
import { sessionFactory } from '../src/adapters/onnxruntime.js';
import { performers } from '../src/adapters/transformers.node.js';
import { peakMemory } from '../src/node/peak-memory.js';
import { recordHeads } from './heads.js';
import type { ChildMessage, Job, Measurement } from './measurement.js';
import { watchModel } from './watch-model.js';

const warmUpPx = 224;
const warmUpMs = 1200;

// Also when the parent is gone.
process.once('disconnect', () => process.exit());
process.once('message', (job: Job) => {
  measure(job)
    .then((measurement): ChildMessage => ({ kind: 'done', measurement }))
    .catch((error: unknown): ChildMessage => ({ kind: 'failed', reason: reasonOf(error) }))
    // A large message is on its way for a while; only then may the process end.
    .then((last) => process.send?.(last, () => process.disconnect()));
});

async function measure(job: Job): Promise<Measurement> {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(job.model) + sep;
  send({ kind: 'phase', phase: 'loading' });
  const start = performance.now();
  const device = job.runtime === 'wasm' ? 'wasm' : 'cpu';
  const pipe = await pipeline('depth-estimation', basename(job.model), {
    dtype: 'fp32',
    ...performers({ ...(job.plan.options ?? { original: true }), device, numThreads: 1 }),
  });
  const loadMs = performance.now() - start;
  // The size a user of the pipeline would set, and what the model gives besides the map.
  const resize = (px: number) =>
    Object.assign(pipe.processor?.image_processor ?? {}, { size: { width: px, height: px } });
  const seen = watchModel(pipe.model);
  const image = await RawImage.read(job.image);

  // WebAssembly is compiled to fast code only as it runs: a small image first, or the first large one is timed cold.
  send({ kind: 'phase', phase: 'warming up' });
  resize(Math.min(job.px, warmUpPx));
  for (const begin = performance.now(); performance.now() - begin < warmUpMs; ) await pipe(image);
  resize(job.px);

  send({ kind: 'phase', phase: 'running' });
  const times: number[] = [];
  const before = process.cpuUsage();
  // One run of what takes seconds; short ones are repeated.
  for (let total = 0; times.length < 3 && total < 1500; total += times.at(-1) ?? 0) {
    const begin = performance.now();
    await pipe(image);
    times.push(performance.now() - begin);
  }
  const used = process.cpuUsage(before);
  const cpuMs = (used.user + used.system) / 1000;
  const peakMB = peakMemory() / 2 ** 20;
  const [height = 0, width = 0] = seen.output('predicted_depth').dims.slice(-2);
  const map = { data: floats(seen.output('predicted_depth')), width, height };
  const hidden = seen.has('last_hidden_state') ? seen.output('last_hidden_state') : undefined;
  const [tokens = 0, features = 0] = hidden?.dims.slice(-2) ?? [];
  await pipe.dispose();

  if (job.heads) send({ kind: 'phase', phase: 'recording heads' });
  // The native runtime is quicker, and nothing of this is timed: the errors are the plan's, not the runtime's.
  const bytes = () => readFileSync(join(job.model, 'onnx', 'model.onnx'));
  const heads = job.heads
    ? await recordHeads(bytes(), job.plan.options, seen.inputs(), sessionFactory(ort))
    : undefined;
  return {
    ms: median(times),
    runs: times.length,
    cpuShare: Math.min(1, cpuMs / times.reduce((sum, ms) => sum + ms)),
    loadMs,
    peakMB,
    map,
    ...(hidden && { hidden: { data: floats(hidden), tokens, width: features } }),
    ...(heads && { heads }),
  };
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[times.length >> 1] ?? 0;
}

function floats(tensor: Tensor): Float32Array {
  return Float32Array.from(tensor.data, Number);
}

function send(message: ChildMessage): void {
  process.send?.(message);
}

/** The first line of the innermost cause: what the runtime itself said. */
function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  const text = (inner instanceof Error ? inner.message : String(inner)).replace(/^.*ERROR_MESSAGE: /s, '');
  if (/bad_alloc|out of memory|memory access out of bounds|allocat/i.test(text))
    return `out of memory (${firstLine(text)})`;
  return firstLine(text);
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}
