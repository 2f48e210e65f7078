/**
 * Trigonometric random features of the softmax kernel (Rahimi and Recht 2007, Algorithm 1, renormalised as in Choromanski et
 * al. 2021, section 2.3):
 *   φ(x) = exp(|x|²/2) √(2/m) [cos(ωᵣ·x), sin(ωᵣ·x)],  r < m/2,  ω ~ N(0, I),  E[φ(x)·φ(y)] = exp(x·y)
 * One frequency has R = cosh(|δ|²), δ = x − y: exact at x = y, hopeless for the distant pairs that attention should ignore,
 * where denominators come out negative. For kernel machines and normalised q and k; not to replace softmax after training.
 * METHODS A.1: read in code, derived and numerically checked. Verified here: x = y exact, unbiased, error (oracles.json).
 *
 * Shapes: x [N,d] → [N,m], cosines then sines. m is even.
 * Numerics: exp(|x|²/2) overflows at |x|² > 1419 and is refused there; subtract one constant from every |x|² of the keys.
 * Cost: N(md + 4m) flops and m sines or cosines a row; 4md bytes of Ω (float64).
 */
import { PerformersError } from '../errors.js';
import { checkCount } from './gaussian.js';
import { orthogonalGaussian } from './orf.js';
import { finiteExp, project, type RowMap, type RowMapOptions, rowMap, square } from './row-map.js';

/** @throws PerformersError PF202 for m that is odd or below 1, d below 1, or a bad seed */
export function trig({ d, m, seed = 0, sampler = orthogonalGaussian }: RowMapOptions): RowMap {
  checkCount('m', m);
  if (m % 2 === 1) {
    throw new PerformersError('PF202', `m must be even, a cosine and a sine for each frequency, got ${m}`, {
      at: 'features.m',
      mend: `use m = ${m + 1}`,
    });
  }
  const half = m / 2;
  const omega = sampler({ m: half, d, seed }); // [m/2,d]
  return rowMap(d, m, (row, into) => {
    const size = finiteExp(square(row) / 2, '|x|²/2') * Math.sqrt(2 / m);
    for (let r = 0; r < half; r++) {
      const angle = project(omega, row, r);
      into[r] = size * Math.cos(angle);
      into[half + r] = size * Math.sin(angle);
    }
  });
}
