/**
 * Cosine features of random phase (Rahimi and Recht 2007, eq. 4): f(x) = √(2/m) cos(Ωx + β), β uniform on [0, 2π), for the Gaussian
 * kernel k(δ) = exp(−|δ|²/2) of rows already divided by the bandwidth. E[f(x)·f(y)] = k, m·Var = 1 + k(2δ)/2 − k², all in
 * [−√(2/m), √(2/m)]. Low-bit features are made of these: the law of a feature, and so its codebook, does not depend on x.
 *
 * Shapes: x [n,d] → [n,m]. Cost: n(2md) flops and nm cosines; 4m(d + 1) bytes of Ω and β in float32.
 */
import { PerformersError } from '../errors.js';
import { checkCount, type Sampler } from '../features/gaussian.js';
import { orthogonalGaussian } from '../features/orf.js';
import { streamSeed, uniforms } from '../features/rng.js';

export interface PhasedCosines {
  readonly d: number;
  readonly m: number;
  /** √(2/m), the range of the features. */
  readonly range: number;
  readonly omega: Float64Array; // [m,d]
  readonly phase: Float64Array; // [m]
  /** Rows [n,d] to features [n,m]. @throws PerformersError PF420 unless x is whole rows of finite numbers */
  readonly map: (x: ArrayLike<number>) => Float64Array;
}

export interface PhasedCosinesOptions {
  readonly d: number;
  readonly m: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default `orthogonalGaussian`. */
  readonly sampler?: Sampler;
  /** Ω [m,d] in place of a draw, such as dequantised frequencies. */
  readonly omega?: Float64Array;
}

/** @throws PerformersError PF202 for m or d below 1 or a bad seed, PF420 for an Ω that is not [m,d] */
export function phasedCosines({
  d,
  m,
  seed = 0,
  sampler = orthogonalGaussian,
  ...given
}: PhasedCosinesOptions): PhasedCosines {
  checkCount('m', m);
  checkCount('d', d);
  const omega = given.omega ?? sampler({ m, d, seed });
  if (omega.length !== m * d) {
    throw new PerformersError('PF420', `omega must be m x d = ${m} x ${d} numbers, got ${omega.length}`, {
      at: 'quant.omega',
      mend: 'give one row of width d for each of the m features',
    });
  }
  // A stream of its own: the draw of Ω uses the seed itself.
  const uniform = uniforms(streamSeed(seed, 1));
  const phase = Float64Array.from({ length: m }, () => 2 * Math.PI * uniform());
  const range = Math.sqrt(2 / m);
  const map = (x: ArrayLike<number>): Float64Array => {
    const n = x.length / d;
    if (!Number.isInteger(n)) {
      throw new PerformersError('PF420', `x must be rows of d = ${d} numbers, got ${x.length} numbers`, {
        at: 'quant.x',
        mend: `pass whole rows of width ${d}`,
      });
    }
    const out = new Float64Array(n * m);
    for (let i = 0; i < n; i++) {
      for (let r = 0; r < m; r++) {
        let angle = phase[r];
        for (let c = 0; c < d; c++) angle += omega[r * d + c] * x[i * d + c];
        if (!Number.isFinite(angle)) {
          throw new PerformersError('PF420', `row ${i} of x must be finite, got an angle of ${angle}`, {
            at: 'quant.x',
            mend: 'mask or drop rows that are NaN or infinite',
          });
        }
        out[i * m + r] = range * Math.cos(angle);
      }
    }
    return out;
  };
  return { d, m, range, omega, phase, map };
}
