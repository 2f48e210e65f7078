import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { logSlope, quantile } from '../src/bench/statistics.js';
import { linearize } from '../src/index.js';
import { encoder, longGraph, writeHeavyEncoder } from './graphs.js';
import { projections } from './projections.js';
import { median, type Row, round, type Suite, type Tools } from './suite.js';
import type { Job, Timing } from './worker.js';

const root = fileURLToPath(new URL('../', import.meta.url));

export const suites: Readonly<Record<string, Suite>> = {
  projections,
  encoder: {
    title:
      'encoder of 2 layers, width 384, 12 heads × 32, MLP × 4; the base is the same encoder with attention deleted',
    async run(tools) {
      const sizes = { heads: 12, headDim: 32, layers: 2 };
      const plain = encoder(sizes, { attention: true });
      const deleted = join(tools.folder, 'deleted.onnx');
      writeFileSync(deleted, encoder(sizes, { attention: false }));
      const files = [
        { name: 'attention deleted', file: deleted },
        ...(await variants(tools, plain, ['features:m=64', 'features:m=128', 'window:window=64,globals=32'])),
      ];
      const rows: Row[] = [];
      for (const n of [512, 1024, 2048, 4096])
        rows.push(...(await compare(tools, files, 'attention deleted', { x: [1, n, 384] }, n, n > 3000 ? 4 : 9)));
      return rows;
    },
  },
  linearize: {
    title: 'performers linearize on a file: time ÷ copying it, peak memory ÷ its size',
    async run(tools) {
      const { PERFORMERS_BENCH_MODEL: given, PERFORMERS_BENCH_MB: megabytes = '400' } = process.env;
      const source = given ? join(root, given) : join(tools.folder, 'heavy.onnx');
      if (!given) writeHeavyEncoder(source, Number(megabytes));
      const script = fileURLToPath(new URL('linearize-once.ts', import.meta.url));
      const once = (mode: string): { ms: number; peakMB: number } =>
        JSON.parse(execFileSync(process.execPath, ['--import', 'tsx', script, mode, source, tools.folder]).toString());
      const row: Record<string, string | number> = { file: given ?? 'encoder with heavy weights' };
      const size = statSync(source).size / 2 ** 20;
      // In turn: what disturbs one disturbs all.
      const runs = Array.from({ length: 5 }, () => [once('copy'), once('linearize')] as const);
      const idle = once('idle');
      const copy = median(runs.map(([{ ms }]) => ms));
      const linearized = median(runs.map(([, { ms }]) => ms));
      const peak = Math.max(...runs.map(([, { peakMB }]) => peakMB));
      Object.assign(row, {
        MB: round(size),
        copyMs: round(copy),
        linearizeMs: round(linearized),
        timeRatio: round(linearized / copy),
        peakMB: round(peak),
        ofWhichNodeMB: round(idle.peakMB),
        memoryRatio: round(peak / size),
      });
      tools.print(JSON.stringify(row));
      return [row];
    },
  },
  nodes: {
    title: 'linearize() on graphs of ever more nodes, 1 attention in 100; slope of log processor time over log nodes',
    async run(tools) {
      const counts = [12_500, 25_000, 50_000, 100_000];
      const rows: Row[] = [];
      for (const nodes of counts) {
        const bytes = longGraph(nodes);
        const times: number[] = [];
        const cpuTimes: number[] = [];
        for (let i = 0; i < 4; i++) {
          const [start, cpu] = [performance.now(), process.cpuUsage()];
          await linearize(bytes, { plan: 'exact-blocked' });
          const { user, system } = process.cpuUsage(cpu);
          if (i === 0) continue;
          times.push(performance.now() - start);
          cpuTimes.push((user + system) / 1000);
        }
        rows.push({
          nodes,
          MB: round(bytes.length / 2 ** 20),
          ms: round(median(times)),
          cpuMs: round(median(cpuTimes)),
        });
        tools.print(JSON.stringify(rows.at(-1)));
      }
      const slope = round(logSlope(rows.map(({ nodes, cpuMs }) => ({ n: Number(nodes), ms: Number(cpuMs) }))));
      tools.print(`slope ${slope}`);
      return [...rows, { slope }];
    },
  },
};

async function variants({ folder }: Tools, plain: Uint8Array, plans: readonly string[]) {
  const models = [{ name: 'plain', file: join(folder, 'plain.onnx') }];
  writeFileSync(models[0]?.file ?? '', plain);
  for (const plan of plans) {
    const file = join(folder, `${models.length}.onnx`);
    writeFileSync(file, (await linearize(plain, { plan })).bytes);
    models.push({ name: plan, file });
  }
  return models;
}

/** Times of all models taken in turn in one process; peak memory of each in a process of its own. */
async function compare(
  tools: Tools,
  models: Job['models'],
  base: string,
  inputs: Job['inputs'],
  n: number,
  repeats: number,
): Promise<Row[]> {
  const { timings } = await tools.measure({ models, inputs, repeats });
  const together = timings.every(({ error }) => error === undefined);
  const rows: Row[] = [];
  for (const model of models) {
    const alone = await tools.measure({ models: [model], inputs, repeats: together ? 0 : repeats });
    const timing: Timing | undefined = together ? timings.find(({ name }) => name === model.name) : alone.timings[0];
    const ms = timing?.ms.length ? median(timing.ms) : undefined;
    rows.push({
      n,
      model: model.name,
      ms: round(ms),
      p20: round(quantile(timing?.ms ?? [], 0.2)),
      p80: round(quantile(timing?.ms ?? [], 0.8)),
      peakMB: alone.peakMB,
      error: timing?.error,
    });
  }
  const of = rows.find(({ model }) => model === base);
  return rows.map((row) => {
    const ratio = row.ms === undefined || of?.ms === undefined ? undefined : round(Number(row.ms) / Number(of.ms));
    tools.print(
      [
        `N ${n}`,
        String(row.model).padEnd(28),
        `${row.ms ?? '–'} ms`.padStart(10),
        `× ${ratio ?? '–'}`.padStart(8),
        `${row.peakMB} MB`.padStart(8),
        row.error ?? '',
      ].join('  '),
    );
    return { ...row, ratio };
  });
}
