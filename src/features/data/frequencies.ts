/**
 * Samplers that look at data choose frequencies, and how much each counts, from a pool of P drawn without looking:
 *   k̂(x, y) = Σᵣ aᵣ² cos(ωᵣ·(x − y)),   φ(x) = [aᵣ cos ωᵣ·x ; aᵣ sin ωᵣ·x]
 * A pool row is ε/σ, ε from any sampler of N(0, I): the law of the Gaussian kernel exp(−|x − y|²/2σ²).
 * A cosine and its sine go together: the score of a frequency is the sum of those of its two features, so that scores do
 * not depend on where the origin of x is.
 */
import { PerformersError } from '../../errors.js';
import { drawIndex } from '../draw-index.js';
import { checkCount, type Sampler } from '../gaussian.js';
import { orthogonalGaussian } from '../orf.js';
import { streamSeed, uniforms } from '../rng.js';
import { fourierMap } from '../signed/fourier.js';
import type { SignedMap } from '../signed/signed-map.js';

/** What the map is made from: cosines and sines of these frequencies, of these amplitudes. */
export interface Frequencies {
  readonly omega: Float64Array; // [m,d]
  readonly amplitude: Float64Array; // [m]
}

export interface DataOptions {
  readonly d: number;
  /** Frequencies to keep: 2m features. */
  readonly m: number;
  /** What the features will be used on, or a sample of it. */
  readonly rows: ArrayLike<number>; // [n,d]
  /** What is to be predicted, ±1 for two classes; samplers that use no labels ignore it. */
  readonly labels?: ArrayLike<number>; // [n]
  /** Bandwidth of the Gaussian kernel, > 0. Default √d, fit for coordinates of unit size. */
  readonly sigma?: number;
  /** Frequencies to choose from, P ≥ m. Default 10 m. */
  readonly pool?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Draws the pool. Default `orthogonalGaussian`. */
  readonly sampler?: Sampler;
}

/** Chooses frequencies by looking at data. The same options give the same frequencies everywhere to rounding of exp and cos. */
export type DataSampler = (options: DataOptions) => Frequencies;

/** The map of chosen frequencies: x [N,d] → [N,2m], cosines then sines. */
export function frequencyMap(d: number, { omega, amplitude }: Frequencies): SignedMap {
  const none = new Float64Array(0);
  return fourierMap(
    { d, domain: 'space', name: 'rbf' },
    { positive: { constant: 0, omega, amplitude }, negative: { constant: 0, omega: none, amplitude: none } },
  );
}

/** A pool of frequencies and what it is on the rows. */
export interface Pool {
  readonly size: number;
  readonly omega: Float64Array; // [P,d]
  readonly rows: Float64Array; // [n,d]
  readonly labels: Float64Array; // [n], empty where none were asked for
  /** cos ωᵣ·xᵢ, then sin ωᵣ·xᵢ. */
  readonly cos: Float64Array; // [P,n]
  readonly sin: Float64Array; // [P,n]
}

/**
 * Checks the options and draws the pool.
 * @throws PerformersError PF202 for a bad d, m, pool, sigma or seed, PF401 for rows or labels of a wrong shape or not finite,
 * PF402 for a pool smaller than m
 */
export function drawPool(options: DataOptions, needs: 'rows' | 'labels'): Pool {
  const { d, m, sigma = Math.sqrt(d), pool = 10 * m, seed = 0, sampler = orthogonalGaussian } = options;
  checkCount('d', d);
  checkCount('m', m);
  checkCount('pool', pool);
  checkScale('sigma', sigma);
  if (pool < m) {
    throw new PerformersError('PF402', `the pool must have at least m = ${m} frequencies, got ${pool}`, {
      at: 'features.pool',
      mend: `use pool = ${10 * m}`,
    });
  }
  const rows = finite('rows', options.rows, d);
  const n = rows.length / d;
  const labels = needs === 'labels' ? checkLabels(options.labels, n) : new Float64Array(0);
  const omega = sampler({ m: pool, d, seed: streamSeed(seed, 0) }).map((value) => value / sigma);
  const cos = new Float64Array(pool * n);
  const sin = new Float64Array(pool * n);
  for (let r = 0; r < pool; r++) {
    for (let i = 0; i < n; i++) {
      let angle = 0;
      for (let l = 0; l < d; l++) angle += omega[r * d + l] * rows[i * d + l];
      cos[r * n + i] = Math.cos(angle);
      sin[r * n + i] = Math.sin(angle);
    }
  }
  return { size: pool, omega, rows, labels, cos, sin };
}

