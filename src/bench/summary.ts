import { type MethodName, methods } from './methods.js';
import type { Cell, Summary } from './result.js';
import { crossover, logSlope, type Point } from './statistics.js';

/**
 * Growth of every method on every backend that anything was tried of, and where it overtakes: not on `software`, the backends whose times
 * say nothing about what they stand for.
 */
export function summarise(cells: readonly Cell[], software: ReadonlySet<string> = new Set()): Summary[] {
  const lanes = new Map<string, { backend: string; method: MethodName }>();
  for (const { backend, method } of cells) lanes.set(`${backend} ${method}`, { backend, method });
  return [...lanes.values()].map(({ backend, method }) => {
    const own = timesOf(cells, backend, method);
    const slope = logSlope(own.slice(-4));
    const judged = methods[method].kind !== 'exact' && !software.has(backend);
    const reached = judged ? crossover(own, fastestExact(cells, backend)) : undefined;
    const longest = own.at(-1)?.n;
    return {
      backend,
      method,
      ...(slope !== undefined && { slope }),
      ...(reached !== undefined && { crossover: reached }),
      ...(longest !== undefined && { longest }),
    };
  });
}

/** By rising length. */
function timesOf(cells: readonly Cell[], backend: string, method: MethodName): Point[] {
  return cells
    .flatMap((cell) =>
      cell.backend === backend && cell.method === method && cell.status === 'ok'
        ? [{ n: cell.n, ms: cell.ms.median }]
        : [],
    )
    .sort((a, b) => a.n - b.n);
}

/** Rounding, and what a runtime makes of it in lower precision. */
const exactError = 1e-2;

/**
 * The least time of any exact model at every length that gave the answer there. Own kernels are no rival of theirs: they are judged
 * against it, too.
 */
function fastestExact(cells: readonly Cell[], backend: string): Point[] {
  const best = new Map<number, number>();
  for (const cell of cells) {
    if (cell.backend !== backend || cell.status !== 'ok' || cell.error > exactError) continue;
    const { kind, form } = methods[cell.method];
    if (kind === 'exact' && form === 'model')
      best.set(cell.n, Math.min(cell.ms.median, best.get(cell.n) ?? Number.POSITIVE_INFINITY));
  }
  return [...best].map(([n, ms]) => ({ n, ms })).sort((a, b) => a.n - b.n);
}
