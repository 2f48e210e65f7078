import { SingleBar } from 'cli-progress';
import type { HealingStep } from '../calibrate/heal/healing.js';
import { checkTarget, writeFilesAtomic } from '../node/atomic-write.js';
import { recordError } from '../node/error-record.js';
import type { Progress } from '../verify.js';

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  // JSON has no Infinity, which is what the error is where shapes differ or one side has NaN.
  const finite = (_: string, item: unknown) =>
    typeof item === 'number' && !Number.isFinite(item) ? String(item) : item;
  print(JSON.stringify(value, finite, 2));
}

/** Writes a file whole, or not at all. @throws PerformersError PF108 */
export async function writeText(path: string, text: string, force?: boolean): Promise<void> {
  await checkTarget(path, 'file', { force });
  await writeFilesAtomic([{ path, chunks: [new TextEncoder().encode(text)] }], { force });
}

/** An error as its three lines on stderr, or as JSON where the caller reads JSON. */
export function printError(error: unknown, json: boolean): void {
  const record = recordError(error);
  if (json) printJson({ error: record });
  else if (record.code) process.stderr.write(`${error instanceof Error ? error.message : record.message}\n`);
  else process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : record.message}\n`);
}

/** Rows as columns of the width of their longest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)));
  const numeric = head.map((_, i) => rows.every((row) => /^[\d.,e×%+-]*$/.test(row[i] ?? '')));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}

/** A bar on stderr while something long is done; nothing where stderr is no terminal. */
export async function withProgress<T>(work: (onProgress: Progress) => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work(() => undefined);
  const bar = new SingleBar({
    format: '{bar} {value}/{total} {what}',
    barCompleteChar: '■',
    barIncompleteChar: '·',
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  let started = false;
  try {
    return await work(({ done, total, what }) => {
      if (!started) bar.start(total, done, { what });
      else bar.update(done, { what });
      bar.setTotal(total);
      started = true;
    });
  } finally {
    bar.stop();
  }
}
/** 1 layer, 2 layers */
export function count(n: number, what: string, plural = `${what}s`): string {
  return `${n} ${n === 1 ? what : plural}`;
}

/** Three digits, in the form that is shortest to read. */
export function digits(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 0.01 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

/** [0, 1, 2, 3, 7] → 0-3,7 */
export function formatIndices(indices: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const index of indices) {
    const last = runs[runs.length - 1];
    if (last && index === last[1] + 1) last[1] = index;
    else runs.push([index, index]);
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}

/** `3.1 % healed by gain (kept)` */
export function describeHealing({ level, error, kept }: HealingStep): string {
  return `${digits(100 * error)} % healed by ${level} (${kept ? 'kept' : 'dropped'})`;
}
