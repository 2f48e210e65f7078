/**
 * PolySketch features (Kacham, Mirrokni and Zhong 2023, arXiv 2310.01655, Algorithms 1 and 2): a sketch of (x·y)ᵖ, p = 2, 4,
 * 8 …, whose products are never negative. From P¹(x) = x, with independent Gaussian G₁, G₂ of r rows at every step,
 *   P²ᵠ(x) = (G₁ P₁ᵠ(x)) ⊙ (G₂ P₂ᵠ(x)) / √r,   φ(x) = the products of pairs of entries of Pᵖᐟ²(x),   φ(x)·φ(y) = (Pᵖᐟ²(x)·Pᵖᐟ²(y))²
 * For queries and keys of a layer norm; attention of degree p, to be trained with, not an estimate of softmax.
 *
 * Shapes    x [N,d] → [N,r(r + 1)/2] ≤ m: a pair (a, b), a < b, comes once with weight √2, where the paper has r² columns.
 *           For p = 2 the map is exact and has d(d + 1)/2 features, whatever m.
 * Numerics  E Pᵖᐟ²(x)·Pᵖᐟ²(y) = (x·y)ᵖᐟ², so that the square is biased upwards by its variance: for p = 4
 *             E φ(x)·φ(y) = u⁴ + ((|x|²|y|² + 2u²)² − u⁴) / r,   u = x·y.
 *           Polynomials only; entries grow as |x|ᵖ.
 * Cost      p/2 products with G of width d and p/2 − 2 of width r: r(pd + (p − 4)⁺ r) + r² flops a row; 4r(pd + (p − 4)⁺ r)
 *           bytes (float64). The paper's own cost is lower by fast transforms for G, which r of some tens does not need.
 * METHODS A.19: read in code in its learned form. Verified here: u² at p = 2, the expectation above at p = 4 with its exact
 * variance. TensorSketch for G was not used: its hashed columns would make the bias above a bound.
 */
import { PerformersError } from '../errors.js';
import { checkCount, iidGaussian } from './gaussian.js';
import { streamSeed } from './rng.js';
import { project, type RowMap, type RowMapOptions, rowMap } from './row-map.js';

export interface PolysketchOptions extends Omit<RowMapOptions, 'sampler'> {
  /** p, a power of two ≥ 2. Default 4. */
  readonly degree?: number;
}

/** @throws PerformersError PF202 for m or d below 1, a degree that is no power of two ≥ 2, or a bad seed */
export function polysketch({ d, m, degree = 4, seed = 0 }: PolysketchOptions): RowMap {
  checkCount('m', m);
  checkCount('d', d);
  if (!(degree >= 2 && Number.isInteger(Math.log2(degree)))) {
    throw new PerformersError('PF202', `degree must be a power of two >= 2, got ${degree}`, {
      at: 'features.degree',
      mend: 'use degree = 4',
    });
  }
  const r = degree === 2 ? d : Math.floor((Math.sqrt(8 * m + 1) - 1) / 2);
  const sketch = signedSketch(d, r, degree / 2, seed);
  return rowMap(d, (r * (r + 1)) / 2, (row, into) => {
    const p = sketch(row);
    let next = 0;
    for (let a = 0; a < r; a++) {
      for (let b = a; b < r; b++) into[next++] = p[a] * p[b] * (a === b ? 1 : Math.SQRT2);
    }
  });
}

/** x [d] → Pᵠ(x), [d] for q = 1 and else [r]. Every node of the tree has its own stream of `seed`. */
function signedSketch(d: number, r: number, q: number, seed: number): (x: Float64Array) => Float64Array {
  if (q === 1) return (x) => x;
  const width = q === 2 ? d : r;
  const [left, right] = [0, 1].map((side) => {
    const gaussian = iidGaussian({ m: r, d: width, seed: streamSeed(seed, side) });
    const below = signedSketch(d, r, q / 2, streamSeed(seed, 2 + side));
    return (x: Float64Array) => {
      const p = below(x);
      return Float64Array.from({ length: r }, (_, c) => project(gaussian, p, c));
    };
  });
  return (x) => {
    const other = right(x);
    return left(x).map((value, c) => (value * other[c]) / Math.sqrt(r));
  };
}
