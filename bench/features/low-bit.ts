/** Low-bit features of the Gaussian kernel against float32 ones, at equal memory. */
import type { FeatureRow } from '../../src/machines/compare-features.js';
import { compareData } from '../../src/node/compare-data.js';
import { curvesOf, figure } from '../../src/node/feature-plots.js';
import type { Panel } from '../../src/plots/panel.js';
import type { FeatureSuite } from './run.js';

const sets = [
  { data: 'letter', bandwidth: 0.5 },
  { data: 'usps', bandwidth: 0.7 },
];
/** Bytes a row: channels follow from the bits. */
const budgets = [32, 128, 512];
const schemes = [
  'gorf',
  'nearest@8',
  'nearest@4',
  'stochastic@4',
  'lloyd-max@2',
  'stochastic@1',
  'lloyd-max@1',
  'universal@1',
];

export const lowBit: FeatureSuite<FeatureRow> = {
  title: 'features of the Gaussian kernel in float32, 8, 4, 2 and 1 bits, at equal bytes a stored row',
  run: async (report) => {
    const rows: FeatureRow[] = [];
    for (const { data, bandwidth } of sets) {
      for (const method of schemes) {
        const bits = Number(method.split('@')[1] ?? 32);
        for (const budget of budgets) {
          const { rows: own } = await compareData({
            kernel: 'rbf',
            data,
            bandwidth,
            methods: [method],
            m: [(8 * budget) / bits],
            seeds: 2,
            train: 500,
            test: 1000,
            c: (8 * budget) / bits > 4096 ? undefined : 10,
          });
          rows.push(
            ...own.filter(
              (row) => row.method !== 'exact' || rows.every((seen) => seen.method !== 'exact' || seen.data !== data),
            ),
          );
        }
        report(
          `${method} on ${data}`,
          schemes.indexOf(method) + 1 + sets.findIndex((set) => set.data === data) * schemes.length,
          sets.length * schemes.length,
        );
      }
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      sets.flatMap(({ data }): Panel[] => {
        const own = rows.filter((row) => row.data === data && row.method !== 'exact');
        const exact = rows.find((row) => row.data === data && row.method === 'exact');
        const common = { xLabel: 'bytes a stored row', xTicks: budgets };
        return [
          {
            ...common,
            title: `rbf on ${data}: error of the kernel`,
            yLabel: '‖K − K̂‖ / ‖K‖',
            yScale: 'log',
            curves: curvesOf(
              own,
              ({ bytes }) => bytes,
              ({ error }) => error,
            ),
          },
          {
            ...common,
            title: `rbf on ${data}: accuracy against memory`,
            yLabel: 'accuracy',
            yScale: 'linear',
            curves: curvesOf(
              own.filter(({ accuracy }) => accuracy !== null),
              ({ bytes }) => bytes,
              ({ accuracy }) => accuracy ?? 0,
            ),
            ...(exact?.accuracy != null && { rule: { y: exact.accuracy, label: 'exact' } }),
          },
        ];
      }),
    ),
};
