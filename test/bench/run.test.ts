/** The run itself, its lanes played by a script: what becomes of lanes that end, fail, die, are late or are cancelled. */
import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import type { LaneJob } from '../../src/bench/lane.js';
import { busyText, growthOf, panelOf, tableOf } from '../../src/bench/report.js';
import type { BenchResult, Measured } from '../../src/bench/result.js';
import { type BenchOptions, type LaneEvents, runBench } from '../../src/bench/run.js';
import { violations } from '../json-schema.js';

const schema = JSON.parse(readFileSync(new URL('../../docs/bench.schema.json', import.meta.url), 'utf8'));
const backend = { name: 'here', what: 'a test', threads: 1, memory: 'none', forms: ['model'] as const };
const options: BenchOptions = {
  shape: 'vit',
  lengths: [128, 256],
  repeats: 3,
  limitMs: 100,
  seed: 1,
  methods: ['plain', 'features', 'window'],
  backends: [backend],
  machine: { what: 'a machine', cores: 2, versions: { node: '20' } },
};
const roofline = { copyBytesPerMs: 1e6, multiplyAddsPerMs: 1e7 };
const ok = (ms: number): Measured => ({ status: 'ok', ms: { median: ms, p20: ms, p80: ms }, runs: 3, error: 1e-7 });

/** plain grows as n², features as n and dies at 256, window fails at once. */
function play({ method, lengths, roofline: given }: LaneJob, { say, end }: LaneEvents): () => void {
  queueMicrotask(() => {
    if (method === undefined) say({ kind: 'roofline', roofline });
    else expect(given).toEqual(roofline);
    for (const n of method === undefined ? [] : lengths) {
      say({ kind: 'begin', n });
      if (method === 'window') {
        say({ kind: 'cell', n, cell: { status: 'failed', reason: 'bad_alloc' } });
        break;
      }
      if (method === 'features' && n === 256)
        return end({ status: 'failed', reason: 'the process was ended by SIGKILL' });
      say({ kind: 'cell', n, cell: ok(method === 'plain' ? n * n : 200 * n) });
    }
    end();
  });
  return () => {};
}

test('a run is all its lanes, failures among them, and fits its schema', async () => {
  const result = await runBench(options, play);
  expect(violations(JSON.parse(JSON.stringify(result)), schema)).toEqual([]);
  expect(result.cells.map(({ method, n, status }) => `${method} ${n} ${status}`)).toEqual([
    'plain 128 ok',
    'plain 256 ok',
    'features 128 ok',
    'features 256 failed',
    'window 128 failed',
  ]);
  const [plain, features, window] = result.summary;
  expect(plain).toMatchObject({ method: 'plain', longest: 256 });
  expect(plain.slope).toBeCloseTo(2, 10);
  expect(features).toMatchObject({ crossover: 'never', longest: 128 });
  expect(window.longest).toBeUndefined();
  const [where] = result.backends;
  expect(tableOf(result, where, 'time')?.rows[0]).toEqual(['plain', '16400', '65500']);
  expect(growthOf(result, where).rows[2].at(-1)).toBe('128: bad_alloc');
  expect(panelOf(result, where, 'time')?.curves.map(({ name }) => name)).toEqual(['plain', 'features']);
  expect(panelOf(result, where, 'memory')).toBeUndefined();
});

test('a method has one colour in the graph and by own kernels, which are dashed', async () => {
  const forms = ['model', 'kernels'] as const;
  const methods = ['plain', 'features', 'kernel-exact', 'kernel-features'] as const;
  const result = await runBench({ ...options, methods, backends: [{ ...backend, forms }] }, play);
  const looks = panelOf(result, result.backends[0], 'time')?.curves.map(({ name, look }) => [name, look]);
  expect(looks).toEqual([
    ['plain', { colour: 0, dash: 0 }],
    ['features', { colour: 1, dash: 0 }],
    ['kernel-exact', { colour: 2, dash: 1 }],
    ['kernel-features', { colour: 1, dash: 1 }],
  ]);
});

test('methods that do not take the layer are left out, and tables have rows of those that were measured', async () => {
  const forms = ['model', 'kernels'] as const;
  const given = {
    ...options,
    methods: ['plain', 'window', 'kernel-4-bit'] as const,
    backends: [{ ...backend, forms }],
  };
  const namesIn = ({ methods, cells }: BenchResult) => [
    methods.map(({ name }) => name),
    [...new Set(cells.map(({ method }) => method))],
  ];
  const full = await runBench(given, play);
  const causal = await runBench({ ...given, shape: 'decoder' }, play);
  expect(namesIn(full)).toEqual([given.methods, given.methods]);
  expect(namesIn(causal)).toEqual([given.methods.slice(0, 2), given.methods.slice(0, 2)]);
  expect(tableOf(full, full.backends[0], 'time')?.rows.map(([name]) => name)).toEqual(['plain', 'kernel-4-bit']);
  expect(tableOf(full, full.backends[0], 'bits')).toBeUndefined();
});

test('of a machine with more to do than processors it is said that times are uncertain', () => {
  const machine = { what: 'a machine', cores: 2, versions: {} };
  expect(busyText({ ...machine, load: 6.1 })).toMatch(/load 6\.1 on 2 processors.*uncertain/);
  expect(busyText({ ...machine, load: 2 })).toBeUndefined();
  expect(busyText(machine)).toBeUndefined();
});

test('the schema refuses another version, a lost field and an unknown one', async () => {
  const result = await runBench(options, play);
  expect(violations({ ...result, schema: 'performers.bench/2' }, schema)).not.toEqual([]);
  expect(violations({ ...result, cells: undefined }, schema)).not.toEqual([]);
  expect(violations({ ...result, more: 1 }, schema)).not.toEqual([]);
});

test('a cancelled run keeps what was measured', async () => {
  const abort = new AbortController();
  const result = await runBench({ ...options, signal: abort.signal }, (job, events) => {
    if (job.method !== 'features') return play(job, events);
    queueMicrotask(() => abort.abort());
    return () => events.end({ status: 'limit', reason: 'stopped' });
  });
  expect(result.cells.map(({ method }) => method)).toEqual(['plain', 'plain']);
});

test('a lane that says nothing is stopped', async () => {
  vi.useFakeTimers();
  try {
    const running = runBench({ ...options, methods: ['plain'] }, (job, events) =>
      job.method === undefined ? play(job, events) : () => events.end(),
    );
    await vi.advanceTimersByTimeAsync(4 * options.limitMs + 91_000);
    const { cells } = await running;
    expect(cells).toEqual([
      { backend: 'here', method: 'plain', n: 128, status: 'limit', reason: 'stopped: no answer for 90 s' },
    ]);
  } finally {
    vi.useRealTimers();
  }
});

test('on a software adapter there is no roofline, and the title says what that means', async () => {
  const adapter = { vendor: 'google', architecture: 'swiftshader', description: 'SwiftShader', software: true };
  const jobs: (string | undefined)[] = [];
  const result = await runBench({ ...options, backends: [{ ...backend, adapter }] }, (job, { end }) => {
    jobs.push(job.method);
    queueMicrotask(() => end());
    return () => {};
  });
  expect(result.title).toMatch(/software adapter \(SwiftShader\), which says nothing about speed/);
  expect(result.backends[0].roofline).toBeUndefined();
  expect(jobs).not.toContain(undefined);
});
