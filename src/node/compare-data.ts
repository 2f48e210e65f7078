/** Methods of features compared on a data set by name: what `performers features` and bench/features do. */
import { nearest, PerformersError } from '../errors.js';
import type { Kernel } from '../features/kernels/kernel.js';
import { type KernelFactory, kernels } from '../features/kernels/registry.js';
import {
  compareFeatures,
  type FeatureRow,
  featureMethods,
  methodsFor,
  scalingFor,
} from '../machines/compare-features.js';
import { type PreparedRows, prepareRows } from '../machines/prepare-rows.js';
import type { Progress } from '../verify.js';
import { loadDataset } from './datasets/registry.js';

export interface CompareDataOptions {
  readonly kernel: string;
  readonly data: string;
  /** Folder of data; see `dataFolders`. */
  readonly dataDir?: string;
  /** Default: every float32 method that makes features of the kernel. */
  readonly methods?: readonly string[];
  readonly m: readonly number[];
  /** Repeats, with seeds 0, 1, … */
  readonly seeds: number;
  /** Rows trained on and tested on, at most. */
  readonly train: number;
  readonly test: number;
  /** Rows whose pairs are compared. Default 400. */
  readonly pairs?: number;
  /** Rows are divided by it. Default 1. */
  readonly bandwidth?: number;
  /** C of the machine; undefined trains none. */
  readonly c?: number;
  readonly onProgress?: Progress;
}

export interface ComparedData {
  readonly schema: 'performers.features/1';
  readonly kernel: string;
  readonly data: string;
  readonly train: number;
  readonly test: number;
  readonly rows: FeatureRow[];
}

/** @throws PerformersError PF428 and PF429 for data, PF430 for names and counts, what methods throw for m */
export async function compareData(options: CompareDataOptions): Promise<ComparedData> {
  const { data, dataDir, m, seeds, train, test, bandwidth, pairs, c, onProgress } = options;
  for (const [name, value] of [['seeds', seeds], ...m.map((count) => ['m', count] as const)] as const) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new PerformersError('PF430', `${name} must be an integer >= 1, got ${value}`, {
      at: `features.${name}`,
      mend: name === 'm' ? 'use m = 256' : 'use 3 seeds',
    });
  }
  const makeKernel = known('kernel', options.kernel, kernels as Readonly<Record<string, KernelFactory>>);
  for (const name of options.methods ?? []) known('method', name, featureMethods);
  const set = await loadDataset(data, dataDir);
  const kernel: Kernel = makeKernel({ d: set.d });
  const rows: PreparedRows = prepareRows(set, { scaling: scalingFor(kernel), train, test, bandwidth });
  const methods = options.methods ?? methodsFor(kernel);
  onProgress?.({ done: 0, total: 1 + methods.length * m.length * seeds, what: 'exact kernel' });
  const compared = compareFeatures({
    data,
    rows,
    kernel,
    methods,
    m,
    seeds: Array.from({ length: seeds }, (_, seed) => seed),
    pairs,
    c,
    onRow: (row, done, total) => onProgress?.({ done, total, what: `${row.method}, m = ${row.m}` }),
  });
  return {
    schema: 'performers.features/1',
    kernel: options.kernel,
    data,
    train: rows.trainLabels.length,
    test: rows.testLabels.length,
    rows: compared,
  };
}

/** @throws PerformersError PF430, with the near name for a typo */
function known<T>(what: 'kernel' | 'method', name: string, registry: Readonly<Record<string, T>>): T {
  const entry = Object.entries(registry).find(([key]) => key === name)?.[1];
  if (entry !== undefined) return entry;
  const names = Object.keys(registry);
  const near = nearest(name, names);
  throw new PerformersError('PF430', `there is no ${what} '${name}': ${names.join(', ')}`, {
    at: `features.${what}`,
    mend: near ? `did you mean '${near}'?` : 'use one of these names',
  });
}
