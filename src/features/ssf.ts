/**
 * Spherical structured features, SSF (Lyu 2017, "Spherical structured feature maps for kernel approximation", ICML,
 * PMLR 70): directions are the 2n points on the sphere of 2h = d dimensions that a choice Λ of h rows of the discrete
 * Fourier transform of n points makes, with the Riesz energy of the set small:
 *   vⱼ = h^−½ [cos(2πkj/n), sin(2πkj/n)]ₖ,   wⱼ = h^−½ [−sin(2πkj/n), cos(2πkj/n)]ₖ,   k ∈ Λ,   j = 0 … n − 1
 *   Ω = diag(ρ) [v₀, w₀, v₁, w₁, …] Q,   Q Haar,   ρ independent χ(d)
 * The paper searches Λ by coordinate descent. Here n is the least odd prime with h | n − 1 and Λ the subgroup of order h
 * of its units, which needs no search: inner products of points are then Gauss periods over h, at most √n / h.
 *
 * Shapes    a block has 2n > d rows, for any d; an odd d is padded by one. Blocks are independent, the last is cut short.
 *           n is 97 at d = 64, 257 at 512, but 7681 at 1024: `sphericalSet` tells.
 * Numerics  Q makes every direction uniform: each row is N(0, I_d) exactly and estimates are unbiased, where the paper's
 *           fixed set is so in the limit of many points. A whole block is a tight frame, Σ ωωᵀ/ρ² = (2n/d) I, as those of
 *           ORF are: the error on the RBF kernel is ORF's, measured .94 to 1.03 of it in whole blocks at d = 4 … 32, and
 *           up to 1.22 of it where the last block is cut: use a multiple of 2n (`sphericalSet`).
 *           Only + − × ÷ √ to draw: the same bits everywhere.
 * Cost      `ssfApply`: 2d² flops for Q x once a block, then a Fourier transform of n points, about 10p log₂ p flops,
 *           p the least power of two ≥ 2n − 1: for large d half of the dense product, not O(m log d), which the exact
 *           marginals cost; 8d² + 32p bytes a block. Dense: 2md flops, 8md bytes.
 * METHODS marks SSF as unverified. Tests here verify the frame, the coherence, the marginals, the product and the error.
 * The number of the equation in the paper was not at hand.
 */
import { convolver } from './fft.js';
import type { Draw } from './gaussian.js';
import { checkCount } from './gaussian.js';
import { orthonormalRows } from './orf.js';
import { gaussians, streamSeed } from './rng.js';
import { rootsOfUnity } from './roots-of-unity.js';
import { type Apply, applyBlocks, type Block, chi } from './structured.js';
import { paddedWidth } from './walsh-hadamard.js';

/** The rows of the transform that a width takes. */
export interface SphericalSet {
  /** Points of the transform: half the rows of a block. */
  readonly n: number;
  /** Λ [h], 2h ≥ d. */
  readonly rows: readonly number[];
}

/** The least odd prime n with h | n − 1, h = ⌈d/2⌉, and the subgroup of order h of its units. */
export function sphericalSet(d: number): SphericalSet {
  const h = Math.ceil(d / 2);
  let n = h + 1;
  while (n < 3 || !isPrime(n)) n += h;
  // x^((n − 1)/h) runs through the subgroup; a generator of it is the first whose powers do not close early.
  for (let x = 1; ; x++) {
    const rows = powers(power(x, (n - 1) / h, n), n);
    if (rows.length === h) return { n, rows };
  }
}

/** What one block is made of: a rotation [2h,d] and a norm for each of its 2n rows. */
export interface SphericalBlock extends SphericalSet {
  readonly rotation: Float64Array;
  readonly norms: Float64Array;
}

export function sphericalBlock(d: number, seed: number): SphericalBlock {
  const { n, rows } = sphericalSet(d);
  const width = 2 * rows.length;
  const square = orthonormalRows({ m: width, d: width, seed: streamSeed(seed, 0) });
  const normal = gaussians(streamSeed(seed, 1));
  return {
    n,
    rows,
    rotation: Float64Array.from({ length: width * d }, (_, i) => square[Math.floor(i / d) * width + (i % d)]),
    norms: Float64Array.from({ length: 2 * n }, () => chi(width, normal)),
  };
}

