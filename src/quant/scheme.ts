/**
 * What every low-bit scheme is: a codebook of at most 2^b unit levels, the cuts between them, and one scale a matrix. So one
 * decoder serves all of them, and they differ in levels, cuts and scale alone:
 *   x̂ = scale·levels[code],  code = number of cuts ≤ x / scale   (rounding schemes)
 *   x̂ = scale·levels[code or code + 1] with E[x̂] = x             (stochastic scheme)
 * Levels are a function of the width alone: they cost nothing to store. A matrix of n numbers is ⌈n·b / 8⌉ + 4 bytes.
 *
 * Shapes: values [rows,cols], row-major. Numerics: the scale is float32, because that is how it is stored.
 * Cost: log₂(levels) comparisons a number to quantise, one look-up and a product to dequantise.
 */
import { PerformersError } from '../errors.js';
import { streamSeed, uniforms } from '../features/rng.js';
import { checkBits, packCodes, packedBytes, unpackCodes } from './pack.js';

export interface Scheme {
  /** In the header of a file. Never reused. */
  readonly id: number;
  /** What it is for, and so what `budget` speaks of. */
  readonly of: 'features' | 'frequencies' | 'weights';
  /** Bits a number it is defined for, rising. */
  readonly widths: readonly number[];
  /** Unit levels, rising; at most 2^bits. */
  readonly levels: (bits: number) => Float64Array;
  /** Between levels l and l + 1, for x / scale; one fewer than the levels. 'stochastic': the level below or above, so that E[x̂] = x. */
  readonly cuts: ((bits: number) => Float64Array) | 'stochastic';
  /** The scale of a matrix. `range` is the bound of |x| where the caller knows one, such as √(2/m) of cosine features. */
  readonly scale: (values: Float64Array, bits: number, range?: number) => number;
  /** Values beyond the range are moved to it rather than refused: quantisers of Gaussian or trained numbers clip. */
  readonly clips: boolean;
  /** Which side of a kernel estimate is stored in low bits. 'keys': the other stays real. */
  readonly sides: 'both' | 'keys';
  /** E[k̂] is the kernel of the unquantised map. */
  readonly unbiased: boolean;
  /** Largest error by width, at most twice the measured one; see test/quant/budget.test.ts. */
  readonly budget: Readonly<Record<number, number>>;
}

export interface Quantized {
  readonly scheme: Scheme;
  readonly bits: number;
  readonly rows: number;
  readonly cols: number;
  /** float32 */
  readonly scale: number;
  readonly data: Uint8Array; // ⌈rows·cols·bits / 8⌉
}

export interface QuantizeOptions {
  readonly scheme: Scheme;
  readonly bits: number;
  readonly rows: number;
  readonly cols: number;
  /** Bound of |x|. Default: what the scheme takes from the values. */
  readonly range?: number;
  /** Of stochastic rounding, in [0, 2³²). Default 0. Row r uses stream r of it, so that rows are rounded independently. */
  readonly seed?: number;
  /** Number of the first row, for matrices quantised a piece at a time. Default 0. */
  readonly firstRow?: number;
}

/** @throws PerformersError PF420 for a width, range, shape or value that does not fit */
export function quantize(values: ArrayLike<number>, options: QuantizeOptions): Quantized {
  const { scheme, rows, cols, seed = 0, firstRow = 0 } = options;
  const bits = checkBits(options.bits, scheme.widths);
  const x = checkValues(values, rows, cols);
  if (options.range !== undefined && !(options.range > 0 && Number.isFinite(options.range))) {
    throw new PerformersError('PF420', `range must be a positive number, got ${options.range}`, {
      at: 'quant.range',
      mend: 'give the bound of |x|, such as Math.sqrt(2 / m) for cosine features, or leave it out',
    });
  }
  const scale = roundUp(scheme.scale(x, bits, options.range));
  const levels = scheme.levels(bits);
  const cuts = scheme.cuts === 'stochastic' ? undefined : scheme.cuts(bits);
  const codes = new Uint8Array(x.length);
  for (let r = 0; r < rows; r++) {
    const uniform = cuts ? undefined : uniforms(streamSeed(seed, firstRow + r));
    for (let i = r * cols; i < (r + 1) * cols; i++) {
      if (!scheme.clips && Math.abs(x[i]) > scale) throw outOfRange(i, x[i], scale);
      // A matrix of zeros has no scale: any code decodes to 0.
      const unit = scale === 0 ? 0 : x[i] / scale;
      codes[i] = cuts ? countBelow(cuts, unit) : stochasticCode(levels, unit, uniform?.() ?? 0);
    }
  }
  return { scheme, bits, rows, cols, scale, data: packCodes(codes, bits) };
}

