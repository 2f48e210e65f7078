/** Every data set by name. The command line and benches iterate over it: a new entry is one file and one line. */
import { nearest, PerformersError } from '../../errors.js';
import { cifar10 } from './cifar10.js';
import { type Dataset, type DatasetSource, readDataset } from './dataset.js';
import { mnist } from './mnist.js';
import { eeg, letter, usps } from './uci.js';

export const datasets = {
  letter,
  eeg,
  usps,
  mnist,
  cifar10,
} satisfies Record<string, DatasetSource>;

export type DatasetName = keyof typeof datasets;

/** @throws PerformersError PF428 (missing, or no such name), PF429 (damaged) */
export async function loadDataset(name: string, folder?: string): Promise<Dataset> {
  const source = Object.entries<DatasetSource>(datasets).find(([known]) => known === name)?.[1];
  if (source) return readDataset(name, source, folder);
  const near = nearest(name, Object.keys(datasets));
  throw new PerformersError('PF428', `there is no data set '${name}': ${Object.keys(datasets).join(', ')}`, {
    at: 'data',
    mend: near ? `did you mean '${near}'?` : 'use one of these names',
  });
}
