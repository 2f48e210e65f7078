/**
 * Kernel sums on features: F(y) = Σᵢ cᵢ k(xᵢ, y) ≈ φ(y)ᵀ S s, s = Σᵢ cᵢ φ(xᵢ). The data are seen once, and what is kept, s, is
 * M numbers however many there were; sums of two data sets add. Density estimation (KDE) is c = 1/n with a normalised kernel.
 *
 * ε-differential privacy (Dwork et al. 2006, Theorem 1, the Laplace mechanism): s with noise of law Laplace(B/ε) on every channel, B the largest
 * |c|‖φ(x)‖₁ of one row, is ε-private against adding or removing one row, and so is every query, for any number of queries. Rows beyond B are
 * shortened to it, so that the claim holds whatever the data are. Error of a query: variance 2(B/ε)² ‖φ(y)‖²; B grows as √M for cosine
 * features, so that more features mean more noise: there is a best M. Queries themselves are not private.
 * Limits: noise from float64 has gaps that Mironov (2012) shows can leak; and noise that can be repeated hides nothing, so that it comes from the
 * system's generator unless a test hands in its own.
 *
 * Shapes: rows x [n,d], weights c [n] → s [M]; F of queries [p,d] → [p].
 * Numerics: s is summed in float64 whatever the features are in.
 * Cost: M flops a row beyond its features to add it; 2M a query; 8M bytes.
 */
import type { SignedMap } from '../features/signed/signed-map.js';
import { checkPositive, checkTargets, wrong } from './quadratic.js';

export interface Privacy {
  /** ε > 0: the chance of any outcome changes at most by e^ε when a row comes or goes. */
  readonly epsilon: number;
  /** B: largest |c|‖φ(x)‖₁. Rows beyond it are shortened. √M for cosine and sine features. */
  readonly bound: number;
  /** Uniform on (0, 1), unpredictable. Default: 52 bits of crypto.getRandomValues. */
  readonly uniform?: () => number;
}

export interface KernelSumsOptions {
  /** cᵢ, one a row. Default 1. */
  readonly weights?: ArrayLike<number>;
  readonly privacy?: Privacy;
}

export interface KernelSums {
  /** s, noise included. */
  readonly sums: Float64Array; // [M]
  /** Scale of the Laplace noise on every channel; 0 without privacy. */
  readonly noise: number;
  /** Rows that were shortened to the bound. */
  readonly shortened: number;
  /** F(y) of rows y [p,d] → [p]. */
  readonly query: (y: ArrayLike<number>) => Float64Array;
}

type Map = Pick<SignedMap, 'd' | 'features' | 'phi' | 'signs'>;

/**
 * Sums over rows x [n,d].
 * @throws PerformersError PF202 for rows the map refuses, PF423 for weights, ε or bound that are none
 */
export function kernelSums(map: Map, x: ArrayLike<number>, { weights, privacy }: KernelSumsOptions = {}): KernelSums {
  const width = map.features;
  const n = x.length / map.d;
  if (privacy) {
    checkPositive('epsilon', privacy.epsilon);
    checkPositive('bound', privacy.bound);
  }
  const c = weights && checkTargets('weights', weights, n);
  const phi = map.phi(x);
  const sums = new Float64Array(width);
  let shortened = 0;
  for (let i = 0; i < n; i++) {
    const row = phi.subarray(i * width, (i + 1) * width);
    let factor = c ? c[i] : 1;
    if (privacy) {
      const norm = Math.abs(factor) * row.reduce((sum, value) => sum + Math.abs(value), 0);
      if (norm > privacy.bound) {
        factor *= privacy.bound / norm;
        shortened++;
      }
    }
    for (let r = 0; r < width; r++) sums[r] += factor * row[r];
  }
  const noise = privacy ? privacy.bound / privacy.epsilon : 0;
  if (privacy) {
    const uniform = privacy.uniform ?? systemUniform;
    for (let r = 0; r < width; r++) sums[r] += laplace(noise, uniform());
  }
  const query = (y: ArrayLike<number>): Float64Array => {
    const rows = map.phi(y);
    return Float64Array.from({ length: rows.length / width }, (_, i) => {
      let sum = 0;
      for (let r = 0; r < width; r++) sum += map.signs[r] * sums[r] * rows[i * width + r];
      return sum;
    });
  };
  return { sums, noise, shortened, query };
}

/** Number of Laplace law with density exp(−|t|/scale) / 2scale, by the inverse of its distribution function. */
export function laplace(scale: number, uniform: number): number {
  if (!(uniform > 0 && uniform < 1))
    throw wrong('uniform', `uniform must lie in (0, 1), got ${uniform}`, 'draw from the open interval');
  return uniform < 0.5 ? scale * Math.log(2 * uniform) : -scale * Math.log(2 * (1 - uniform));
}

function systemUniform(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return ((high >>> 6) * 2 ** 26 + (low >>> 6) + 0.5) / 2 ** 52;
}
