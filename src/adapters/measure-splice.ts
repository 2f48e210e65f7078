/** What a table of the planner is made of (splice-planner.ts): attention alone, in the graph and spliced, timed on the device at hand. */
import { gaussians } from '../features/rng.js';
import { readPlan } from '../rewrite/plan.js';
import { adapterClass, type GpuRuntime } from './gpu-device.js';
import { measuredLayer } from './measured-layer.js';
import { readModel } from './model-file.js';
import { openLinearized } from './open-model.js';
import type { OrtTensor } from './ort.js';
import { checkRuntime } from './ort-session.js';
import type { SpliceRow, SpliceTable } from './splice-planner.js';

export interface MeasureSpliceOptions {
  /** Default: one of every kind that can be spliced. Those of images are timed on patches, constants of calibration are drawn. */
  readonly plans?: readonly string[];
  /** Default: 512, 2048, 8192. */
  readonly tokens?: readonly number[];
  /** Heads and their width. Default: 12 × 64. */
  readonly heads?: number;
  readonly headDim?: number;
  /** Timed runs of each, behind two that are not. Default: 7. */
  readonly runs?: number;
  /** Told after each row, and which could not be measured, and why (too long for the graph's form, say). */
  readonly onRow?: (
    row: SpliceRow | { readonly plan: string; readonly tokens: number; readonly failed: unknown },
  ) => void;
}

const spliced = [
  'exact',
  'features:m=128',
  'window:window=128',
  'hybrid:window=64,globals=32,codes=32',
  'hybrid-2d:tile=4,halo=2,globals=32,codes=32',
];

/**
 * Times attention in the graph and spliced, on the device that onnxruntime uses. What fails at a length is left out of the table.
 *
 * @throws PerformersError PF201, PF202 (a plan), PF301 (no onnxruntime), PF701 (no adapter)
 */
export async function measureSplice(ort: GpuRuntime, options: MeasureSpliceOptions = {}): Promise<SpliceTable> {
  checkRuntime(ort);
  const { plans = spliced, tokens = [512, 2048, 8192], heads = 12, headDim = 64, runs = 7 } = options;
  const device = await adapterClass();
  const rows: SpliceRow[] = [];
  for (const plan of plans) {
    const read = readPlan(plan);
    const { bytes, saved, inputs } = measuredLayer(read, { heads, headDim });
    const source = await readModel(bytes);
    for (const count of tokens) {
      try {
        const { shapes, tokens } = inputs(count);
        const time = async (splice: boolean) => {
          const onGpu = { executionProviders: ['webgpu'] } as const;
          const { session } = await openLinearized(ort, source, onGpu, { saved, splice });
          try {
            return await medianRun(session, drawFeeds(ort, shapes), runs);
          } finally {
            await session.release();
          }
        };
        const row = {
          plan: read.name,
          heads,
          headDim,
          tokens,
          inGraph: await time(false),
          spliced: await time(true),
        };
        rows.push(row);
        options.onRow?.(row);
      } catch (failed) {
        options.onRow?.({ plan, tokens: count, failed });
      }
    }
  }
  const browser = typeof navigator === 'undefined' ? 'no browser' : navigator.userAgent;
  const measuredWith = `${browser}; ${new Date().toISOString().slice(0, 10)}`;
  return { schema: 'performers.splice-table/1', device, measuredWith, rows };
}

type Feeds = Readonly<Record<string, OrtTensor>>;

function drawFeeds(ort: GpuRuntime, shapes: Readonly<Record<string, readonly number[]>>): Feeds {
  const normal = gaussians(1);
  const draw = (dims: readonly number[]) =>
    new ort.Tensor('float32', Float32Array.from({ length: dims.reduce((a, b) => a * b) }, normal), [...dims]);
  return Object.fromEntries(Object.entries(shapes).map(([name, dims]) => [name, draw(dims)]));
}

/** Median milliseconds of a run, its single number read back: what comes to the CPU is the same in both forms. */
async function medianRun(
  session: { run(feeds: Feeds): Promise<unknown> },
  feeds: Feeds,
  runs: number,
): Promise<number> {
  const times: number[] = [];
  for (let run = -2; run < runs; run++) {
    const start = performance.now();
    await session.run(feeds);
    if (run >= 0) times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}
