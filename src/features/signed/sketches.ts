/**
 * Random Maclaurin features and tensor sketches of a kernel that is a power series in x·y: baselines that need no spectral
 * measure. k = Σ f_i(|x|²) f_i(|y|²) Σₙ a_in (x·y)ⁿ, f a factor that a row is multiplied by; coefficients of negative sign go to
 * the negative block.
 *   maclaurin       one random-Maclaurin map for each f_i, channels in equal shares (features/maclaurin.ts); unbiased but for
 *                   degrees beyond 51
 *   tensor-sketch   (offset + slope x·y)^p: one sketch of [√offset, √slope x] (Pham and Pagh 2013, section 3); otherwise one sketch
 *                   for each degree, degree 0 exact, widths powers of two by |aₙ|√(2 + 3ⁿ), and degrees beyond those that fit cut
 *                   off: biased by what they sum to
 * Cost: features/maclaurin.ts, features/tensor-sketch.ts.
 */
import { PerformersError } from '../../errors.js';
import { checkCount } from '../gaussian.js';
import { dot, type Kernel, type Series, splitRows } from '../kernels/kernel.js';
import { maclaurin as maclaurinMap } from '../maclaurin.js';
import { streamSeed } from '../rng.js';
import type { RowMap } from '../row-map.js';
import { tensorSketch as tensorSketchMap } from '../tensor-sketch.js';
import type { FitOptions, SignedMap } from './signed-map.js';

export interface MaclaurinKernelOptions extends FitOptions {
  /** Degrees with probability ∝ 2⁻ⁿ as in the paper (default), or ∝ |aₙ|. */
  readonly degrees?: 'geometric' | 'by-weight';
}

/** @throws PerformersError PF411 for a kernel without a series, PF412 for m below the number of its terms */
export function maclaurin(kernel: Kernel, { m, seed = 0, degrees }: MaclaurinKernelOptions): SignedMap {
  checkCount('m', m);
  const series = seriesOf('maclaurin', kernel);
  if (m < series.length) throw tooFew(kernel.name, m, series.length);
  const share = Math.floor(m / series.length);
  return joined(
    kernel,
    series.map(({ coefficient, degree, factor }, i): Piece => {
      const map = maclaurinMap({ d: kernel.d, m: share, seed: streamSeed(seed, i), coefficient, degree, degrees });
      return { ...map, factor, rows: (row) => row };
    }),
  );
}

/** @throws PerformersError PF411 for a kernel without a series, PF412 for an m that no sketch fits in */
export function tensorSketch(kernel: Kernel, { m, seed = 0 }: FitOptions): SignedMap {
  checkCount('m', m);
  const series = seriesOf('tensor-sketch', kernel);
  const share = Math.floor(m / series.length);
  if (share < 2) throw tooFew(kernel.name, m, 2 * series.length);
  return joined(
    kernel,
    series.flatMap((term, i) => {
      const own = streamSeed(seed, i);
      return term.power ? [powerSketch(kernel.d, share, own, term)] : degreeSketches(kernel.d, share, own, term);
    }),
  );
}

/** Features of one term, or of one degree of it. */
interface Piece extends RowMap {
  readonly signs: Int8Array;
  readonly bytes: number;
  readonly flops: number;
  readonly factor?: (square: number) => number;
  /** What the map is given for a row. */
  readonly rows: (row: Float64Array) => Float64Array;
}

function powerSketch(d: number, m: number, seed: number, { power, factor }: Series): Piece {
  const { offset, slope, degree } = power ?? { offset: 0, slope: 1, degree: 1 };
  const extended = (row: Float64Array) =>
    Float64Array.from({ length: d + 1 }, (_, l) => (l === 0 ? Math.sqrt(offset) : Math.sqrt(slope) * row[l - 1]));
  return { ...sketch(d + 1, 2 ** Math.floor(Math.log2(m)), degree, seed, 1), factor, rows: extended };
}

/** As many degrees as have an effect and as there is room for, none narrower than 2. */
const MOST_DEGREES = 12;

