/**
 * A decoder with a state against itself with a key cache: prefill, time a token and bytes between calls, by context.
 *
 *   npx tsx bench/generate/run.ts ORIGINAL PATCHED [--runtime node|wasm] [--contexts 1024,2048,4096,8000] [--name results]
 *
 * Both models run in turn in one process. A prompt is read in pieces of 512 tokens; then single tokens are timed. What is
 * timed is the model, with the logits of the new tokens. Processor time is that of all threads, and what to go by where others
 * use the machine. Writes results/generate-NAME.json beside the table.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import type { Session, TensorLike } from '../../src/session.js';
import { machine } from '../machine.js';
import { median, round } from '../suite.js';
import { emptyCache } from './cache.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: 'string', default: 'node' },
    contexts: { type: 'string', default: '1024,2048,4096,8000' },
    steps: { type: 'string', default: '12' },
    name: { type: 'string', default: 'model' },
  },
});
const [original, patched] = positionals;
if (!original || !patched || (values.runtime !== 'node' && values.runtime !== 'wasm'))
  throw new Error('usage: run.ts ORIGINAL PATCHED [--runtime node|wasm]');
const contexts = values.contexts.split(',').map(Number);
const piece = 512;

interface Measured {
  readonly context: number;
  readonly prefillSeconds: number;
  readonly msPerToken: number;
  readonly processorMs: number;
  readonly bytes: number;
}

async function step(session: Session, past: Record<string, TensorLike>, from: number, to: number) {
  const int64 = (data: number[]): TensorLike => ({
    type: 'int64',
    dims: [1, data.length],
    data: BigInt64Array.from(data, BigInt),
  });
  const places = Array.from({ length: to - from }, (_, i) => from + i);
  const all: Record<string, TensorLike> = {
    input_ids: int64(places.map((i) => 100 + ((i * 7919) % 20000))),
    attention_mask: int64(Array.from({ length: to }, () => 1)),
    position_ids: int64(places),
    ...past,
  };
  const outputs = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, all[name]])));
  return Object.fromEntries(
    Object.keys(past).map((name) => {
      const value = outputs[name.replace('past_key_values', 'present')];
      if (!value) throw new Error(`no output for ${name}`);
      return [name, value];
    }),
  );
}

async function measure(path: string): Promise<Measured[]> {
  // As the adapters have it for models with a state.
  const create = await nodeSessions(values.runtime === 'wasm' ? 'wasm' : 'node', path, { enableMemPattern: false });
  const session = await create(new Uint8Array(readFileSync(path)));
  const rows: Measured[] = [];
  let past = emptyCache(path);
  let at = 0;
  let prefill = 0;
  for (const context of contexts) {
    while (at < context) {
      const to = Math.min(context, at + piece);
      const start = performance.now();
      past = await step(session, past, at, to);
      prefill += performance.now() - start;
      at = to;
    }
    const times: number[] = [];
    const processor: number[] = [];
    let state = past;
    for (let i = 0; i < Number(values.steps); i++) {
      const [start, used] = [performance.now(), process.cpuUsage()];
      state = await step(session, state, context + i, context + i + 1);
      times.push(performance.now() - start);
      const { user, system } = process.cpuUsage(used);
      processor.push((user + system) / 1000);
    }
    const bytes = Object.values(past).reduce((sum, { dims }) => sum + 4 * dims.reduce((a, b) => a * b, 1), 0);
    rows.push({
      context,
      prefillSeconds: prefill / 1000,
      msPerToken: median(times),
      processorMs: median(processor),
      bytes,
    });
  }
  await session.release();
  return rows;
}

const [before, after] = [await measure(original), await measure(patched)];
const rows = contexts.map((context, i) => ({
  context,
  'prefill, s': round(before[i].prefillSeconds),
  'patched, s': round(after[i].prefillSeconds),
  'ms a token': round(before[i].msPerToken),
  'patched, ms': round(after[i].msPerToken),
  'processor ms': round(before[i].processorMs),
  'patched, processor ms': round(after[i].processorMs),
  'ratio to the first context': round(before[i].msPerToken / before[0].msPerToken),
  'patched, ratio': round(after[i].msPerToken / after[0].msPerToken),
  'MB between calls': round(before[i].bytes / 1e6),
  'patched, MB': round(after[i].bytes / 1e6),
}));
console.table(rows);
const file = new URL(`../results/generate-${values.name}.json`, import.meta.url);
writeFileSync(
  file,
  `${JSON.stringify({ schema: 'performers.bench.generate/1', runtime: values.runtime, machine: machine(), rows }, undefined, 1)}\n`,
);
