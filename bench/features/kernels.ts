/** Every float32 method that fits, on four pairs of kernel and data. */
import type { FeatureRow } from '../../src/machines/compare-features.js';
import { compareData } from '../../src/node/compare-data.js';
import { figure, panelsOf } from '../../src/node/feature-plots.js';
import type { FeatureSuite } from './run.js';

const cases = [
  { kernel: 'rbf', data: 'letter', bandwidth: 0.5, c: 10 },
  { kernel: 'polynomial', data: 'usps', c: 10 },
  { kernel: 'tl1', data: 'letter', c: 1 },
  { kernel: 'tl1', data: 'eeg', c: 1 },
];
const [m, seeds] = [[32, 128, 512], 3];

export const kernels: FeatureSuite<FeatureRow> = {
  title: 'random features of a kernel: error, time, bytes a row, accuracy of an SVM trained on 500 rows',
  run: async (report) => {
    const rows: FeatureRow[] = [];
    for (const [at, options] of cases.entries()) {
      const { rows: own } = await compareData({
        ...options,
        m,
        seeds,
        train: 500,
        test: 1000,
        onProgress: ({ done, total, what }) =>
          report(`${options.kernel} on ${options.data}, ${what}`, at * total + done, cases.length * total),
      });
      rows.push(...own);
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      cases.flatMap(({ kernel, data }) =>
        panelsOf(
          rows.filter((row) => row.kernel === kernel && row.data === data),
          `${kernel} on ${data}`,
        ),
      ),
    ),
};