/** |Σᵢ yᵢ exp(iωᵣ·xᵢ)|² of every frequency of the pool: how much of the labels it explains. */
export function alignments({ size, labels, cos, sin }: Pool): Float64Array {
  const n = labels.length;
  return Float64Array.from({ length: size }, (_, r) => {
    let [real, imaginary] = [0, 0];
    for (let i = 0; i < n; i++) {
      real += labels[i] * cos[r * n + i];
      imaginary += labels[i] * sin[r * n + i];
    }
    return real * real + imaginary * imaginary;
  });
}

/** Draws m of the pool with replacement, with probability ∝ weights ≥ 0: which, and how probable each was. */
export function drawFrom(weights: Float64Array, { m, seed = 0 }: DataOptions) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const uniform = uniforms(streamSeed(seed, 1));
  return Array.from({ length: m }, () => {
    const index = drawIndex(weights, uniform());
    return { index, probability: weights[index] / total };
  });
}

/** m frequencies drawn ∝ scores, each counted 1/(m P q) for having been drawn with q: k̂ keeps its expectation. */
export function importanceSample(pool: Pool, scores: Float64Array, options: DataOptions): Frequencies {
  if (!scores.some((score) => score > 0)) {
    throw new PerformersError('PF403', 'no frequency of the pool has a score above 0', {
      at: 'features.lambda',
      mend: 'use a smaller lambda: at this one the data have no effective dimension',
    });
  }
  const drawn = drawFrom(scores, options);
  return {
    omega: rowsAt(
      pool.omega,
      drawn.map(({ index }) => index),
      options.d,
    ),
    amplitude: Float64Array.from(drawn, ({ probability }) => 1 / Math.sqrt(options.m * pool.size * probability)),
  };
}

/** The rows of a [n,d] at `indices` [m,d]. */
export function rowsAt(a: Float64Array, indices: ArrayLike<number>, d: number): Float64Array {
  const out = new Float64Array(indices.length * d);
  for (let r = 0; r < indices.length; r++) out.set(a.subarray(indices[r] * d, (indices[r] + 1) * d), r * d);
  return out;
}

/** Rows [n,d], n ≥ 1, as float64. @throws PerformersError PF401 */
export function finite(name: 'rows' | 'weights', values: ArrayLike<number>, d: number): Float64Array {
  if (values.length === 0 || values.length % d !== 0) {
    throw new PerformersError('PF401', `${name} must be rows of d = ${d} numbers, got ${values.length} numbers`, {
      at: `features.${name}`,
      mend: `pass at least one whole row of width ${d}, row by row`,
    });
  }
  return checkFinite(name, values);
}

function checkLabels(labels: ArrayLike<number> | undefined, n: number): Float64Array {
  if (labels?.length !== n) {
    throw new PerformersError(
      'PF401',
      `labels must be one number a row, ${n} of them, got ${labels?.length ?? 'none'}`,
      {
        at: 'features.labels',
        mend: 'pass the number to predict for each row, such as 1 and -1 for two classes, or a sampler that takes no labels',
      },
    );
  }
  const values = checkFinite('labels', labels);
  if (values.some((value) => value !== 0)) return values;
  throw new PerformersError('PF403', 'labels must not all be 0: nothing tells frequencies apart', {
    at: 'features.labels',
    mend: 'pass labels such as 1 and -1, not 0 for every row',
  });
}

function checkFinite(name: string, values: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: values.length }, (_, i) => {
    if (Number.isFinite(values[i])) return values[i];
    throw new PerformersError('PF401', `${name}[${i}] must be finite, got ${values[i]}`, {
      at: `features.${name}`,
      mend: 'drop rows that are NaN or infinite, with their labels',
    });
  });
}

/** @throws PerformersError PF202 unless `value` is finite and > 0 */
export function checkScale(name: 'sigma' | 'lambda', value: number): void {
  if (value > 0 && value < Infinity) return;
  throw new PerformersError('PF202', `${name} must be finite and > 0, got ${value}`, {
    at: `features.${name}`,
    mend: {
      sigma: 'use a bandwidth of the order of the distances between rows',
      lambda: 'use the ridge of the regression to come, such as lambda = 0.001',
    }[name],
  });
}