/** Rows [from, to) of a quantised matrix as numbers, all by default. */
export function dequantize(matrix: Quantized, from = 0, to = matrix.rows): Float64Array {
  const { scheme, bits, cols, scale, data } = matrix;
  const levels = scheme.levels(bits).map((level) => level * scale);
  const codes = unpackCodes(data, bits, from * cols, to * cols);
  return Float64Array.from(codes, (code) => {
    if (code < levels.length) return levels[code];
    throw new PerformersError('PF421', `code ${code} is beyond the ${levels.length} levels of ${bits} bits`, {
      at: 'quant.data',
      mend: 'the bytes were written by another scheme, or changed since; quantise again',
    });
  });
}

/** ⌈rows·cols·bits / 8⌉ + 4: codes and scale. */
export function quantizedBytes({ rows, cols, bits }: Pick<Quantized, 'rows' | 'cols' | 'bits'>): number {
  return packedBytes(rows * cols, bits) + 4;
}

/**
 * Scores of real queries against stored keys, k̂ = q·x̂: queries [n,cols] → [n,rows]. A key is decoded once, and never are all.
 * @throws PerformersError PF420 unless the queries are whole rows of finite numbers
 */
export function scores(queries: ArrayLike<number>, keys: Quantized): Float64Array {
  const { rows, cols } = keys;
  const n = queries.length / cols;
  const q = checkValues(queries, n, cols);
  const out = new Float64Array(n * rows);
  for (let j = 0; j < rows; j++) {
    const key = dequantize(keys, j, j + 1);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum += q[i * cols + c] * key[c];
      out[i * rows + j] = sum;
    }
  }
  return out;
}

/** 2^bits levels at equal steps from −1 to 1. */
export function uniformLevels(bits: number): Float64Array {
  const last = 2 ** bits - 1;
  return Float64Array.from({ length: last + 1 }, (_, code) => -1 + (2 * code) / last);
}

/** Half way between neighbours: rounding to the nearest. */
export function midpoints(levels: Float64Array): Float64Array {
  return levels.subarray(1).map((level, i) => (level + levels[i]) / 2);
}

export function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** A float32 not below `value`, or the largest number would lie outside its own range. */
function roundUp(value: number): number {
  const near = Math.fround(value);
  return near >= value ? near : Math.fround(value * (1 + 2 ** -23));
}

function countBelow(cuts: Float64Array, value: number): number {
  let [low, high] = [0, cuts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cuts[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The level below or above `value`, above with probability (value − below) / (above − below). */
function stochasticCode(levels: Float64Array, value: number, uniform: number): number {
  const below = Math.min(Math.max(countBelow(levels, value) - 1, 0), levels.length - 2);
  return uniform < (value - levels[below]) / (levels[below + 1] - levels[below]) ? below + 1 : below;
}

function checkValues(values: ArrayLike<number>, rows: number, cols: number): Float64Array {
  if (!Number.isInteger(rows) || rows < 0 || !Number.isInteger(cols) || cols < 1 || values.length !== rows * cols) {
    throw new PerformersError('PF420', `values must be rows x cols = ${rows} x ${cols} numbers, got ${values.length}`, {
      at: 'quant.values',
      mend: 'pass whole rows, and the number of columns of the matrix that was quantised',
    });
  }
  return Float64Array.from({ length: values.length }, (_, i) => {
    if (Number.isFinite(values[i])) return values[i];
    throw new PerformersError('PF420', `values[${i}] must be finite, got ${values[i]}`, {
      at: 'quant.values',
      mend: 'mask or drop rows that are NaN or infinite',
    });
  });
}

function outOfRange(i: number, value: number, range: number): PerformersError {
  return new PerformersError('PF420', `values[${i}] must lie in [-${range}, ${range}], got ${value}`, {
    at: 'quant.range',
    mend: 'give a range that holds every value, or leave it out',
  });
}
