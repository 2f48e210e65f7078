/**
 * A kernel known only as a function of a distance. Its signed measure is fitted by whatever method needs one.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: those of `of`, which is asked for distances from 0 on, beyond the range too.
 * Cost: 3d flops a pair and those of `of`; K takes 8np bytes.
 */
import { PerformersError } from '../../errors.js';
import { checkParameters, distanceKernel, type Kernel } from './kernel.js';

export interface RadialOptions {
  readonly d: number;
  /** k(x, y) = of(|x − y|), finite on [0, range]. */
  readonly of: (distance: number) => number;
  /** Largest distance between rows. Default 2 on the sphere; elsewhere it must be given. */
  readonly range?: number;
  /** Default 2. With 1 the fit is a mixture of Laplace kernels instead of Gaussian ones. */
  readonly norm?: 1 | 2;
  /** Default 'space'. */
  readonly domain?: 'space' | 'sphere';
  /** Default 'radial'. */
  readonly name?: string;
}

/** @throws PerformersError PF410 when the range is missing or not positive, or `of` is not finite on it; PF202 for d < 1 */
export function radial({ d, of, range, norm = 2, domain = 'space', name = 'radial' }: RadialOptions): Kernel {
  const reach = range ?? (domain === 'sphere' ? 2 : Number.NaN);
  checkParameters(name, d, { range: reach });
  for (let i = 0; i <= 8; i++) {
    const t = (i / 8) * reach;
    if (Number.isFinite(of(t))) continue;
    throw new PerformersError('PF410', `of must be finite on [0, range], got ${of(t)} at ${t}`, {
      at: `kernels.${name}.of`,
      mend: 'cut a singular kernel off, for example of(Math.max(t, 0.01)), or lower the range',
    });
  }
  return distanceKernel({ name, d, domain, profile: { norm, range: reach, of } });
}
