/**
 * Quasi-Monte Carlo features from a rank-1 lattice with a random shift (Cranley and Patterson 1976), as a sequence
 * (Hickernell, Hong, L'Ecuyer and Lemieux 2000): for i = 0, 1, …
 *   uᵢ = frac(φ₂(i) z + Δ),   Δ uniform,   ωᵢ = Φ⁻¹(uᵢ),   φ₂(i) the bits of i mirrored at the binary point
 * The first m = 2ᵏ points are the lattice { frac(j z / m + Δ) }; a larger m continues a smaller one, which frac(i z /
 * m) does not. The features are those of Yang, Sindhwani, Avron and Mahoney 2014, arXiv 1412.8293.
 *
 * The vector z was searched for this library, component by component (Cools, Kuo and Nuyens 2006): each zⱼ is the odd
 * number below 2¹³ with the least worst ratio, over m = 2⁴ … 2¹³, to the best possible at that m of the shift-averaged
 * squared error Σₖ Πⱼ (1 + B₂(frac(k zⱼ / m)) / j), B₂ the Bernoulli polynomial. Best with m a power of two ≤ 8192;
 * beyond that the points go on, but z was not chosen for it.
 *
 * Shapes    [m,d], d ≤ 128.
 * Numerics  u is (x + ½) / 2³² for a 32-bit integer x, never 0 or 1; integer arithmetic, the same bits everywhere.
 *           Over seeds each row is N(0, I_d) to 2⁻³³, so that estimates are unbiased; rows of one draw are dependent.
 *           Error on the RBF kernel over ORF's for |x − y| = 1: .61 at d = 8, m = 1024; at d = 16 1.05 there and .70 at 4096.
 * Cost      md inverse normals, about 40md flops, and 8md bytes; the product is dense, 2md flops a row of x.
 * METHODS marks the lattice as unverified: stratification, unbiasedness and the error beside ORF are tested here.
 */
import { PerformersError } from '../errors.js';
import { checkCount, type Draw } from './gaussian.js';
import { inverseNormal, uniforms } from './rng.js';

/** @throws PerformersError PF202 for a count below 1, a seed outside [0, 2³²) or d > 128 */
export function latticeGaussian({ m, d, seed }: Draw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  checkWidth(d, 'lattice', generator.length);
  const uniform = uniforms(seed);
  const shift = Array.from({ length: d }, () => Math.floor(uniform() * 2 ** 32));
  return latticePoints(m, d).map((x, i) => inverseNormal((((x + shift[i % d]) >>> 0) + 0.5) / 2 ** 32));
}

/** The lattice before its shift, as 32-bit fractions: 2³² frac(φ₂(i) z) [m,d]. */
export function latticePoints(m: number, d: number): Float64Array {
  const points = new Float64Array(m * d);
  for (let i = 0; i < m; i++) {
    const mirrored = reverseBits(i);
    for (let j = 0; j < d; j++) points[i * d + j] = Math.imul(mirrored, generator[j]) >>> 0;
  }
  return points;
}

/** The 32 bits of x in reverse order. */
export function reverseBits(x: number): number {
  let y = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  y = ((y >>> 2) & 0x33333333) | ((y & 0x33333333) << 2);
  y = ((y >>> 4) & 0x0f0f0f0f) | ((y & 0x0f0f0f0f) << 4);
  y = ((y >>> 8) & 0x00ff00ff) | ((y & 0x00ff00ff) << 8);
  return ((y >>> 16) | (y << 16)) >>> 0;
}

/** @throws PerformersError PF202 when the table of a quasi-random sequence ends before d */
export function checkWidth(d: number, sampler: 'lattice' | 'sobol', most: number): void {
  if (d <= most) return;
  throw new PerformersError('PF202', `d must be at most ${most} for the ${sampler} sampler, got ${d}`, {
    at: 'features.d',
    mend: "use the sampler 'orf', which takes any d",
  });
}

const generator: readonly number[] = [
  1, 715, 1833, 1299, 3493, 3705, 1475, 1677, 443, 1063, 3865, 1903, 2397, 2837, 3471, 3685, 1709, 3831, 669, 3549,
  2153, 3569, 4015, 2631, 1519, 1503, 3751, 571, 3167, 3027, 1797, 3639, 555, 2609, 2317, 1715, 701, 1185, 811, 227,
  3305, 1659, 2699, 3847, 3465, 1625, 153, 363, 663, 175, 207, 2429, 3851, 1975, 3045, 1351, 563, 2231, 805, 3919, 2207,
  3809, 2947, 2011, 523, 4065, 2643, 3375, 4049, 3295, 1469, 2529, 687, 313, 533, 1377, 1163, 1383, 1737, 1991, 1929,
  2097, 485, 1917, 3043, 475, 2257, 629, 387, 589, 151, 2809, 147, 835, 505, 2327, 1645, 913, 1981, 123, 155, 2071,
  2131, 1285, 2273, 1765, 2783, 753, 757, 1969, 1267, 1101, 739, 109, 1643, 3093, 725, 1209, 537, 2617, 489, 1315, 1443,
  2449, 1549, 197, 3721, 1507,
];
