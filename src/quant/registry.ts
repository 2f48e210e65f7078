/** Every low-bit scheme by name. Tests and benches iterate over it: a new entry is one file and one line. */
import { frequencies } from './frequencies.js';
import { lloydMax } from './lloyd-max.js';
import { nearest } from './nearest.js';
import type { Scheme } from './scheme.js';
import { stochastic } from './stochastic.js';
import { universal } from './universal.js';
import { weights } from './weights.js';

export const schemes = {
  stochastic,
  nearest,
  'lloyd-max': lloydMax,
  universal,
  frequencies,
  weights,
} satisfies Record<string, Scheme>;

export type SchemeName = keyof typeof schemes;
