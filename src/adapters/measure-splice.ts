/** What a table of the planner is made of (splice-planner.ts): attention alone, in the graph and spliced, timed on the device at hand. */
import { gaussians } from '../features/rng.js';
import { builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../onnx/message.js';
import { readPlan } from '../rewrite/plan.js';
import { adapterClass, type GpuRuntime } from './gpu-device.js';
import { readModel } from './model-file.js';
import { openLinearized } from './open-model.js';
import type { OrtTensor } from './ort.js';
import { checkRuntime } from './ort-session.js';
import type { SpliceRow, SpliceTable } from './splice-planner.js';

export interface MeasureSpliceOptions {
  /** Plans that need no calibration. Default: exact and features:m=128. */
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

/**
 * Times attention in the graph and spliced, on the device that onnxruntime uses. What fails at a length is left out of the table.
 *
 * @throws PerformersError PF201, PF202 (a plan), PF301 (no onnxruntime), PF701 (no adapter)
 */
export async function measureSplice(ort: GpuRuntime, options: MeasureSpliceOptions = {}): Promise<SpliceTable> {
  checkRuntime(ort);
  const {
    plans = ['exact', 'features:m=128'],
    tokens = [512, 2048, 8192],
    heads = 12,
    headDim = 64,
    runs = 7,
  } = options;
  const device = await adapterClass();
  const source = await readModel(attentionLayer(heads, headDim));
  const rows: SpliceRow[] = [];
  for (const plan of plans) {
    const { name } = readPlan(plan);
    for (const count of tokens) {
      try {
        const time = async (splice: boolean) => {
          const onGpu = { executionProviders: ['webgpu'] } as const;
          const { session } = await openLinearized(ort, source, onGpu, { plan, splice });
          try {
            return await medianRun(session, layerFeeds(ort, heads, headDim, count), runs);
          } finally {
            await session.release();
          }
        };
        const row = {
          plan: name,
          heads,
          headDim,
          tokens: count,
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

function layerFeeds(ort: GpuRuntime, heads: number, headDim: number, tokens: number): Feeds {
  const normal = gaussians(1);
  const dims = [1, heads, tokens, headDim];
  const draw = () => new ort.Tensor('float32', Float32Array.from({ length: heads * tokens * headDim }, normal), dims);
  return { q: draw(), k: draw(), v: draw() };
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

/** q, k, v [B,H,N,D] → the mean of softmax(q·kᵀ/√D)·v. */
function attentionLayer(heads: number, headDim: number): Uint8Array {
  const opset = 17;
  const pool = constantPool('m/');
  const build = builder(opset, 'm/', pool);
  const keys = build.op('Transpose', ['k'], { perm: [0, 1, 3, 2] });
  const scores = build.op('Mul', [build.op('MatMul', ['q', keys]), build.float([headDim ** -0.5], [])]);
  const context = build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), 'v']);
  const mean = build.op('ReduceMean', [context], { axes: [0, 1, 2, 3], keepdims: 0 });
  const input = ['q', 'k', 'v'].map((name) => makeValueInfo(name, 1, ['batch', heads, 'tokens', headDim]));
  const initializer = pool.initializers.map(({ bytes }) => bytes);
  const output = [makeValueInfo(mean, 1, [])];
  return concat(
    encode(makeModel(makeGraph({ name: 'layer', node: [...build.nodes], initializer, input, output }), opset)),
  );
}
