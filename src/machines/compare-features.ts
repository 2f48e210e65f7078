/**
 * Methods of features against the kernel they approximate, on one data set: relative error ‖K − K̂‖_F / ‖K‖_F, time, bytes and the accuracy
 * of a support vector machine, each for m channels and a seed. The exact kernel, indefinite ones included, is a row too: `exact`.
 *
 * The machine on features is a linear one, convex: its weights absorb the signs. Keeping them gives the indefinite dual of K̂, which follows the few
 * negative channels' sampling error to a lower minimum than K's own: EEG with TL1, 2,000 rows, 64 % where K has 75 %. The exact kernel
 * has no such form; it is solved as it is, to a stationary point.
 *
 * Bytes are those of one row as stored: 4 a channel in float32, ⌈channels·b / 8⌉ in b bits, 4d for `exact`, which keeps the row.
 * What a method keeps once (Ω and the like) comes from a seed. m of a low-bit method counts its channels, one a frequency.
 * Pairs of rows are those of the first `pairs` test rows, i ≠ j: stochastic rounding promises nothing for i = j.
 */
import { PerformersError } from '../errors.js';
import { gram, type Kernel } from '../features/kernels/kernel.js';
import { kernels } from '../features/kernels/registry.js';
import { methods } from '../features/signed/registry.js';
import type { KernelFeatures } from '../features/signed/signed-map.js';
import { signedGram } from '../features/signed/signed-map.js';
import { lowBitFeatures } from '../quant/low-bit-features.js';
import { schemes } from '../quant/registry.js';
import type { Scheme } from '../quant/scheme.js';
import { trainOnFeatures } from './feature-classifier.js';
import type { PreparedRows } from './prepare-rows.js';
import { gramForm } from './quadratic.js';
import { accuracy, classify, trainClassifier } from './svc.js';

export interface FeatureRow {
  readonly method: string;
  readonly kernel: string;
  readonly data: string;
  readonly m: number;
  readonly seed: number;
  readonly error: number;
  /** To make the features of all compared rows. */
  readonly ms: number;
  readonly bytes: number;
  /** Of the test rows; null where none was asked for. */
  readonly accuracy: number | null;
}

export interface FeatureComparison {
  readonly data: string;
  readonly rows: PreparedRows;
  readonly kernel: Kernel;
  /** Names of `featureMethods`. */
  readonly methods: readonly string[];
  readonly m: readonly number[];
  readonly seeds: readonly number[];
  /** Rows whose pairs are compared. Default 400. */
  readonly pairs?: number;
  /** C of the machine; undefined: none is trained. */
  readonly c?: number;
  readonly onRow?: (row: FeatureRow, done: number, total: number) => void;
}

/** What a method makes of rows, in the form that is compared. */
interface Made {
  readonly signs: Int8Array;
  readonly bytes: number;
  /** As stored. */
  readonly keys: (x: Float64Array) => Float64Array;
  /** As asked with. */
  readonly queries: (x: Float64Array) => Float64Array;
}

type Make = (
  kernel: Kernel,
  options: { readonly m: number; readonly seed: number; readonly rows: Float64Array },
) => Made;

/** Every method by name: those of the registry in float32, and gorf's in each low-bit scheme as SCHEME@BITS. */
export const featureMethods: Readonly<Record<string, Make>> = {
  ...Object.fromEntries(Object.entries<KernelFeatures>(methods).map(([name, method]) => [name, floatMethod(method)])),
  ...Object.fromEntries(
    Object.entries<Scheme>(schemes).flatMap(([name, scheme]) =>
      scheme.of === 'features' ? scheme.widths.map((bits) => [`${name}@${bits}`, lowBitMethod(scheme, bits)]) : [],
    ),
  ),
};

/** Methods that make features of a kernel, found by trying: the others say why they do not. */
export function methodsFor(kernel: Kernel): string[] {
  return Object.entries(methods).flatMap(([name, method]: [string, KernelFeatures]) => {
    try {
      method(kernel, { m: 256 });
      return [name];
    } catch (error) {
      if (error instanceof PerformersError && error.code === 'PF411') return [];
      throw error;
    }
  });
}

