/** `performers bench`: a result that fits its schema, a page of it, refusals before anything is measured, and nothing left of a run cut short. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { BenchResult } from '../../src/bench/result.js';
import { type Schema, violations } from '../json-schema.js';
import { command, listing, performers, root, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const schema: Schema = JSON.parse(readFileSync(join(root, 'docs/bench.schema.json'), 'utf8'));
const small = ['bench', '--min-n', '32', '--max-n', '64', '--repeats', '2', '--shape', 'vit'];

test('two methods on two runtimes: JSON that fits its schema, and a page', async () => {
  const page = join(scratch, 'bench.html');
  const { code, stdout, stderr } = await performers(
    ...small,
    ...['--method', 'plain,features', '--seed', '7', '--html', page, '--json'],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const result: BenchResult = JSON.parse(stdout);
  expect(violations(result, schema)).toEqual([]);
  expect(violations({ ...result, cells: [{ ...result.cells[0], status: 'fine' }] }, schema)).not.toEqual([]);
  expect(result.settings).toMatchObject({ lengths: [32, 64], repeats: 2, seed: 7 });
  expect(result.title).toBe('Attention, layer of a small vision transformer, 6 heads of 64');
  const measured = result.cells.map(({ backend, method, n, status }) => `${backend} ${method} ${n} ${status}`);
  const lanes = ['wasm-1 plain', 'wasm-1 features', 'cpu-1 plain', 'cpu-1 features'];
  expect(measured).toEqual(lanes.flatMap((lane) => [`${lane} 32 ok`, `${lane} 64 ok`]));
  for (const cell of result.cells) {
    // The bound of float32 (STYLE); what features err by is another matter.
    if (cell.status === 'ok' && cell.method === 'plain') expect(cell.error).toBeLessThan(5e-6);
    if (cell.status === 'ok' && cell.method === 'features') expect(cell.error).toBeGreaterThan(1e-3);
  }
  for (const { roofline } of result.backends) expect(roofline?.copyBytesPerMs).toBeGreaterThan(0);
  const html = readFileSync(page, 'utf8');
  expect(html).toMatch(/^<!doctype html>/i);
  expect(html).toContain(result.title);
  expect(html).toContain('<svg');
});

test('without --json it prints tables that say what failed or took too long', async () => {
  const { code, stdout } = await performers(
    ...['bench', '--backend', 'cpu-1', '--method', 'plain', '--min-n', '32', '--max-n', '65536'],
    ...['--repeats', '1', '--limit', '0.02'],
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^Attention, encoder layer, 12 heads of 64\n(The machine was busy.*\n)?\ncpu-1: onnxruntime-node, processor, 1 thread;/,
  );
  expect(stdout).toMatch(/Growth|slope/i);
});

describe('refused before anything is measured', () => {
  const at = (name: string) => join(scratch, name);
  test.each([
    [
      ['--backend', 'wsm'],
      /^PF202 {2}no 'wsm' to measure; did you mean 'wasm'\?\n {2}at {3}--backend\n {2}mend use some of wasm-1/,
    ],
    [['--method', 'plain,fusd'], /^PF202 {2}no 'fusd' to measure; did you mean 'fused'\?/],
    // A kernel is measured by the page.
    [['--method', 'kernel-features'], /^PF202 {2}no 'kernel-features' to measure/],
    [['--shape', 'circle'], /^PF202 .*'circle' is invalid/],
    [['--min-n', '512', '--max-n', '128'], /^PF202 {2}--min-n 512 is above --max-n 128/],
    [['--max-n', '1.5'], /^PF202 .*no whole number above 0/],
    [['--limit', '0'], /^PF202 .*no number above 0/],
    [['--repeats', 'many'], /^PF202 .*no whole number above 0/],
  ])('%j', async (given, said) => {
    const { code, stdout, stderr } = await performers('bench', ...given);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(said);
  });

  test('a page that is there already', async () => {
    writeFileSync(at('there.html'), 'mine');
    const before = listing(scratch);
    const { code, stdout, stderr } = await performers(...small, '--html', at('there.html'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^PF108 {2}there\.html is there already.*--force/s);
    expect(listing(scratch)).toEqual(before);
  });
});

test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('%s in the middle: no page, no process left', async (signal) => {
  const home = scratchFolder();
  const [node, ...start] = command;
  const args = ['bench', '--backend', 'cpu-1', '--max-n', '2048', '--limit', '60', '--html', join(home, 'bench.html')];
  const child = spawn(node, [...start, ...args], { cwd: root, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.on('exit', (code, by) => resolve(by ?? code)));
  const workers = await until(() => childrenOf(child.pid ?? 0));
  child.kill(signal);
  expect(await ended).toBe({ SIGINT: 130, SIGTERM: 143, SIGKILL: 'SIGKILL' }[signal]);
  expect(await until(() => (workers.some(runs) ? [] : ['none']))).toEqual(['none']);
  expect(readdirSync(home)).toEqual([]);
});

/** Asks until there is something. */
async function until<T>(ask: () => readonly T[]): Promise<readonly T[]> {
  for (let tries = 0; tries < 600; tries++) {
    const found = ask();
    if (found.length > 0) return found;
    await sleep(100);
  }
  throw new Error('nothing for a minute');
}

function childrenOf(pid: number): number[] {
  const of = (id: string) => Number(/\) \S (\d+)/.exec(readText(`/proc/${id}/stat`))?.[1]);
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.filter((id) => of(id) === pid && readText(`/proc/${id}/cmdline`).includes('bench-worker')).map(Number);
}

function runs(pid: number): boolean {
  return !/^$|\) Z/.test(readText(`/proc/${pid}/stat`));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}
