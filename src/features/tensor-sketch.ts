/**
 * Tensor sketch of a polynomial kernel (Pham and Pagh 2013, "Fast and Scalable Polynomial Kernels via Explicit Feature Maps",
 * Algorithm 1): p count sketches of x, with hashes hⱼ and signs sⱼ, convolved. A convolution is a product of Fourier transforms:
 *   Cⱼ x[b] = Σ_{hⱼ(l) = b} sⱼ(l) xₗ,   φ(x) = F⁻¹(F C₁x ∘ … ∘ F C_p x),   E φ(x)·φ(y) = (x·y)^p
 * It is the count sketch of x⊗…⊗x with hash Σ hⱼ mod m and sign Π sⱼ, at the cost of one of x. The variance is at most
 * (2 + 3^p) |x|^2p |y|^2p / m (Avron, Nguyen and Woodruff 2014, Lemma 2; METHODS C.4: checked numerically; tested here).
 *
 * Shapes    x [N,d] → [N,m], m a power of two for the transform; φ is real and of either sign.
 * Numerics  |x|^p grows and falls fast: unit rows. Bits may differ in the last place between engines (features/fft.ts).
 * Cost      p(2d + 5m log₂ m) + 6pm + 5m log₂ m flops a row, 5pd bytes (hash and sign).
 */
import { PerformersError } from '../errors.js';
import { fft } from './fft.js';
import { checkCount } from './gaussian.js';
import { streamSeed, uniforms } from './rng.js';
import { type RowMap, rowMap } from './row-map.js';
import { randomSigns } from './walsh-hadamard.js';

export interface TensorSketchOptions {
  readonly d: number;
  /** A power of two. */
  readonly m: number;
  /** p ≥ 1. */
  readonly degree: number;
  /** Default 0. */
  readonly seed?: number;
}

/** @throws PerformersError PF202 for bad d, m, degree or seed */
export function tensorSketch({ d, m, degree, seed = 0 }: TensorSketchOptions): RowMap {
  checkCount('d', d);
  checkCount('m', m);
  const padded = 2 ** Math.ceil(Math.log2(m));
  if (padded !== m) {
    throw new PerformersError('PF202', `m must be a power of two for a tensor sketch, got ${m}`, {
      at: 'features.m',
      mend: `use m = ${padded}, or ${padded / 2}`,
    });
  }
  if (!Number.isInteger(degree) || degree < 1) {
    throw new PerformersError('PF202', `degree must be an integer >= 1, got ${degree}`, {
      at: 'features.degree',
      mend: 'use degree = 2 for squared dot products',
    });
  }
  const sketches = Array.from({ length: degree }, (_, j) => {
    const uniform = uniforms(streamSeed(seed, j));
    return { bucket: Array.from({ length: d }, () => Math.floor(uniform() * m)), sign: randomSigns(d, uniform) };
  });
  return rowMap(d, m, (row, into) => {
    const re = new Float64Array(m).fill(1);
    const im = new Float64Array(m);
    for (const { bucket, sign } of sketches) {
      const real = new Float64Array(m);
      const imaginary = new Float64Array(m);
      for (let l = 0; l < d; l++) real[bucket[l]] += sign[l] * row[l];
      if (degree === 1) {
        into.set(real);
        return;
      }
      fft(real, imaginary);
      for (let k = 0; k < m; k++) {
        [re[k], im[k]] = [re[k] * real[k] - im[k] * imaginary[k], re[k] * imaginary[k] + im[k] * real[k]];
      }
    }
    // The inverse by a forward transform: F⁻¹X[n] = F X[−n mod m] / m.
    fft(re, im);
    for (let n = 0; n < m; n++) into[n] = re[(m - n) % m] / m;
  });
}
