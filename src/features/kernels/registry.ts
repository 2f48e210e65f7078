/** Every kernel by name, each with defaults for its width. Tests, benches and the command line iterate over it. */
import type { Kernel } from './kernel.js';
import { laplace } from './laplace.js';
import { polynomial } from './polynomial.js';
import { rbf } from './rbf.js';

export type KernelFactory = (options: { readonly d: number }) => Kernel;

export const kernels = {
  rbf,
  laplace,
  polynomial,
} satisfies Record<string, KernelFactory>;

export type KernelName = keyof typeof kernels;