/** LIBLINEAR's: a tighter one changes no label that counts. */
const tolerance = 0.1;

/** How rows are to be scaled for a kernel. */
export function scalingFor({ domain, profile }: Kernel): 'unit' | 'standard' | 'sphere' {
  return domain === 'sphere' ? 'sphere' : profile?.norm === 1 ? 'unit' : 'standard';
}

export const kernelNames: readonly string[] = Object.keys(kernels);

/** @throws PerformersError PF430 for an unknown method or nothing to compare; what a method throws for its kernel and m */
export function compareFeatures(comparison: FeatureComparison): FeatureRow[] {
  const { data, rows, kernel, m, seeds, pairs = 400, c, onRow } = comparison;
  const chosen = comparison.methods.map((name) => {
    const make = Object.entries(featureMethods).find(([known]) => known === name)?.[1];
    if (make) return { name, make };
    throw new PerformersError('PF430', `there is no method '${name}': ${Object.keys(featureMethods).join(', ')}`, {
      at: 'features.method',
      mend: 'use one of these names',
    });
  });
  const { d, train, trainLabels, test, testLabels } = rows;
  const some = test.subarray(0, pairs * d);
  const exact = gram(kernel, some);
  const total = 1 + chosen.length * m.length * seeds.length;
  const out: FeatureRow[] = [];
  const add = (row: Omit<FeatureRow, 'data' | 'kernel'>) => {
    out.push({ data, kernel: kernel.name, ...row });
    onRow?.(out[out.length - 1], out.length, total);
  };
  add({
    method: 'exact',
    m: 0,
    seed: 0,
    error: 0,
    ms: 0,
    bytes: 4 * d,
    accuracy: c === undefined ? null : exactAccuracy(comparison, c),
  });
  for (const { name, make } of chosen) {
    for (const count of m) {
      for (const seed of seeds) {
        const { signs, bytes, keys, queries } = make(kernel, { m: count, seed, rows: train.subarray(0, 400 * d) });
        const start = performance.now();
        const left = queries(some);
        const ms = performance.now() - start;
        const error = relativeError(signedGram(signs, left, keys(some)), exact, some.length / d);
        let share: number | null = null;
        if (c !== undefined) {
          const machine = trainOnFeatures(keys(train), absorbed(signs), trainLabels, { c, tolerance });
          share = accuracy(classify(machine, keys(test), 'features'), testLabels);
        }
        add({ method: name, m: count, seed, error, ms, bytes, accuracy: share });
      }
    }
  }
  return out;
}

/** All +: w·φ has the same functions, whatever the signs. */
function absorbed(signs: Int8Array): Int8Array {
  return signs.map(() => 1);
}

function exactAccuracy({ kernel, rows }: FeatureComparison, c: number): number {
  const machine = trainClassifier(gramForm(gram(kernel, rows.train)), rows.trainLabels, { c, tolerance });
  return accuracy(classify(machine, gram(kernel, rows.test, rows.train), 'gram'), rows.testLabels);
}

function floatMethod(method: KernelFeatures): Make {
  return (kernel, options) => {
    const map = method(kernel, options);
    return { signs: map.signs, bytes: 4 * map.features, keys: map.phi, queries: map.phi };
  };
}

function lowBitMethod(scheme: Scheme, bits: number): Make {
  return (kernel, { m, seed, rows }) => {
    const map = lowBitFeatures(kernel, methods.gorf(kernel, { m: 2 * m, seed, rows }), { scheme, bits, seed });
    const keys = (x: Float64Array) => map.decode(map.encode(x));
    return { signs: map.signs, bytes: map.rowBytes, keys, queries: scheme.sides === 'keys' ? map.real : keys };
  };
}

/** Off the diagonal. */
function relativeError(got: Float64Array, want: Float64Array, n: number): number {
  let [difference, size] = [0, 0];
  for (let at = 0; at < want.length; at++) {
    if (Math.floor(at / n) === at % n) continue;
    difference += (got[at] - want[at]) ** 2;
    size += want[at] ** 2;
  }
  return Math.sqrt(difference / size);
}
