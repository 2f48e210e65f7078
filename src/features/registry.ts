/** Every sampler and feature map by name. Tests and benches iterate over it: a new entry is one file and one line. */
import { type AsymmetricMap, aderf } from './aderf.js';
import { circulantApply, signedCirculant } from './circulant.js';
import { cosformer } from './cosformer.js';
import { alignment } from './data/alignment.js';
import { energyBased } from './data/energy.js';
import type { DataSampler } from './data/frequencies.js';
import { leverage } from './data/leverage.js';
import { surrogateLeverage } from './data/surrogate-leverage.js';
import { fastfood, fastfoodApply } from './fastfood.js';
import { type FeatureMap, favorPlus } from './favor-plus.js';
import { type Draw, iidGaussian, type Sampler } from './gaussian.js';
import { activations, generalized } from './generalized.js';
import { haltonGaussian } from './halton.js';
import { hedgehog } from './hedgehog.js';
import { hrf } from './hrf.js';
import { antithetic, hyperbolic } from './hyperbolic.js';
import type { LandmarkChoice } from './landmarks/choose.js';
import { clusters } from './landmarks/clusters.js';
import { volumeSampled } from './landmarks/dpp.js';
import { kMeans } from './landmarks/k-means.js';
import type { LandmarkMapFactory } from './landmarks/landmark-map.js';
import { nystrom } from './landmarks/nystrom.js';
import { greedy, randomlyPivoted } from './landmarks/pivoted.js';
import { uniformRows } from './landmarks/uniform.js';
import { latticeGaussian } from './lattice.js';
import { momentMatched } from './moment-matching.js';
import { oprf } from './oprf.js';
import { orthogonalGaussian } from './orf.js';
import { budgeted, pModelApply } from './p-model.js';
import { polysketch } from './polysketch.js';
import { quasiOrthogonal } from './qmc-orf.js';
import { relu } from './relu.js';
import type { PairMap, RowMapFactory, RowMapOptions } from './row-map.js';
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
  'relu-squared': generalized(activations['relu-squared']),
  step: generalized(activations.step),
  abs: generalized(activations.abs),
  'elu+1': generalized(activations['elu+1']),
  softplus: generalized(activations.softplus),
  taylor2,
  polysketch,
  cosformer,
} satisfies Record<string, RowMapFactory>;

/** Maps whose two sides have features of their own, or that are made with a sign on one side. */
export const pairMaps = {
  hrf,
  hedgehog,
} satisfies Record<string, (options: RowMapOptions) => PairMap>;

/** Maps made of landmarks of data. */
export const landmarkMaps = {
  nystrom,
  clusters,
} satisfies Record<string, LandmarkMapFactory>;

/** Ways of choosing landmarks. */
export const landmarkChoices = {
  'k-means': kMeans,
  'rp-cholesky': randomlyPivoted,
  greedy,
  dpp: volumeSampled,
  uniform: uniformRows,
} satisfies Record<string, LandmarkChoice>;

/** Samplers that look at data, and some at labels: frequencies and how much each counts. */
export const dataSamplers = {
  leverage,
  'surrogate-leverage': surrogateLeverage,
  alignment,
  eerf: energyBased,
} satisfies Record<string, DataSampler>;

export type SamplerName = keyof typeof samplers;
export type FeatureMapName = keyof typeof featureMaps;
export type AsymmetricMapName = keyof typeof asymmetricMaps;
export type RowMapName = keyof typeof rowMaps;
export type PairMapName = keyof typeof pairMaps;
export type LandmarkMapName = keyof typeof landmarkMaps;
export type LandmarkChoiceName = keyof typeof landmarkChoices;
export type DataSamplerName = keyof typeof dataSamplers;
