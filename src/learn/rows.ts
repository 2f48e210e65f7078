/** Labelled rows to learn from, checked once, and the batches drawn of them. */
import { PerformersError } from '../errors.js';
import { streamSeed, uniforms } from '../features/rng.js';
import type { Block } from './descend.js';
import { checkWhole } from './descend.js';

export interface LabelledRows {
  readonly x: ArrayLike<number>; // [n,d]
  readonly d: number;
  /** Classes, numbered from 0. */
  readonly labels: ArrayLike<number>; // [n]
}

export interface CheckedRows {
  readonly x: Float32Array;
  readonly d: number;
  readonly n: number;
  readonly labels: Int32Array;
  readonly classes: number;
}

/** @throws PerformersError PF425 unless rows are whole and finite, and labels run from 0 and are two kinds at least */
export function checkLabelled({ x, d, labels }: LabelledRows): CheckedRows {
  checkWhole('d', d);
  const n = labels.length;
  const fail = (name: string, message: string, mend: string): never => {
    throw new PerformersError('PF425', message, { at: `learn.${name}`, mend });
  };
  if (n === 0 || x.length !== n * d) {
    fail('x', `x must be n x d = ${n} x ${d} numbers, got ${x.length}`, 'pass a label for each row of width d');
  }
  const rows = Float32Array.from(x);
  const bad = rows.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) fail('x', `x[${bad}] must be finite, got ${x[bad]}`, 'mask or drop rows that are NaN or infinite');
  const odd = Array.from(labels).findIndex((label) => !Number.isInteger(label) || label < 0);
  if (odd >= 0)
    fail('labels', `labels[${odd}] must be an integer >= 0, got ${labels[odd]}`, 'number the classes 0, 1, 2, …');
  const classes = 1 + Array.from(labels).reduce((most, label) => Math.max(most, label), 0);
  if (classes < 2) fail('labels', `labels must hold two classes, got ${classes}`, 'train on rows of both classes');
  return { x: rows, d, n, labels: Int32Array.from(labels), classes };
}

/** Step t's batch, drawn with replacement by stream t of the seed: rows [size,d] and one-hot labels [size,classes]. */
export function drawBatch(
  { x, d, n, labels, classes }: CheckedRows,
  size: number,
  seed: number,
  step: number,
): [Block, Block] {
  const uniform = uniforms(streamSeed(seed, step));
  const rows = new Float32Array(size * d);
  const hot = new Float32Array(size * classes);
  for (let b = 0; b < size; b++) {
    const i = Math.floor(uniform() * n);
    rows.set(x.subarray(i * d, (i + 1) * d), b * d);
    hot[b * classes + labels[i]] = 1;
  }
  return [
    { shape: [size, d], data: rows },
    { shape: [size, classes], data: hot },
  ];
}
