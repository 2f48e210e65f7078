/**
 * One long stream of a model with a state: time a token, memory of the process and bytes between calls, by position.
 *
 *   npx tsx bench/generate/long.ts [MODEL] [--tokens 65536] [--single 1024] [--runtime node|wasm] [--name results] [--memory-patterns]
 *
 * Tokens are sampled from the model's own logits, seeded. Of every 1,024 the last `single` are generated one by one and timed; what is
 * before them is read in one piece, pseudo-random, which takes a stream to a far position in little time. Writes
 * results/generate-long-NAME.json beside the table.
 *
 * onnxruntime keeps a plan of its memory for every shape of its inputs, and the attention mask has another with every token: about
 * 35 kB a token for good, whatever the model keeps. That is off here, as docs/generation.md says to have it; --memory-patterns
 * leaves it on.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { uniforms } from '../../src/features/rng.js';
import type { Session, TensorLike } from '../../src/session.js';
import { machine } from '../machine.js';
import { median, round } from '../suite.js';
import { emptyCache } from './cache.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: 'string', default: 'node' },
    tokens: { type: 'string', default: '65536' },
    single: { type: 'string', default: '1024' },
    name: { type: 'string', default: 'node' },
    'memory-patterns': { type: 'boolean', default: false },
  },
});
const path =
  positionals[0] ?? fileURLToPath(new URL('../../models/performer-stories/onnx/model.onnx', import.meta.url));
const { runtime } = values;
if (runtime !== 'node' && runtime !== 'wasm') throw new Error('usage: long.ts [MODEL] [--runtime node|wasm]');
const [tokens, single, stretch] = [Number(values.tokens), Number(values.single), 1024];
if (tokens < 4096 || tokens % stretch !== 0 || single < 1 || single > stretch)
  throw new Error('--tokens must be a multiple of 1024 of at least 4096, --single from 1 to 1024');

const uniform = uniforms(7);
const ones = new BigInt64Array(tokens + 1).fill(1n);

/** What the next token is, by the logits of the last one. */
function sample({ data, dims }: TensorLike): bigint {
  const size = dims.at(-1) ?? 0;
  const logits = Array.from({ length: size }, (_, i) => Number(data[data.length - size + i]));
  const most = logits.reduce((a, b) => Math.max(a, b));
  const weights = logits.map((logit) => Math.exp(logit - most));
  let left = uniform() * weights.reduce((a, b) => a + b);
  const found = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return BigInt(found < 0 ? size - 1 : found);
}

interface Stream {
  readonly session: Session;
  past: Record<string, TensorLike>;
  at: number;
}

/** The logits of tokens that follow what the stream has read. */
async function read(stream: Stream, ids: readonly bigint[]): Promise<TensorLike> {
  const { session, past, at } = stream;
  const int64 = (data: BigInt64Array): TensorLike => ({ type: 'int64', dims: [1, data.length], data });
  const all: Record<string, TensorLike> = {
    input_ids: int64(BigInt64Array.from(ids)),
    attention_mask: int64(ones.subarray(0, at + ids.length)),
    position_ids: int64(BigInt64Array.from(ids, (_, i) => BigInt(at + i))),
    ...past,
  };
  const outputs = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, all[name]])));
  stream.past = Object.fromEntries(
    Object.keys(past).map((name) => [name, outputs[name.replace('past_key_values', 'present')]]),
  );
  stream.at += ids.length;
  return outputs.logits;
}

const bytesOf = (past: Record<string, TensorLike>) =>
  Object.values(past).reduce((sum, { dims }) => sum + 4 * dims.reduce((a, b) => a * b, 1), 0);

const patterns = values['memory-patterns'];
const create = await nodeSessions(runtime, path, { enableMemPattern: patterns });
const session = await create(new Uint8Array(readFileSync(path)));
const begin = (): Stream => ({ session, past: emptyCache(path), at: 0 });
// Engines compile as they go: wasm takes some thousand calls until it is as fast as it gets.
const warm = begin();
for (let i = 0; i < 4096; i++) await read(warm, [BigInt(1 + (i % 500))]);
const stream = begin();
interface Row {
  readonly tokens: number;
  /** Median, by the clock. */
  readonly ms: number;
  /** Mean, of the processor: what other work on the machine disturbs less. */
  readonly cpuMs: number;
  /** Between calls. */
  readonly bytes: number;
  /** Of the process. */
  readonly rssMB: number;
}
/** Time of one token after `late` by that after `early`: medians of the processor's, taken in turns on a machine that does other work too. */
async function inTurns(early: Stream, late: Stream): Promise<number> {
  const times = new Map([early, late].map((state) => [state, [] as number[]]));
  for (let i = 0; i < 400; i++)
    for (const [state, own] of times) {
      const before = process.cpuUsage();
      await read({ ...state }, [5n]);
      const { user, system } = process.cpuUsage(before);
      own.push(user + system);
    }
  const [first, second] = [...times.values()].map(median);
  return second / first;
}

const rows: Row[] = [];
let early: Stream | undefined;
let late: Stream | undefined;
let next = 0n;
while (stream.at < tokens) {
  const fill = stretch - single;
  if (fill > 0)
    next = sample(
      await read(stream, [next, ...Array.from({ length: fill - 1 }, () => BigInt(1 + Math.floor(500 * uniform())))]),
    );
  const times: number[] = [];
  const before = process.cpuUsage();
  for (let i = 0; i < single; i++) {
    const start = performance.now();
    const logits = await read(stream, [next]);
    times.push(performance.now() - start);
    next = sample(logits);
  }
  const { user, system } = process.cpuUsage(before);
  rows.push({
    tokens: stream.at,
    ms: median(times),
    cpuMs: (user + system) / 1000 / single,
    bytes: bytesOf(stream.past),
    rssMB: process.memoryUsage().rss / 1e6,
  });
  if (stream.at === 1024) early = { ...stream };
  if (stream.at === 32768) late = { ...stream };
}
const ratio = early && late && (await inTurns(early, late));
await session.release();

/** Of a straight line through the later three quarters, MB for 10,000 tokens. */
function slope(): number {
  const later = rows.slice(Math.floor(rows.length / 4));
  const mean = (of: (row: Row) => number) => later.reduce((sum, row) => sum + of(row), 0) / later.length;
  const [x, y] = [mean((row) => row.tokens), mean((row) => row.rssMB)];
  const spread = later.reduce((sum, row) => sum + (row.tokens - x) ** 2, 0);
  return (1e4 * later.reduce((sum, row) => sum + (row.tokens - x) * (row.rssMB - y), 0)) / spread;
}
const summary = {
  'ms at 32,768 ÷ at 1,024, in turns': ratio === undefined ? null : round(ratio),
  'RSS slope, MB in 10,000 tokens': round(slope()),
  'bytes between calls, all alike': new Set(rows.map((row) => row.bytes)).size === 1,
};
const rounded = rows.map((row) => ({ ...row, ms: round(row.ms), cpuMs: round(row.cpuMs), rssMB: round(row.rssMB) }));
console.table(rounded.filter((_, i) => i % Math.ceil(rows.length / 16) === 0 || i === rows.length - 1));
console.log(summary);
const settings = { runtime, single, 'memory patterns': patterns };
writeFileSync(
  new URL(`../results/generate-long-${values.name}.json`, import.meta.url),
  `${JSON.stringify({ schema: 'performers.bench.long/1', ...settings, machine: machine(), summary, rows: rounded }, undefined, 1)}\n`,
);
