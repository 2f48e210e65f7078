/** Every method that makes features of a kernel, by name. Tests, benches and the command line iterate over it. */
import { gorf, grff, orf, rff, sorf } from './methods.js';
import type { KernelFeatures } from './signed-map.js';

export const methods = {
  rff,
  orf,
  sorf,
  grff,
  gorf,
} satisfies Record<string, KernelFeatures>;

export type MethodName = keyof typeof methods;
