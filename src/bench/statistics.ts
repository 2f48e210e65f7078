/** What is made of measured times: middles, growth, and where one method overtakes another. */

/** The value below which a share of the values lies; values are not interpolated. NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export interface Point {
  readonly n: number;
  readonly ms: number;
}

/** Exponent of a power law through the points, least squares over logarithms; undefined of fewer than two. */
export function logSlope(points: readonly Point[]): number | undefined {
  if (points.length < 2) return undefined;
  const logs = points.map(({ n, ms }) => [Math.log(n), Math.log(ms)] as const);
  const mean = (i: 0 | 1) => logs.reduce((sum, point) => sum + point[i], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  const across = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return across / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

/**
 * N*: the length from which `curve` is below `base` at all greater lengths that both were measured at, between two of them as
 * power laws cross. `always` where it is below from the first on, `never` where it is not below at the last; undefined where they share no length.
 */
export function crossover(curve: readonly Point[], base: readonly Point[]): number | 'always' | 'never' | undefined {
  const ratios = curve.flatMap(({ n, ms }) => {
    const other = base.find((point) => point.n === n);
    return other ? [{ n, log: Math.log(ms / other.ms) }] : [];
  });
  ratios.sort((a, b) => a.n - b.n);
  if (ratios.length === 0) return undefined;
  const last = ratios.reduce((found, { log }, i) => (log >= 0 ? i : found), -1);
  if (last < 0) return 'always';
  if (last === ratios.length - 1) return 'never';
  const [before, after] = [ratios[last], ratios[last + 1]];
  const share = before.log / (before.log - after.log);
  return Math.round(before.n * (after.n / before.n) ** share);
}
