/** GORF, GRFF, random Maclaurin and tensor sketch at equal channels: which errs least, on which rows of which kernel? */
import { deltaGaussian } from '../../src/features/kernels/delta-gaussian.js';
import type { Kernel } from '../../src/features/kernels/kernel.js';
import { polynomial } from '../../src/features/kernels/polynomial.js';
import { gaussians } from '../../src/features/rng.js';
import { compareFeatures, type FeatureRow, scalingFor } from '../../src/machines/compare-features.js';
import { type PreparedRows, prepareRows } from '../../src/machines/prepare-rows.js';
import { loadDataset } from '../../src/node/datasets/registry.js';
import { curvesOf, figure } from '../../src/node/feature-plots.js';
import type { Panel } from '../../src/plots/panel.js';
import type { FeatureSuite } from './run.js';

/** The second polynomial is that of the experiments of Pennington, Yu and Kumar 2015. */
const kernels: Readonly<Record<string, (d: number) => Kernel>> = {
  'polynomial a = 2, p = 3': (d) => polynomial({ d }),
  'polynomial a = 4, p = 7': (d) => polynomial({ d, a: 4, degree: 7 }),
  'delta-gaussian': (d) => deltaGaussian({ d }),
};
const sets = ['uniform 8', 'uniform 32', 'letter', 'eeg', 'usps'];
const drawn = ['uniform 32', 'letter', 'usps'];
const methods = ['gorf', 'grff', 'maclaurin', 'tensor-sketch'];
const [counts, seeds, rowsCompared] = [[128, 512, 2048], [0, 1], 200];

export const order: FeatureSuite<FeatureRow> = {
  title: 'relative error, off the diagonal, of four methods at equal channels; measures fitted to 400 other rows',
  run: async (report) => {
    const rows: FeatureRow[] = [];
    for (const data of sets) {
      for (const [name, make] of Object.entries(kernels)) {
        const { kernel, prepared } = await problem(data, make);
        const common = { data, rows: prepared, kernel, methods, m: counts, seeds, pairs: rowsCompared };
        const compared = compareFeatures(common).filter(({ method }) => method !== 'exact');
        rows.push(...compared.map((row) => ({ ...row, kernel: name })));
        const done = rows.length / compared.length;
        report(`${name} on ${data}`, done, sets.length * Object.keys(kernels).length);
      }
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      Object.keys(kernels).flatMap((kernel) =>
        drawn.map(
          (data): Panel => ({
            title: `${kernel}, ${data.startsWith('uniform') ? `uniform rows, d = ${data.slice(8)}` : data}`,
            xLabel: 'm, channels',
            yLabel: '‖K − K̂‖ / ‖K‖',
            yScale: 'log',
            xTicks: counts,
            curves: curvesOf(
              rows.filter((row) => row.kernel === kernel && row.data === data),
              ({ m }) => m,
              ({ error }) => error,
            ),
          }),
        ),
      ),
      drawn.length,
    ),
};

async function problem(data: string, make: (d: number) => Kernel): Promise<{ kernel: Kernel; prepared: PreparedRows }> {
  if (!data.startsWith('uniform ')) {
    const set = await loadDataset(data);
    const kernel = make(set.d);
    return { kernel, prepared: prepareRows(set, { scaling: scalingFor(kernel), train: 400, test: rowsCompared }) };
  }
  const d = Number(data.slice(8));
  const kernel = make(d);
  const labels = new Int32Array();
  return {
    kernel,
    prepared: {
      d,
      train: uniformRows(kernel, 400, 1),
      trainLabels: labels,
      test: uniformRows(kernel, rowsCompared, 2),
      testLabels: labels,
    },
  };
}

/** N(0, I) rows, over their lengths for kernels of the sphere. */
function uniformRows({ d, domain }: Kernel, n: number, seed: number): Float64Array {
  const normal = gaussians(seed);
  const rows = Float64Array.from({ length: n * d }, normal);
  if (domain === 'space') return rows;
  return rows.map((value, at) => value / Math.hypot(...rows.subarray(at - (at % d), at - (at % d) + d)));
}
