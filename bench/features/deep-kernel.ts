/** Deep kernel networks at equal memory: fewer bits a weight buy more frequencies. Where is the least error? */
import { kernels } from '../../src/features/kernels/registry.js';
import { trainDeepKernel } from '../../src/learn/deep-kernel.js';
import { scalingFor } from '../../src/machines/compare-features.js';
import { prepareRows } from '../../src/machines/prepare-rows.js';
import { accuracy } from '../../src/machines/svc.js';
import { loadDataset } from '../../src/node/datasets/registry.js';
import { figure } from '../../src/node/feature-plots.js';
import type { Panel } from '../../src/plots/panel.js';
import { deepKernelBytes, widthForBudget } from '../../src/quant/memory.js';
import { lawCost, planBits } from '../../src/quant/planner.js';
import type { FeatureSuite } from './run.js';

export interface DeepKernelRow {
  readonly method: string;
  readonly data: string;
  /** Of each layer. */
  readonly bits: readonly number[];
  readonly width: number;
  /** What the float32 network of the same memory has. */
  readonly floatWidth: number;
  readonly seed: number;
  readonly bytes: number;
  readonly accuracy: number;
  /** What the planner's law says of it. */
  readonly law: number;
  readonly ms: number;
}

const [depth, steps, seeds] = [3, 400, [0, 1, 2]];
const sets = ['eeg', 'letter'];
const floatWidths = [6, 12];
const uniform = [32, 8, 4, 2, 1];

export const deepKernel: FeatureSuite<DeepKernelRow> = {
  title: `deep kernel networks of ${depth} layers, trained ${steps} steps through the straight-through estimator, at equal memory`,
  run: async (report) => {
    const rows: DeepKernelRow[] = [];
    const total = sets.length * floatWidths.length * (uniform.length + 1) * seeds.length;
    for (const data of sets) {
      const set = await loadDataset(data);
      const { d, train, trainLabels, test, testLabels } = prepareRows(set, {
        scaling: scalingFor(kernels.rbf({ d: set.d })),
        train: 10_000,
        test: 2000,
      });
      for (const floatWidth of floatWidths) {
        const shape = { inputs: d, depth, outputs: set.classes };
        const budget = deepKernelBytes({ ...shape, width: floatWidth }, new Array<number>(depth).fill(32));
        const plan = planBits({ ...shape, budget });
        const nets = [
          ...uniform.map((b) => ({ method: `${b} bits`, bits: new Array<number>(depth).fill(b) })),
          { method: 'planned', bits: plan.bits },
        ];
        for (const { method, bits } of nets) {
          const width = widthForBudget(shape, bits, budget);
          for (const seed of seeds) {
            const start = performance.now();
            const model = await trainDeepKernel({
              x: train,
              d,
              labels: trainLabels,
              width,
              bits,
              steps,
              batch: 128,
              seed,
              bandwidth: Math.sqrt(d) / 2,
            });
            const ms = Math.round(performance.now() - start);
            rows.push({
              method,
              data,
              bits,
              width,
              floatWidth,
              seed,
              bytes: model.bytes,
              accuracy: accuracy(model.predict(test), testLabels),
              law: lawCost(width, bits),
              ms,
            });
            report(JSON.stringify(rows[rows.length - 1]), rows.length, total);
          }
        }
      }
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      sets.map(
        (data): Panel => ({
          title: `${data}: test error at equal memory`,
          xLabel: 'bits a weight',
          yLabel: 'error',
          yScale: 'linear',
          xTicks: [...uniform].reverse(),
          curves: floatWidths.map((floatWidth) => {
            const own = rows.filter(
              (row) => row.data === data && row.floatWidth === floatWidth && row.method !== 'planned',
            );
            return {
              name: `${(Math.max(...own.map(({ bytes }) => bytes)) / 1000).toFixed(1)} kB`,
              points: [...uniform].reverse().map((b) => {
                const errors = own.filter(({ bits }) => bits[0] === b).map((row) => 1 - row.accuracy);
                return {
                  x: b,
                  y: errors.reduce((sum, value) => sum + value, 0) / errors.length,
                  low: Math.min(...errors),
                  high: Math.max(...errors),
                };
              }),
            };
          }),
        }),
      ),
    ),
};
