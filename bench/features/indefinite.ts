/** GORF at m = 2,048 against the exact indefinite kernel, in one SVM solver. */
import type { FeatureRow } from '../../src/machines/compare-features.js';
import { compareData } from '../../src/node/compare-data.js';
import type { FeatureSuite } from './run.js';

export interface IndefiniteRow extends FeatureRow {
  readonly train: number;
  readonly test: number;
}

/**
 * USPS has 2,007 rows: half and half. The others are subsampled: the exact Gram matrix of 1,500 rows is 18 MB, that of all of letter would
 * be 3.2 GB.
 */
const sets = [
  { data: 'usps', train: 1003, test: 1003 },
  { data: 'eeg', train: 1500, test: 1500 },
  { data: 'letter', train: 1500, test: 1500 },
];
const cases = sets.map((set) => ({ ...set, kernel: 'tl1', c: 1 }));

export const indefinite: FeatureSuite<IndefiniteRow> = {
  title: 'accuracy of an SVM on GORF features, m = 2,048, beside the exact kernel',
  run: async (report) => {
    const rows: IndefiniteRow[] = [];
    for (const [at, options] of cases.entries()) {
      const result = await compareData({ ...options, methods: ['gorf'], m: [2048], seeds: 3 });
      rows.push(...result.rows.map((row) => ({ ...row, train: result.train, test: result.test })));
      report(JSON.stringify(result.rows), at + 1, cases.length);
    }
    return rows;
  },
};
