import { type MethodName, methods } from './methods.js';
import type { Cell, Summary } from './result.js';
import { crossover, logSlope, type Point } from './statistics.js';

/** Growth and crossover of every method on every backend that anything was tried of. */
export function summarise(cells: readonly Cell[]): Summary[] {
  const lanes = new Map<string, { backend: string; method: MethodName }>();
  for (const { backend, method } of cells) lanes.set(`${backend} ${method}`, { backend, method });
  return [...lanes.values()].map(({ backend, method }) => {
    const own = timesOf(cells, backend, method);
    const slope = logSlope(own.slice(-4));
    const reached = methods[method].kind === 'exact' ? undefined : crossover(own, fastestExact(cells, backend));
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

/** The least time of any exact model at every length. Own kernels are no rival of theirs: they are judged against it, too. */
function fastestExact(cells: readonly Cell[], backend: string): Point[] {
  const best = new Map<number, number>();
  for (const cell of cells) {
    if (cell.backend !== backend || cell.status !== 'ok') continue;
    const { kind, form } = methods[cell.method];
    if (kind === 'exact' && form === 'model')
      best.set(cell.n, Math.min(cell.ms.median, best.get(cell.n) ?? Number.POSITIVE_INFINITY));
  }
  return [...best].map(([n, ms]) => ({ n, ms })).sort((a, b) => a.n - b.n);
}
