import { Command } from 'commander';
import { type FeatureRow, featureMethods, kernelNames } from '../machines/compare-features.js';
import { writeFilesAtomic } from '../node/atomic-write.js';
import { compareData } from '../node/compare-data.js';
import { datasets } from '../node/datasets/registry.js';
import { readCount, readCounts, readNames, readPositive } from './arguments.js';
import { digits, print, printJson, table, withProgress } from './output.js';

interface Options {
  readonly kernel: string;
  readonly data: string;
  readonly dataDir?: string;
  readonly method?: string[];
  readonly m: number[];
  readonly seeds: number;
  readonly train: number;
  readonly test: number;
  readonly bandwidth: number;
  readonly c: number;
  readonly accuracy: boolean;
  readonly plot?: string;
  readonly force?: true;
  readonly json?: true;
}

export function featuresCommand(): Command {
  return new Command('features')
    .description('compare random features of a kernel on a data set: error, time, bytes, accuracy of an SVM')
    .requiredOption('--kernel <name>', kernelNames.join(', '))
    .requiredOption('--data <name>', Object.keys(datasets).join(', '))
    .option('--data-dir <folder>', 'folder of the data (default: PERFORMERS_DATA, or data, or ../shared/data)')
    .option(
      '--method <names>',
      `${Object.keys(featureMethods).join(', ')} (default: all that fit, in float32)`,
      readNames,
    )
    .option('--m <list>', 'channels', readCounts, [64, 256, 1024])
    .option('--seeds <count>', 'repeats', readCount, 3)
    .option('--train <rows>', 'rows the SVM is trained on', readCount, 1000)
    .option('--test <rows>', 'rows it is tested on', readCount, 1000)
    .option('--bandwidth <number>', 'what rows are divided by, after scaling', readPositive, 1)
    .option('--c <number>', 'C of the SVM', readPositive, 1)
    .option('--no-accuracy', 'compare kernels only, train nothing')
    .option('--plot <file>', 'write error against m and accuracy against memory as SVG')
    .option('--force', 'replace the plot')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  performers features --kernel tl1 --data letter
  performers features --kernel rbf --data usps --method rff,orf,sorf --m 64,256,1024,4096 --plot rbf-usps.svg
  performers features --kernel rbf --data eeg --method gorf,nearest@4,universal@1 --json`,
    )
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { method: methods, c, accuracy, plot, force, json, ...rest } = options;
  const result = await withProgress((onProgress) =>
    compareData({ ...rest, methods, c: accuracy ? c : undefined, onProgress }),
  );
  const { kernel, data, train, test, rows } = result;
  if (plot) {
    // Loaded here, because no other command draws.
    const { plotFeatures } = await import('../node/feature-plots.js');
    const svg = plotFeatures(rows, `${kernel} on ${data}`);
    await writeFilesAtomic([{ path: plot, chunks: [new TextEncoder().encode(svg)] }], { force });
  }
  if (json) return printJson(result);
  // As many test rows as compareFeatures takes pairs of.
  const what = accuracy ? `SVM trained on ${train} rows, tested on ${test}` : `${Math.min(test, 400)} rows compared`;
  print(`${kernel} on ${data}: ${what}; means of ${options.seeds} seeds\n`);
  print(table(['method', 'm', 'error', 'ms', 'bytes a row', 'accuracy'], summarise(rows)));
}

function summarise(rows: readonly FeatureRow[]): string[][] {
  const groups = new Map<string, FeatureRow[]>();
  for (const row of rows) {
    const key = `${row.method} ${row.m}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].map((group) => {
    const [{ method, m, bytes }] = group;
    const mean = (value: (row: FeatureRow) => number) => group.reduce((sum, row) => sum + value(row), 0) / group.length;
    const accuracy = group[0].accuracy === null ? '-' : `${(100 * mean((row) => row.accuracy ?? 0)).toFixed(1)}%`;
    return [
      method,
      m === 0 ? '-' : String(m),
      digits(mean(({ error }) => error)),
      digits(mean(({ ms }) => ms)),
      String(bytes),
      accuracy,
    ];
  });
}
