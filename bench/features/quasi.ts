/** Quasi-Monte Carlo frequencies of the Gaussian kernel beside orthogonal ones, by width, distance and count: where does each err less? */
import { type SamplerName, samplers } from '../../src/features/registry.js';
import { figure } from '../../src/node/feature-plots.js';
import type { Panel } from '../../src/plots/panel.js';
import type { FeatureSuite } from './run.js';

export interface QuasiRow {
  readonly method: SamplerName;
  readonly d: number;
  /** |x − y| over σ: about 1 where σ is the median distance, √2 for coordinates of variance 1 and σ = √d. */
  readonly distance: number;
  readonly m: number;
  /** Root mean square error of the kernel over seeds and directions of x − y. */
  readonly error: number;
}

const names: readonly SamplerName[] = ['orf', 'iid', 'sobol', 'halton', 'lattice', 'qmc-orf'];
const widths = [4, 8, 16];
const distances = [0.5, 1, Math.SQRT2, 2];
const counts = [64, 256, 1024, 4096, 16384];
const seeds = 16;
const directions = 12;

export const quasi: FeatureSuite<QuasiRow> = {
  title: 'quasi-Monte Carlo frequencies of the Gaussian kernel beside orthogonal ones',
  run: async (report) => {
    const rows: QuasiRow[] = [];
    for (const d of widths) {
      for (const method of names) {
        rows.push(...errors(method, d));
        report(`${method}, d = ${d}`, rows.length / (distances.length * counts.length), widths.length * names.length);
      }
    }
    return rows;
  },
  draw: (rows) =>
    figure(
      widths.flatMap((d) =>
        [1, 2].map(
          (distance): Panel => ({
            title: `d = ${d}, |x − y| = ${distance} σ: error over that of orf`,
            xLabel: 'm, frequencies',
            yLabel: 'ratio, log',
            yScale: 'log',
            xTicks: counts,
            rule: { y: 1, label: 'orf' },
            curves: names
              .filter((name) => name !== 'orf')
              .map((name) => ({
                name,
                points: counts.map((m) => {
                  const of = (method: string) =>
                    rows.find((row) => row.method === method && row.d === d && row.distance === distance && row.m === m)
                      ?.error ?? Number.NaN;
                  const ratio = of(name) / of('orf');
                  return { x: m, y: ratio, low: ratio, high: ratio };
                }),
              })),
          }),
        ),
      ),
    ),
};

/** One draw of the most frequencies a seed; fewer are its head, as the samplers promise. */
function errors(method: SamplerName, d: number): QuasiRow[] {
  const most = counts[counts.length - 1];
  const squares = distances.map(() => counts.map(() => 0));
  const units = Array.from({ length: directions }, (_, k) => unit([...samplers.iid({ m: 1, d, seed: 9000 + k })]));
  for (let seed = 1; seed <= seeds; seed++) {
    const omega = samplers[method]({ m: most, d, seed });
    for (const direction of units) {
      const sums = distances.map(() => 0);
      for (let r = 0; r < most; r++) {
        const along = direction.reduce((sum, value, i) => sum + value * omega[r * d + i], 0);
        const at = counts.indexOf(r + 1);
        for (const [k, distance] of distances.entries()) {
          sums[k] += Math.cos(distance * along);
          if (at >= 0) squares[k][at] += (sums[k] / counts[at] - Math.exp(-(distance ** 2) / 2)) ** 2;
        }
      }
    }
  }
  return distances.flatMap((distance, k) =>
    counts.map((m, at) => ({ method, d, distance, m, error: Math.sqrt(squares[k][at] / seeds / directions) })),
  );
}

function unit(v: readonly number[]): number[] {
  const length = Math.hypot(...v);
  return v.map((value) => value / length);
}
