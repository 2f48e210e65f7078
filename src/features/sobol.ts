/**
 * Quasi-Monte Carlo features from a scrambled Sobol' sequence (Sobol' 1967; features: Yang, Sindhwani, Avron and
 * Mahoney 2014, arXiv 1412.8293):
 *   uᵢ = scramble(XOR of v_c over the set bits c of i ^ (i >> 1)),   ωᵢ = Φ⁻¹(uᵢ)
 *   vₖ = mₖ 2³²⁻ᵏ for k ≤ s,   vₖ = vₖ₋ₛ ^ (vₖ₋ₛ >> s) ^ XOR of vₖ₋ᵢ over the set bits s − 1 − i of a, 0 < i < s
 * with the numbers of Joe and Kuo (sobol-directions.ts). Scrambling is Owen's (1995) nested one, by the hash of Laine
 * and Karras on mirrored bits with Burley's constants (2020, "Practical hash-based Owen scrambling").
 *
 * Shapes    [m,d], d ≤ 128. Use m = 2ᵏ: then every coordinate has one point in each of m cells. Ω for m is the head of
 *           Ω for any larger m with the same seed.
 * Numerics  u is (x + ½) / 2³² for a 32-bit integer x, never 0 or 1; integer arithmetic, the same bits everywhere.
 *           Over seeds each row is N(0, I_d) to 2⁻³³, so that estimates are unbiased; rows of one draw are dependent.
 *           Error on the RBF kernel over ORF's, measured at m = 1024: .10 at d = 4, .31 at d = 8 and .71 at d = 16 for
 *           |x − y| = 1; .22, .57 and .9 to 1.07 for |x − y| = 2. At d = 16 it gains from m = 1024 on near points and from m = 4096
 *           at |x − y| = 2, too (.80); below that ORF errs less (bench/README.md).
 * Cost      md inverse normals, about 40md flops, and 8md bytes; the product is dense, 2md flops a row of x.
 * METHODS marks the recursion as checked numerically; tests here check points by their (t,m,s)-net counts.
 */
import { checkCount, type Draw } from './gaussian.js';
import { checkWidth, reverseBits } from './lattice.js';
import { inverseNormal, uniforms } from './rng.js';
import { directions } from './sobol-directions.js';

const BITS = 32;

/** @throws PerformersError PF202 for a count below 1, a seed outside [0, 2³²) or d > 128 */
export function sobolGaussian(draw: Draw): Float64Array {
  return scrambledSobol(draw).map((x) => inverseNormal((x + 0.5) / 2 ** BITS));
}

/** The points before Φ⁻¹, scrambled, as 32-bit fractions [m,d]. */
export function scrambledSobol({ m, d, seed }: Draw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  const uniform = uniforms(seed);
  const keys = Array.from({ length: d }, () => Math.floor(uniform() * 2 ** BITS));
  return sobolPoints(m, d).map((x, i) => scramble(x, keys[i % d]));
}

/** The first m points of the sequence as published, not scrambled, as 32-bit fractions [m,d]. */
export function sobolPoints(m: number, d: number): Float64Array {
  const widest = directionVectors();
  checkWidth(d, 'sobol', widest.length);
  const points = new Float64Array(m * d);
  for (let j = 0; j < d; j++) {
    let x = 0;
    for (let i = 1; i < m; i++) {
      // From gray(i − 1) to gray(i) one bit changes: the lowest set bit of i.
      x ^= widest[j][31 - Math.clz32(i & -i)];
      points[i * d + j] = x >>> 0;
    }
  }
  return points;
}

let vectors: Uint32Array[] | undefined;

/** v₁ … v₃₂ of each dimension the table has, worked out once. */
function directionVectors(): Uint32Array[] {
  if (vectors) return vectors;
  vectors = [Uint32Array.from({ length: BITS }, (_, k) => 2 ** (BITS - 1 - k))];
  for (let at = 0; at < directions.length; at += 2 + directions[at]) {
    const [s, a] = [directions[at], directions[at + 1]];
    const v = new Uint32Array(BITS);
    for (let k = 0; k < BITS; k++) {
      if (k < s) {
        v[k] = directions[at + 2 + k] * 2 ** (BITS - 1 - k);
        continue;
      }
      v[k] = v[k - s] ^ (v[k - s] >>> s);
      for (let i = 1; i < s; i++) if ((a >>> (s - 1 - i)) & 1) v[k] ^= v[k - i];
    }
    vectors.push(v);
  }
  return vectors;
}

/** Flips each bit of x as a function of `key` and of the bits above it alone: cells of every size are permuted. */
function scramble(x: number, key: number): number {
  let y = (reverseBits(x) + key) | 0;
  y ^= Math.imul(y, 0x6c50b47c);
  y ^= Math.imul(y, 0xb82f1e52);
  y ^= Math.imul(y, 0xc7afe638);
  y ^= Math.imul(y, 0x8d22f6e6);
  return reverseBits(y);
}
