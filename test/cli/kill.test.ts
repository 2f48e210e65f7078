/** Killed at any instant, `performers linearize` leaves the original and what it wrote before as they were. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { command, listing, performers, root, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const original = join(scratch, 'original');
const output = join(scratch, 'output');
const instants = 8;
let untouched: Record<string, string>;
let previous: Record<string, string>;
let next: Record<string, string>;
let duration = 0;

beforeAll(async () => {
  cpSync('models/vit-s14-saliency', original, { recursive: true });
  untouched = listing(original);
  await performers('linearize', original, '-o', output);
  previous = listing(output);
  const start = performance.now();
  await performers('linearize', original, '-o', join(scratch, 'next'), '--plan', 'window');
  duration = performance.now() - start;
  next = listing(join(scratch, 'next'));
});

/** Starts the command and kills it with its children after some time; false when it had ended by then. */
async function killAfter(ms: number, args: readonly string[], signal: NodeJS.Signals): Promise<boolean> {
  const [node, ...start] = command;
  const child = spawn(node, [...start, ...args], { cwd: root, stdio: 'ignore' });
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) => {
    child.on('exit', (code, by) => resolve(by ?? code));
  });
  await sleep(ms);
  child.kill(signal);
  const how = await ended;
  return how !== 0;
}

const times = Array.from({ length: instants }, (_, i) => i);

test.each(times)('SIGKILL, instant %i: no output before, none or all after', async (i) => {
  const fresh = join(scratch, `fresh-${i}`);
  await killAfter((duration * (i + 0.5)) / instants, ['linearize', original, '-o', fresh], 'SIGKILL');
  if (existsSync(fresh)) expect(listing(fresh)).toEqual(previous);
  expect(listing(original)).toEqual(untouched);
});

test.each(times)('SIGKILL, instant %i: the output before is there, or the new one', async (i) => {
  const args = ['linearize', original, '-o', output, '--force', '--plan', 'window'];
  await killAfter((duration * (i + 0.5)) / instants, args, 'SIGKILL');
  expect([previous, next]).toContainEqual(listing(output));
  expect(listing(original)).toEqual(untouched);
});

test('the run after the kills leaves no trace of them', async () => {
  await performers('linearize', original, '-o', output, '--force', '--plan', 'window');
  expect(listing(output)).toEqual(next);
  expect(readdirSync(scratch).filter((name) => name.startsWith('.output'))).toEqual([]);
});

test.each(times)('restore, SIGKILL, instant %i: the original or nothing, the rewritten file as it was', async (i) => {
  const fresh = join(scratch, `restored-${i}`);
  const before = listing(output);
  const args = ['restore', output, join(output, 'performers.json'), '-o', fresh];
  await killAfter((duration * (i + 0.5)) / instants, args, 'SIGKILL');
  if (existsSync(fresh)) expect(listing(fresh)).toEqual(untouched);
  expect(listing(output)).toEqual(before);
});

test('SIGTERM removes what was being written', async () => {
  const home = join(scratch, 'terminated');
  let cut = 0;
  for (const i of times) {
    const time = (duration * (i + 0.5)) / instants;
    if (await killAfter(time, ['linearize', original, '-o', join(home, `${i}`)], 'SIGTERM')) cut += 1;
    else expect(listing(join(home, `${i}`))).toEqual(previous);
  }
  expect(cut).toBeGreaterThan(0);
  const left = existsSync(home) ? Object.keys(listing(home)) : [];
  expect(left.filter((path) => path.includes('.partial'))).toEqual([]);
});
