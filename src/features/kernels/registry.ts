/** Every kernel by name, each with defaults for its width. Tests, benches and the command line iterate over it. */
import { arcCosine0, arcCosine1, ntk } from './arc-cosine.js';
import { deltaGaussian } from './delta-gaussian.js';
import { epanechnikov } from './epanechnikov.js';
import type { Kernel } from './kernel.js';
import { laplace } from './laplace.js';
import { log } from './log.js';
import { polynomial } from './polynomial.js';
import { rbf } from './rbf.js';
import { tl1 } from './tl1.js';

export type KernelFactory = (options: { readonly d: number }) => Kernel;

export const kernels = {
  rbf,
  laplace,
  polynomial,
  'delta-gaussian': deltaGaussian,
  tl1,
  epanechnikov,
  'arc-cosine-0': arcCosine0,
  'arc-cosine-1': arcCosine1,
  ntk,
  log,
} satisfies Record<string, KernelFactory>;

export type KernelName = keyof typeof kernels;
