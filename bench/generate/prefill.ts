/**
 * Causal attention of one layer over a prompt, 9 query heads on 3 key heads of 64: exact against a state, by length.
 *
 *   npx tsx bench/generate/prefill.ts [--runtime node|wasm] [--lengths 1024,2048,4096,8192] [--name prefill]
 *
 * Random inputs and constants: times only. Every model runs in turn in one process; ratios of medians of processor time.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { gaussians } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { findAttention } from '../../src/rewrite/find.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { savePlan } from '../../src/rewrite/saved-plan.js';
import type { TensorLike } from '../../src/session.js';
import { causalModel } from '../../test/causal-model.js';
import { machine } from '../machine.js';
import { median, round } from '../suite.js';

const { values } = parseArgs({
  options: {
    runtime: { type: 'string', default: 'node' },
    lengths: { type: 'string', default: '1024,2048,4096,8192' },
    name: { type: 'string', default: 'prefill' },
  },
});
const [heads, kvHeads, width] = [9, 3, 64];
const codes = 32;
const plans = [
  `hybrid-causal:window=64,globals=32,codes=${codes}`,
  `hybrid-causal:window=128,globals=32,codes=${codes}`,
];
const normal = gaussians(1);
const draw = (length: number) => Float32Array.from({ length }, () => normal());

const original = causalModel({ heads, kvHeads, headDim: width, cache: true, mask: true });
const { sites } = findAttention(openModel(decode(original)));
const constants = {
  query: draw(heads * width),
  [`keys${codes}.weights`]: draw(heads * width * codes),
  [`keys${codes}.offsets`]: draw(heads * codes),
};
const models: Record<string, Uint8Array> = { exact: original };
for (const plan of plans) {
  const all = Array.from({ length: heads }, (_, head) => head);
  const saved = savePlan(
    sites.map((site) => ({ site, groups: [{ heads: all, plan: readPlan(plan) }], why: 'bench', constants })),
  );
  models[plan] = (await linearize(original, { saved })).bytes;
}

// Sessions are opened for a file, whose weights may lie beside it.
const file = join(mkdtempSync(join(tmpdir(), 'performers-bench-')), 'model.onnx');
writeFileSync(file, original);
const create = await nodeSessions(values.runtime === 'wasm' ? 'wasm' : 'node', file);
const rows: Record<string, number | string | undefined>[] = [];
for (const length of values.lengths.split(',').map(Number)) {
  const tensor = (count: number): TensorLike => ({
    type: 'float32',
    dims: [1, count, length, width],
    data: draw(count * length * width),
  });
  const empty = { type: 'float32', dims: [1, kvHeads, 0, width], data: new Float32Array() };
  const feeds = {
    q: tensor(heads),
    k: tensor(kvHeads),
    v: tensor(kvHeads),
    mask: { type: 'int64', dims: [1, length], data: new BigInt64Array(length).fill(1n) },
    'past_key_values.0.key': empty,
    'past_key_values.0.value': empty,
  };
  const times: Record<string, number> = {};
  for (const [name, bytes] of Object.entries(models)) {
    try {
      const session = await create(bytes);
      const runs: number[] = [];
      for (let i = 0; i < 4; i++) {
        const start = process.cpuUsage();
        await session.run(feeds);
        const { user, system } = process.cpuUsage(start);
        if (i > 0) runs.push((user + system) / 1000);
      }
      times[name] = median(runs);
      await session.release();
    } catch (error) {
      console.log(`${name} at ${length}: ${String(error).slice(0, 120)}`);
    }
  }
  for (const [name, ms] of Object.entries(times))
    rows.push({ plan: name, tokens: length, 'processor ms': round(ms), 'exact ÷ this': round(times.exact / ms) });
}
console.table(rows);
writeFileSync(
  new URL(`../results/generate-${values.name}.json`, import.meta.url),
  `${JSON.stringify({ schema: 'performers.bench.generate/1', runtime: values.runtime, machine: machine(), rows }, undefined, 1)}\n`,
);
