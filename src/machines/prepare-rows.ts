/**
 * Rows of a data set made fit for a kernel, and split. Every column is clipped to its quantiles .001 and .999 (the EEG data have readings
 * 100 times their neighbours) and mapped to [0, 1], by the training rows alone. Then
 *   unit      as they are: for kernels of the 1-norm
 *   standard  centred, and divided by one number, so that the mean variance of a column is 1: for kernels of the 2-norm. One number rather
 *             than one a column, because a pixel that is nearly always 0 would be blown up
 *   sphere    standard, then every row divided by its length
 */
import { streamSeed, uniforms } from '../features/rng.js';
import { checkPositive, wrong } from './quadratic.js';
import { shuffle } from './svc.js';

export interface RawRows {
  readonly x: Float64Array; // [n,d]
  readonly d: number;
  readonly labels: Int32Array; // [n]
}

export interface PrepareOptions {
  readonly scaling: 'unit' | 'standard' | 'sphere';
  /** Training and test rows at most; half each of what there is where there is less. */
  readonly train: number;
  readonly test: number;
  /** Of the split. Default 0. */
  readonly seed?: number;
  /** Rows are divided by it, kernels of the sphere excepted. Default 1. */
  readonly bandwidth?: number;
}

export interface PreparedRows {
  readonly d: number;
  readonly train: Float64Array;
  readonly trainLabels: Int32Array;
  readonly test: Float64Array;
  readonly testLabels: Int32Array;
}

/** @throws PerformersError PF423 for counts below 2 or a bandwidth that is none */
export function prepareRows({ x, d, labels }: RawRows, options: PrepareOptions): PreparedRows {
  const { scaling, seed = 0, bandwidth = 1 } = options;
  checkPositive('bandwidth', bandwidth);
  for (const name of ['train', 'test'] as const) {
    if (Number.isInteger(options[name]) && options[name] >= 2) continue;
    throw wrong(name, `${name} must be an integer >= 2, got ${options[name]}`, `use ${name} = 1000`);
  }
  const n = labels.length;
  const share = Math.min(1, n / (options.train + options.test));
  const [train, test] = [Math.floor(options.train * share), Math.floor(options.test * share)];
  const order = Int32Array.from({ length: n }, (_, i) => i);
  shuffle(order, n, uniforms(streamSeed(seed, 0)));
  const pick = (rows: Int32Array) => {
    const out = new Float64Array(rows.length * d);
    rows.forEach((from, to) => {
      out.set(x.subarray(from * d, (from + 1) * d), to * d);
    });
    return out;
  };
  const parts = [order.subarray(0, train), order.subarray(train, train + test)];
  const [a, b] = parts.map(pick);
  const unit = toUnit(a, d);
  for (const rows of [a, b]) unit(rows);
  if (scaling !== 'unit') {
    const standard = toStandard(a, d);
    for (const rows of [a, b]) standard(rows);
  }
  for (const rows of [a, b]) {
    if (scaling === 'sphere') toSphere(rows, d);
    else for (let i = 0; i < rows.length; i++) rows[i] /= bandwidth;
  }
  const [trainLabels, testLabels] = parts.map((rows) => Int32Array.from(rows, (i) => labels[i]));
  return { d, train: a, trainLabels, test: b, testLabels };
}

function toUnit(rows: Float64Array, d: number): (rows: Float64Array) => void {
  const n = rows.length / d;
  const bounds = Array.from({ length: d }, (_, c) => {
    const column = Float64Array.from({ length: n }, (_, i) => rows[i * d + c]).sort();
    return [column[Math.floor(0.001 * (n - 1))], column[Math.ceil(0.999 * (n - 1))]];
  });
  return (each) => {
    for (let i = 0; i < each.length; i++) {
      const [low, high] = bounds[i % d];
      each[i] = high > low ? (Math.min(Math.max(each[i], low), high) - low) / (high - low) : 0;
    }
  };
}

function toStandard(rows: Float64Array, d: number): (rows: Float64Array) => void {
  const n = rows.length / d;
  const mean = new Float64Array(d);
  for (let i = 0; i < rows.length; i++) mean[i % d] += rows[i] / n;
  const variance = rows.reduce((sum, value, i) => sum + (value - mean[i % d]) ** 2, 0) / rows.length;
  const size = Math.sqrt(variance) || 1;
  return (each) => {
    for (let i = 0; i < each.length; i++) each[i] = (each[i] - mean[i % d]) / size;
  };
}

function toSphere(rows: Float64Array, d: number): void {
  for (let start = 0; start < rows.length; start += d) {
    const row = rows.subarray(start, start + d);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    // A row at the centre has no direction: it is given one.
    if (length === 0) row[0] = 1;
    else for (let i = 0; i < d; i++) row[i] /= length;
  }
}