/** @throws PerformersError PF202 for a count below 1 or a seed outside [0, 2³²) */
export function sphericalStructured({ m, d, seed }: Draw): Float64Array {
  checkCount('m', m);
  checkCount('d', d);
  const { n } = sphericalSet(d);
  const { re, im } = rootsOfUnity(n);
  const omega = new Float64Array(m * d);
  for (let start = 0; start < m; start += 2 * n) {
    const { rows, rotation, norms } = sphericalBlock(d, streamSeed(seed, start / (2 * n)));
    const h = rows.length;
    for (let r = start; r < Math.min(m, start + 2 * n); r++) {
      const j = (r - start) >> 1;
      const size = norms[r - start] / Math.sqrt(h);
      for (let k = 0; k < h; k++) {
        const at = (rows[k] * j) % n;
        const [first, second] = (r - start) % 2 === 0 ? [re[at], im[at]] : [-im[at], re[at]];
        for (let c = 0; c < d; c++) {
          omega[r * d + c] += size * (first * rotation[k * d + c] + second * rotation[(h + k) * d + c]);
        }
      }
    }
  }
  return omega;
}

/** The product with the Ω of `sphericalStructured`, by a rotation and Bluestein's transform of n points. */
export function ssfApply(draw: Draw): Apply {
  return applyBlocks(draw, (d, seed) => sphericalProduct(d, sphericalBlock(d, seed)));
}

/**
 * With u = Qx and zₖ = uₖ − i uₕ₊ₖ, the products with vⱼ and wⱼ are the real part and minus the imaginary part of
 * h^−½ Σₖ zₖ exp(2πikj/n), and kj = (k² + j² − (j − k)²)/2 makes the sum a convolution (Bluestein 1970).
 */
function sphericalProduct(d: number, { n, rows, rotation, norms }: SphericalBlock): Block {
  const h = rows.length;
  const p = paddedWidth(2 * n - 1);
  const chirp = rootsOfUnity(2 * n); // exp(πi k²/n) at k² mod 2n
  const at = (k: number) => (k * k) % (2 * n);
  const hRe = new Float64Array(p);
  const hIm = new Float64Array(p);
  for (let k = 1 - n; k < n; k++) {
    hRe[(k + p) % p] = chirp.re[at(k)];
    hIm[(k + p) % p] = -chirp.im[at(k)];
  }
  const convolve = convolver(hRe, hIm);
  const re = new Float64Array(p);
  const im = new Float64Array(p);
  const y = new Float64Array(2 * n);
  return {
    height: 2 * n,
    product: (x) => {
      re.fill(0);
      im.fill(0);
      for (let k = 0; k < h; k++) {
        let a = 0;
        let b = 0;
        for (let c = 0; c < d; c++) {
          a += rotation[k * d + c] * x[c];
          b -= rotation[(h + k) * d + c] * x[c];
        }
        const [cos, sin] = [chirp.re[at(rows[k])], chirp.im[at(rows[k])]];
        re[rows[k]] = a * cos - b * sin;
        im[rows[k]] = a * sin + b * cos;
      }
      convolve(re, im);
      for (let j = 0; j < n; j++) {
        const [cos, sin] = [chirp.re[at(j)], chirp.im[at(j)]];
        y[2 * j] = ((re[j] * cos - im[j] * sin) * norms[2 * j]) / Math.sqrt(h);
        y[2 * j + 1] = (-(re[j] * sin + im[j] * cos) * norms[2 * j + 1]) / Math.sqrt(h);
      }
      return y;
    },
  };
}

function isPrime(n: number): boolean {
  for (let p = 2; p * p <= n; p++) if (n % p === 0) return false;
  return true;
}

/** x^e mod n; exact while n < 2²⁶. */
function power(x: number, e: number, n: number): number {
  let product = 1;
  for (let i = 0; i < e; i++) product = (product * x) % n;
  return product;
}

/** 1, x, x², … mod n until it closes. */
function powers(x: number, n: number): number[] {
  const found = [1];
  for (let y = x % n; y !== 1; y = (y * x) % n) found.push(y);
  return found;
}
