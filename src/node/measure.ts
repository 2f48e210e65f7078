import type { NodeRuntime } from '../adapters/runtime.node.js';
import type { Feeds, TensorLike } from '../session.js';
import { type ErrorRecord, recordError } from './error-record.js';
import { openProcess } from './session-process.js';

/** One model at one size. */
export type Measurement =
  | { readonly ms: number; readonly peakMB: number; readonly outputs: Record<string, TensorLike> }
  | { readonly error: ErrorRecord };

/**
 * Runs a model file in a process of its own: median time of at least `repeats` runs after a warm-up, largest memory,
 * outputs.
 * A failure, a crash of the process included, is a result, not an exception.
 */
export async function measure(
  model: string,
  feeds: Feeds,
  options: { runtime: NodeRuntime; repeats?: number },
): Promise<Measurement> {
  const { runtime, repeats = 3 } = options;
  try {
    const session = await openProcess({ runtime, model });
    try {
      const { ms, peakMB, outputs } = await session.time(feeds, repeats);
      return { ms: median(ms), peakMB, outputs };
    } finally {
      await session.release();
    }
  } catch (error) {
    return { error: recordError(error) };
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return Number.isInteger(middle) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[Math.floor(middle)];
}
