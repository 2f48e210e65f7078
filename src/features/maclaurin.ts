/**
 * Random Maclaurin features (Kar and Karnick 2012, "Random Feature Maps for Dot Product Kernels", Algorithm 1) of
 * f(x·y) = Σₙ aₙ (x·y)ⁿ: channel r draws a degree N with P(N = n) = 2⁻⁽ⁿ⁺¹⁾ and N vectors of random signs,
 *   φ(x)ᵣ = √(|a_N| / (M P(N))) Πⱼ (wⱼ·x),   Sᵣ = sign a_N,   E φ(x)ᵀ S φ(y) = f(x·y)
 * Degrees with aₙ = 0 are not drawn: P is renormalised over the others. The paper asks for aₙ ≥ 0; the sign lifts that.
 * M·Var = Σ aₙ²/P(n) V₁ⁿ − f²,  V₁ = |x|²|y|² + 2((x·y)² − Σ xₗ²yₗ²)  (METHODS C.4: read in code and checked; tested here).
 * P ∝ |aₙ| instead has the least variance for V₁ = 1 and is offered as `degrees: 'by-weight'`.
 *
 * Shapes    x [N,d] → [N,M], channels of positive sign first.
 * Numerics  products of up to 52 dot products: heavy tails, and growth as |x|²ᴺ for |x| > 1.
 * Cost      2d flops and d bytes (signs) for each factor, on average one factor a channel.
 */
import { PerformersError } from '../errors.js';
import { drawIndex } from './draw-index.js';
import { checkCount } from './gaussian.js';
import { streamSeed, uniforms } from './rng.js';
import { type RowMap, rowMap } from './row-map.js';
import { randomSigns } from './walsh-hadamard.js';

export interface MaclaurinOptions {
  readonly d: number;
  readonly m: number;
  /** Default 0. */
  readonly seed?: number;
  /** aₙ of f. Default that of exp, 1/n!: the softmax kernel. */
  readonly coefficient?: (n: number) => number;
  /** The last n with aₙ ≠ 0. Default Infinity. */
  readonly degree?: number;
  /** P(n) ∝ 2⁻ⁿ as in the paper (default), or ∝ |aₙ|. */
  readonly degrees?: 'geometric' | 'by-weight';
}

export interface SignedRowMap extends RowMap {
  readonly signs: Int8Array; // [features]
  readonly bytes: number;
  readonly flops: number;
}

/** Degrees beyond this have probability below 2⁻⁵², which no uniform number can tell from 0. */
const LAST = 51;

/** @throws PerformersError PF202 for bad d, m or seed, PF411 when no coefficient is different from 0 */
export function maclaurin({
  d,
  m,
  seed = 0,
  coefficient = inverseFactorial,
  degree = Infinity,
  degrees = 'geometric',
}: MaclaurinOptions): SignedRowMap {
  checkCount('d', d);
  checkCount('m', m);
  const law = degreeLaw(coefficient, Math.min(degree, LAST), degrees);
  const uniform = uniforms(streamSeed(seed, 0));
  const channels = Array.from({ length: m }, () => law.draw(uniform()));
  const signOf = (n: number) => Math.sign(coefficient(n));
  channels.sort((a, b) => signOf(b) - signOf(a));
  const bits = uniforms(streamSeed(seed, 1));
  const factors = channels.map((n) => Array.from({ length: n }, () => randomSigns(d, bits)));
  const size = channels.map((n) => Math.sqrt(Math.abs(coefficient(n)) / (m * law.probability(n))));
  const total = channels.reduce((sum, n) => sum + n, 0);
  return {
    ...rowMap(d, m, (row, into) => {
      factors.forEach((vectors, r) => {
        into[r] = vectors.reduce((product, w) => product * project(w, row), size[r]);
      });
    }),
    signs: Int8Array.from(channels, signOf),
    bytes: total * d + 8 * m,
    flops: total * (2 * d + 1),
  };
}

function project(w: Float64Array, row: Float64Array): number {
  let sum = 0;
  for (let l = 0; l < row.length; l++) sum += w[l] * row[l];
  return sum;
}

interface DegreeLaw {
  readonly draw: (u: number) => number;
  readonly probability: (n: number) => number;
}

export function degreeLaw(
  coefficient: (n: number) => number,
  last: number,
  degrees: 'geometric' | 'by-weight',
): DegreeLaw {
  const weight = Array.from({ length: last + 1 }, (_, n) => {
    const size = Math.abs(coefficient(n));
    return size === 0 ? 0 : degrees === 'geometric' ? 2 ** -(n + 1) : size;
  });
  const sum = weight.reduce((all, value) => all + value, 0);
  if (!(sum > 0 && sum < Infinity)) {
    throw new PerformersError(
      'PF411',
      `the power series must have finite coefficients, not all 0; they sum to ${sum}`,
      {
        at: 'features.coefficient',
        mend: 'pass the Taylor coefficients of the kernel as a function of x·y',
      },
    );
  }
  return {
    probability: (n) => weight[n] / sum,
    draw: (u) => drawIndex(weight, u),
  };
}

function inverseFactorial(n: number): number {
  let value = 1;
  for (let k = 2; k <= n; k++) value /= k;
  return value;
}
