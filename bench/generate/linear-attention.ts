/**
 * Causal attention of one layer by positive features, 9 query heads on 3 key heads of 64, m = 128: the plans of our own operators against
 * linear-attention, which is com.microsoft.LinearAttention, over a prompt and for one token behind it.
 *
 *   npx tsx bench/generate/linear-attention.ts [--runtime node|wasm] [--lengths 512,2048,8192] [--name linear-attention]
 *
 * Random inputs: times only. Processor time, the least of many runs, all in turn in one process.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { gaussians } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import type { Feeds, Session, TensorLike } from '../../src/session.js';
import { causalModel } from '../../test/causal-model.js';
import { machine } from '../machine.js';
import { round } from '../suite.js';

const { values } = parseArgs({
  options: {
    runtime: { type: 'string', default: 'node' },
    lengths: { type: 'string', default: '512,2048,8192' },
    name: { type: 'string', default: 'linear-attention' },
  },
});
const [heads, kvHeads, width, features] = [9, 3, 64, 128];
const normal = gaussians(1);
const draw = (length: number) => Float32Array.from({ length }, () => normal());

const original = causalModel({ heads, kvHeads, headDim: width, cache: true, mask: true });
const plans = [
  `linear-attention:m=${features}`,
  `features-causal:m=${features},window=0`,
  `features-causal:m=${features},window=64`,
];
const models: Record<string, Uint8Array> = {};
for (const plan of plans) models[plan] = (await linearize(original, { plan })).bytes;

// Sessions are opened for a file, whose weights may lie beside it.
const file = join(mkdtempSync(join(tmpdir(), 'performers-bench-')), 'model.onnx');
writeFileSync(file, original);
const create = await nodeSessions(values.runtime === 'wasm' ? 'wasm' : 'node', file);
const rows: Record<string, number | string | undefined>[] = [];
const nothing: TensorLike = { type: 'float32', dims: [1, kvHeads, 0, width], data: new Float32Array() };
const empty: Feeds = { 'past_key_values.0.key': nothing, 'past_key_values.0.value': nothing };
for (const length of values.lengths.split(',').map(Number)) {
  const milliseconds = new Map<string, readonly [prompt: number, token: number]>();
  for (const [name, bytes] of Object.entries(models)) {
    const session = await create(bytes);
    let state = empty;
    const prompt = await least(length > 4096 ? 3 : 6, async () => {
      state = stateOf(await session.run(needed(session, inputs(length, length), empty)));
    });
    const token = await least(60, () => session.run(needed(session, inputs(1, length + 1), state)));
    milliseconds.set(name, [prompt, token]);
    await session.release();
  }
  const [base] = [...milliseconds.values()];
  for (const [name, [prompt, token]] of milliseconds)
    rows.push({
      plan: name,
      tokens: length,
      'prompt ms': round(prompt),
      'linear-attention ÷ this': round(base[0] / prompt),
      'token ms': round(token),
      'token, linear-attention ÷ this': round(base[1] / token),
    });
}
console.table(rows);
writeFileSync(
  new URL(`../results/generate-${values.name}.json`, import.meta.url),
  `${JSON.stringify({ schema: 'performers.bench.generate/1', runtime: values.runtime, machine: machine(), rows }, undefined, 1)}\n`,
);

function inputs(tokens: number, seen: number): Feeds {
  const rowsOf = (count: number): TensorLike => ({
    type: 'float32',
    dims: [1, count, tokens, width],
    data: draw(count * tokens * width),
  });
  return {
    q: rowsOf(heads),
    k: rowsOf(kvHeads),
    v: rowsOf(kvHeads),
    mask: { type: 'int64', dims: [1, seen], data: new BigInt64Array(seen).fill(1n) },
  };
}

/** What a call leaves for the next, under the names that it takes it in by. */
function stateOf(outputs: Readonly<Record<string, TensorLike>>): Feeds {
  const pairs = Object.entries(outputs).filter(([name]) => name.startsWith('present'));
  return Object.fromEntries(pairs.map(([name, value]) => [name.replace('present', 'past_key_values'), value]));
}

function needed(session: Session, ...feeds: readonly Feeds[]): Feeds {
  const all: Feeds = Object.assign({}, ...feeds);
  return Object.fromEntries(session.inputNames.map((name) => [name, all[name]]));
}

/** Milliseconds of processor time. */
async function least(runs: number, run: () => Promise<unknown>): Promise<number> {
  let found = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const start = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(start);
    found = Math.min(found, (user + system) / 1000);
  }
  return found;
}