function degreeSketches(d: number, m: number, seed: number, { coefficient, degree, factor }: Series): Piece[] {
  const needs: { n: number; a: number; need: number; width: number }[] = [];
  for (let n = 1; n <= Math.min(degree, MOST_DEGREES); n++) {
    const a = coefficient(n);
    if (a !== 0) needs.push({ n, a, need: Math.abs(a) * Math.sqrt(2 + 3 ** n), width: 0 });
  }
  const a0 = coefficient(0);
  let left = m - Number(a0 !== 0);
  // The widest need is doubled first, from 0 to 2 to 4…; one that no longer fits is done with.
  const open = [...needs];
  while (open.length > 0) {
    const neediest = open.reduce((best, each) => (urgency(each) > urgency(best) ? each : best));
    const more = neediest.width === 0 ? 2 : neediest.width;
    if (more > left) {
      open.splice(open.indexOf(neediest), 1);
      continue;
    }
    neediest.width += more;
    left -= more;
  }
  const pieces = needs
    .filter(({ width }) => width > 0)
    .map(({ n, a, width }): Piece => {
      const size = Math.abs(a) ** (1 / (2 * n));
      return {
        ...sketch(d, width, n, streamSeed(seed, n), Math.sign(a)),
        factor,
        rows: (row) => row.map((value) => size * value),
      };
    });
  return a0 === 0 ? pieces : [constant(d, a0, factor), ...pieces];
}

/** need²/width, the variance to win; a degree that has nothing yet counts as one of width 1. */
function urgency({ need, width }: { readonly need: number; readonly width: number }): number {
  return need ** 2 / Math.max(1, width);
}

function constant(d: number, a0: number, factor: Series['factor']): Piece {
  return {
    d,
    features: 1,
    phi: () => Float64Array.of(Math.sqrt(Math.abs(a0))),
    signs: Int8Array.of(Math.sign(a0)),
    bytes: 8,
    flops: 0,
    factor,
    rows: (row) => row,
  };
}

function sketch(d: number, m: number, degree: number, seed: number, sign: number): Omit<Piece, 'rows' | 'factor'> {
  const logs = Math.log2(m);
  return {
    ...tensorSketchMap({ d, m, degree, seed }),
    signs: new Int8Array(m).fill(sign),
    bytes: 5 * d * degree,
    flops: degree === 1 ? 2 * d : degree * (2 * d + 5 * m * logs + 6 * m) + 5 * m * logs,
  };
}

/** All pieces side by side, their channels reordered so that those of sign + come first. */
function joined(kernel: Kernel, pieces: readonly Piece[]): SignedMap {
  const all = pieces.flatMap(({ signs }) => Array.from(signs));
  const order = all.map((_, r) => r).sort((a, b) => all[b] - all[a] || a - b);
  const place = new Int32Array(all.length);
  order.forEach((r, position) => {
    place[r] = position;
  });
  return {
    d: kernel.d,
    features: all.length,
    signs: Int8Array.from(order, (r) => all[r]),
    bytes: pieces.reduce((sum, { bytes }) => sum + bytes, 0),
    flops: pieces.reduce((sum, { flops }) => sum + flops, 0),
    phi: (x) => {
      const rows = splitRows(kernel, x);
      const out = new Float64Array(rows.length * all.length);
      rows.forEach((row, i) => {
        let first = 0;
        for (const { phi, rows: prepare, factor, features } of pieces) {
          const scale = factor ? factor(dot(row, row)) : 1;
          phi(prepare(row)).forEach((value, r) => {
            out[i * all.length + place[first + r]] = scale * value;
          });
          first += features;
        }
      });
      return out;
    },
  };
}

function seriesOf(method: string, kernel: Kernel): readonly Series[] {
  if (kernel.series) return kernel.series;
  throw new PerformersError(
    'PF411',
    `${method} cannot make features of the ${kernel.name} kernel: it is no power series in x·y`,
    {
      at: 'features.kernel',
      mend: 'use grff or gorf, which need it as a function of a distance only',
    },
  );
}

function tooFew(kernel: string, m: number, least: number): PerformersError {
  return new PerformersError('PF412', `m must be at least ${least} for the ${kernel} kernel's power series, got ${m}`, {
    at: 'features.m',
    mend: `use m = ${least} or more`,
  });
}
