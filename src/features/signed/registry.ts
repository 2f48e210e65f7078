/** Every method that makes features of a kernel, by name. Tests, benches and the command line iterate over it. */
import { dvrf } from './dvrf.js';
import { gorf, grff, orf, rff, sorf } from './methods.js';
import type { KernelFeatures } from './signed-map.js';
import { maclaurin, tensorSketch } from './sketches.js';
import { srf } from './srf.js';

export const methods = {
  rff,
  orf,
  sorf,
  grff,
  gorf,
  maclaurin,
  'tensor-sketch': tensorSketch,
  srf,
  dvrf,
} satisfies Record<string, KernelFeatures>;

export type MethodName = keyof typeof methods;
