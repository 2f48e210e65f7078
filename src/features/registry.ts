/** Every sampler and feature map by name. Tests and benches iterate over it: a new entry is one file and one line. */
import { type AsymmetricMap, aderf } from './aderf.js';
import { circulantApply, signedCirculant } from './circulant.js';
import { cosformer } from './cosformer.js';
import { fastfood, fastfoodApply } from './fastfood.js';
import { type FeatureMap, favorPlus } from './favor-plus.js';
import { type Draw, iidGaussian, type Sampler } from './gaussian.js';
import { haltonGaussian } from './halton.js';
import { antithetic, hyperbolic } from './hyperbolic.js';
import { latticeGaussian } from './lattice.js';
import { momentMatched } from './moment-matching.js';
import { oprf } from './oprf.js';
import { orthogonalGaussian } from './orf.js';
import { budgeted, pModelApply } from './p-model.js';
import { quasiOrthogonal } from './qmc-orf.js';
import { relu } from './relu.js';
import type { RowMapFactory } from './row-map.js';
import { sderf } from './sderf.js';
import { shifted } from './shift.js';
import { simplexGaussian } from './simrf.js';
import { sobolGaussian } from './sobol.js';
import { sorfApply, structuredOrthogonal } from './sorf.js';
import { sphericalStructured, ssfApply } from './ssf.js';
import type { Apply } from './structured.js';
import { taylor2 } from './taylor2.js';
import { trig } from './trig.js';

export const samplers = {
  orf: orthogonalGaussian,
  iid: iidGaussian,
  sorf: structuredOrthogonal,
  fastfood,
  circulant: signedCirculant,
  'p-model': budgeted,
  ssf: sphericalStructured,
  simrf: simplexGaussian,
  sobol: sobolGaussian,
  halton: haltonGaussian,
  lattice: latticeGaussian,
  'qmc-orf': quasiOrthogonal,
} satisfies Record<string, Sampler>;

/** The product with the Ω of the sampler of that name, without writing Ω out. */
export const applies = {
  sorf: sorfApply,
  fastfood: fastfoodApply,
  circulant: circulantApply,
  'p-model': pModelApply,
  ssf: ssfApply,
} satisfies Partial<Record<keyof typeof samplers, (draw: Draw) => Apply>>;

/** What makes a sampler of a sampler. */
export const samplerTransforms = {
  antithetic,
  'moment-matching': momentMatched,
} satisfies Record<string, (sampler: Sampler) => Sampler>;

export const featureMaps = {
  'favor+': favorPlus,
  shift: shifted,
  hyperbolic,
  oprf,
  sderf,
} satisfies Record<string, FeatureMap>;

/** Positive maps whose two sides have an Ω each. */
export const asymmetricMaps = {
  aderf,
} satisfies Record<string, AsymmetricMap>;

/** Maps that are not constants of the double-softmax operator. */
export const rowMaps = {
  trig,
  relu,
  taylor2,
  cosformer,
} satisfies Record<string, RowMapFactory>;

export type SamplerName = keyof typeof samplers;
export type FeatureMapName = keyof typeof featureMaps;
export type AsymmetricMapName = keyof typeof asymmetricMaps;
export type RowMapName = keyof typeof rowMaps;
