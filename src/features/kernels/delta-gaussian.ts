/**
 * Difference of Gaussians, k(x, y) = Σᵢ aᵢ exp(−|x − y|²/2σᵢ²), by default a near one less a far one (Luo et al. 2021, arXiv
 * 2104.06204, section II; the "delta-Gaussian" of METHODS C.3, derived and checked numerically). Indefinite: its measure is
 * Σ aᵢ N(0, σᵢ⁻² I), taken term by term.
 *
 * Split by terms the masses are Σ|aᵢ|. The split of least mass (Jordan's) cancels where the terms overlap; for near and far it has
 * mass .65 each at d = 4, σ = (1, 2), but .95 at d = 8 and .996 at d = 16 for the defaults: not worth a rejection sampler.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64; a term is 0 beyond |x − y| = 38.6σᵢ, and where the terms nearly cancel only the digits of the larger one are left.
 * Cost: 3d + 20 flops a pair, with its two exponentials; K takes 8np bytes.
 */
import { PerformersError } from '../../errors.js';
import { checkParameters, checkPositive, distanceKernel, type Kernel } from './kernel.js';
import { gaussianPart } from './measure.js';
import { gaussianSeries } from './series.js';

export interface DeltaGaussianOptions {
  readonly d: number;
  /** Default exp(−|δ|²/2·(0.35√d)²) − exp(−|δ|²/2d), fit for coordinates of unit size. */
  readonly terms?: readonly { readonly weight: number; readonly sigma: number }[];
}

/** @throws PerformersError PF410 for a σ ≤ 0, a weight that is 0 or not finite, or no terms; PF202 for d < 1 */
export function deltaGaussian({ d, terms = nearLessFar(d) }: DeltaGaussianOptions): Kernel {
  checkParameters('delta-gaussian', d, {});
  terms.forEach(({ sigma }, i) => {
    checkPositive('delta-gaussian', `terms[${i}].sigma`, sigma);
  });
  const bad = terms.findIndex(({ weight }) => weight === 0 || !Number.isFinite(weight));
  if (bad >= 0 || terms.length === 0) {
    const [name, got] = bad >= 0 ? [`terms[${bad}].weight`, `${terms[bad].weight}`] : ['terms', 'none'];
    throw new PerformersError('PF410', `${name} must be finite and not 0, got ${got}`, {
      at: `kernels.delta-gaussian.${name}`,
      mend: 'use weights 1 and -1 for a difference, and leave out terms without weight',
    });
  }
  return distanceKernel({
    name: 'delta-gaussian',
    d,
    domain: 'space',
    profile: {
      norm: 2,
      range: 2 * Math.max(...terms.map(({ sigma }) => sigma)),
      of: (t) => terms.reduce((sum, { weight, sigma }) => sum + weight * Math.exp(-0.5 * (t / sigma) ** 2), 0),
    },
    measure: { constant: 0, parts: terms.map(({ weight, sigma }) => gaussianPart(weight, 1 / sigma)), error: 0 },
    series: terms.map(({ weight, sigma }) => gaussianSeries(weight, sigma)),
  });
}

function nearLessFar(d: number) {
  return [
    { weight: 1, sigma: 0.35 * Math.sqrt(d) },
    { weight: -1, sigma: Math.sqrt(d) },
  ];
}
