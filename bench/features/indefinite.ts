/**
 * GORF at m = 2,048 against the exact indefinite kernel in one SVM solver, C of each machine chosen on a third of the training rows held out.
 * On features there are two machines: the linear one, whose weights absorb the signs, and the dual of K̂ with the signs kept, which
 * is the exact kernel's own problem but for the error of K̂. 'fit, no sampling' is the exact machine on the kernel that a fitted measure has.
 */
import { distance, gram, type Kernel } from '../../src/features/kernels/kernel.js';
import { type KernelFactory, kernels } from '../../src/features/kernels/registry.js';
import { gorf, gorfMeasure } from '../../src/features/signed/methods.js';
import { signedGram } from '../../src/features/signed/signed-map.js';
import { scalingFor } from '../../src/machines/compare-features.js';
import { prepareRows } from '../../src/machines/prepare-rows.js';
import { gramForm } from '../../src/machines/quadratic.js';
import { accuracy, classify, trainClassifier } from '../../src/machines/svc.js';
import { loadDataset } from '../../src/node/datasets/registry.js';
import { curvesOf, figure } from '../../src/node/feature-plots.js';
import type { FeatureSuite } from './run.js';

export interface IndefiniteRow {
  readonly data: string;
  readonly kernel: string;
  readonly method: string;
  readonly m: number;
  readonly seed: number;
  readonly train: number;
  readonly test: number;
  readonly c: number;
  /** Of the rows held out, trained on the rest. */
  readonly heldOut: number;
  /** Of the test rows, trained on all. */
  readonly accuracy: number;
}

/** USPS has 2,007 rows. The exact Gram matrix of 1,000 rows is 8 MB, that of all of letter would be 3.2 GB. */
const [train, test, m, seeds] = [1000, 1000, 2048, 2];
const grid = [0.1, 1, 10, 100];
const sets = ['letter', 'eeg', 'usps'];
/** The first two have a small negative part, of the third it is a third, and the fourth is half negative: it is 0 at 0 and below everywhere else. */
const factories: Readonly<Record<string, KernelFactory>> = {
  polynomial: kernels.polynomial,
  tl1: kernels.tl1,
  'delta-gaussian, ½': ({ d }) =>
    kernels['delta-gaussian']({
      d,
      terms: [
        { weight: 1, sigma: 0.35 * Math.sqrt(d) },
        { weight: -0.5, sigma: Math.sqrt(d) },
      ],
    }),
  'delta-gaussian': kernels['delta-gaussian'],
};
const kernelNames = Object.keys(factories);

export const indefinite: FeatureSuite<IndefiniteRow> = {
  title: 'accuracy of an SVM on GORF features, m = 2,048, beside the exact kernel, by C',
  run: async (report) => {
    const rows: IndefiniteRow[] = [];
    for (const [at, name] of kernelNames.entries()) {
      for (const [s, data] of sets.entries()) {
        rows.push(...(await machines(name, data)));
        report(`${name} on ${data}`, at * sets.length + s + 1, kernelNames.length * sets.length);
      }
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      kernelNames.flatMap((kernel) =>
        sets.map((data) => ({
          title: `${kernel} on ${data}: accuracy by C`,
          xLabel: 'C',
          yLabel: 'accuracy',
          yScale: 'linear' as const,
          xTicks: grid,
          curves: curvesOf(
            rows.filter((row) => row.kernel === kernel && row.data === data),
            ({ c }) => c,
            (row) => row.accuracy,
          ),
        })),
      ),
      sets.length,
    ),
};

async function machines(name: string, data: string): Promise<IndefiniteRow[]> {
  const problem = await problemOf(name, data);
  return [...exactMachines(problem), ...featureMachines(problem)];
}

async function problemOf(name: string, data: string) {
  const set = await loadDataset(data);
  const kernel = factories[name]({ d: set.d });
  const rows = prepareRows(set, { scaling: scalingFor(kernel), train, test });
  return { name, data, kernel, rows, fitted: rows.train.subarray(0, 400 * set.d) };
}

type Problem = Awaited<ReturnType<typeof problemOf>>;

/** The kernel itself, and where its measure is fitted the kernel which that measure has. */
function exactMachines(problem: Problem): IndefiniteRow[] {
  const { kernel, rows } = problem;
  const judged = (method: string, own: Kernel) =>
    byC(problem, { method, m: 0, seed: 0 }, gram(own, rows.train), gram(own, rows.test, rows.train));
  const fit = fitOf(kernel, problem.fitted);
  return [...judged('exact', kernel), ...(fit ? judged('fit, no sampling', fit) : [])];
}

function featureMachines(problem: Problem): IndefiniteRow[] {
  const { kernel, rows, fitted } = problem;
  return Array.from({ length: seeds }, (_, seed) => {
    const { signs, phi } = gorf(kernel, { m, seed, rows: fitted });
    const [left, right] = [phi(rows.train), phi(rows.test)];
    const judged = (method: string, own: Int8Array) =>
      byC(problem, { method, m, seed }, signedGram(own, left), signedGram(own, right, left));
    const absorbed = signs.map(() => 1);
    return [...judged('gorf', absorbed), ...(seed === 0 ? judged('gorf, signs kept', signs) : [])];
  }).flat();
}

/** Accuracies of the machine with Gram matrices of training rows and of test rows with them. */
function byC(
  { name, data, rows }: Problem,
  row: Pick<IndefiniteRow, 'method' | 'm' | 'seed'>,
  own: Float64Array,
  other: Float64Array,
): IndefiniteRow[] {
  const common = { data, kernel: name, train: rows.trainLabels.length, test: rows.testLabels.length, ...row };
  return grid.map((c) => ({ ...common, c, ...accuracies(own, other, rows, c) }));
}

/** The kernel that GORF's measure has, where it is a fit. */
function fitOf(kernel: Kernel, rows: Float64Array): Kernel | undefined {
  const { profile, measure: closed } = kernel;
  if (closed || !profile) return undefined;
  const { measure } = gorfMeasure(kernel, { m, rows });
  const of = (t: number) => measure.parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), measure.constant);
  return { ...kernel, value: (x, y) => of(distance(profile.norm, x, y)) };
}

function accuracies(
  own: Float64Array,
  other: Float64Array,
  { trainLabels, testLabels }: { trainLabels: Int32Array; testLabels: Int32Array },
  c: number,
): { heldOut: number; accuracy: number } {
  const n = trainLabels.length;
  const kept = Math.ceil((2 * n) / 3);
  const part = (from: number, to: number) =>
    Float64Array.from({ length: (to - from) * kept }, (_, i) => own[(from + Math.floor(i / kept)) * n + (i % kept)]);
  const options = { c, tolerance: 0.1, maxEpochs: 100 };
  const some = trainClassifier(gramForm(part(0, kept)), trainLabels.subarray(0, kept), options);
  const all = trainClassifier(gramForm(own), trainLabels, options);
  return {
    heldOut: accuracy(classify(some, part(kept, n), 'gram'), trainLabels.subarray(kept)),
    accuracy: accuracy(classify(all, other, 'gram'), testLabels),
  };
}
