/**
 * A lane is one method on one backend, alone in a process or worker, its lengths rising: the memory it held at most is then that of
 * the last length, and what fails takes nothing else with it. The other side of it is run.ts.
 */
import type { Backend } from './backend.js';
import { layerInputs } from './inputs.js';
import { type Method, products } from './method.js';
import { type MethodName, methods } from './methods.js';
import { type LayerInputs, partError, rowError, sampleRows } from './reference.js';
import type { Measured, NotMeasured, Roofline } from './result.js';
import { measureRoofline } from './roofline.js';
import { type LayerShape, leastBytes, type ShapeName, shapes } from './shape.js';
import { quantile } from './statistics.js';

export interface LaneJob {
  readonly backend: string;
  /** Measures the roofline where absent. */
  readonly method?: MethodName;
  readonly shape: ShapeName;
  readonly lengths: readonly number[];
  readonly repeats: number;
  /** Of one length. */
  readonly limitMs: number;
  readonly seed: number;
  readonly roofline?: Roofline;
}

/** What a lane says. After a cell that is not `ok` there is no other. */
export type LaneMessage =
  | { readonly kind: 'roofline'; readonly roofline: Roofline }
  | { readonly kind: 'begin'; readonly n: number }
  | { readonly kind: 'cell'; readonly n: number; readonly cell: Measured | NotMeasured };

/** Wasm is compiled to fast code only as it runs. */
const settleMs = 150;

/** Measures the lane's lengths, or the roofline of its backend. */
export async function runLane(job: LaneJob, backend: Backend, say: (message: LaneMessage) => void): Promise<void> {
  if (job.method === undefined) {
    say({ kind: 'roofline', roofline: await measureRoofline(backend) });
    return;
  }
  const method: Method = methods[job.method];
  const shape = shapes[job.shape];
  const inputs = layerInputs(shape, job.seed);
  const cell = (n: number, found: Measured | NotMeasured) => say({ kind: 'cell', n, cell: found });
  const [first] = job.lengths;
  say({ kind: 'begin', n: first });
  try {
    const model = await method.open(shape, backend);
    let last: { n: number; ms: number } | undefined;
    for (const n of job.lengths) {
      const expected = last ? (last.ms * products(method, shape, n)) / products(method, shape, last.n) : 0;
      if (expected > job.limitMs) return cell(n, overTime(expected, job.limitMs));
      if (n !== first) say({ kind: 'begin', n });
      const found = await measure(job, { method, shape, backend, model }, inputs(n)).catch(failure);
      cell(n, found);
      if (found.status !== 'ok') return;
      last = { n, ms: found.ms.median };
    }
    await model.release();
  } catch (error) {
    cell(first, failure(error));
  }
}

async function measure(
  { repeats, limitMs, roofline }: LaneJob,
  {
    method,
    shape,
    backend,
    model,
  }: { method: Method; shape: LayerShape; backend: Backend; model: Awaited<ReturnType<Method['open']>> },
  inputs: LayerInputs,
): Promise<Measured> {
  const work = await model.prepare(inputs);
  try {
    const times: number[] = [];
    const once = async () => {
      const start = performance.now();
      await work.run();
      return performance.now() - start;
    };
    const cold = await once();
    // A first run is slower than any other, but one over the limit is not followed by another.
    if (cold >= limitMs) times.push(cold);
    const warm = performance.now();
    while (cold < limitMs && performance.now() - warm < settleMs) await work.run();
    const begun = performance.now();
    while (times.length === 0 || (times.length < repeats && performance.now() - begun + times[0] < limitMs))
      times.push(await once());
    const ms = { median: quantile(times, 0.5), p20: quantile(times, 0.2), p80: quantile(times, 0.8) };
    const peakBytes = backend.peakBytes();
    const { n } = inputs;
    const output = await work.output();
    const quantisationError = bitError(method, shape, inputs, output);
    return {
      status: 'ok',
      ms,
      runs: times.length,
      ...(peakBytes !== undefined && { peakBytes }),
      error: rowError(shape, inputs, output),
      ...(quantisationError !== undefined && { quantisationError }),
      ...(roofline && {
        share: {
          matmul: products(method, shape, n) / ms.median / roofline.multiplyAddsPerMs,
          copy: leastBytes(shape, n) / ms.median / roofline.copyBytesPerMs,
        },
      }),
    };
  } finally {
    await work.release();
  }
}

/** Two heads are enough to tell, and the reference makes all features of all keys. */
function bitError(method: Method, shape: LayerShape, inputs: LayerInputs, output: Float32Array): number | undefined {
  const part = { rows: sampleRows(inputs.n), heads: Math.min(2, shape.heads) };
  const want = method.unrounded?.(shape, inputs, part);
  return want && partError(shape, output, part, want);
}

function overTime(expected: number, limit: number): NotMeasured {
  const seconds = (ms: number) => (ms / 1000).toPrecision(2);
  return {
    status: 'limit',
    reason: `not tried: about ${seconds(expected)} s a run, and ${seconds(limit)} s are allowed`,
  };
}

/** The first line of the innermost cause: what the runtime itself said. */
export function failure(error: unknown): NotMeasured {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  const text = inner instanceof Error ? inner.message : String(inner);
  return {
    status: 'failed',
    reason:
      text
        .replace(/^.*ERROR_MESSAGE: /s, '')
        .trim()
        .split('\n', 1)[0] ?? '',
  };
}
