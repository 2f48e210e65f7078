/**
 * Fourier features of a kernel through its signed measure k = c₀ + Σᵢ wᵢ κᵢ: the one routine behind `rff`, `orf`, `sorf`, `grff`
 * and `gorf`, which differ in the sampler of rows and in how frequencies are shared out among the parts i.
 *
 * Between the blocks  n⁺ : n⁻ = M⁺√V⁺ : M⁻√V⁻, or Σ|wᵢ|√Vᵢ over the parts of each if stratified: the split of least variance.
 * Random parts        (grff) a frequency of a block is of part i with probability |wᵢ|/M^±, and weighs M^±/n^±.
 * Stratified parts    (gorf) part i is given nᵢ ∝ |wᵢ|√Vᵢ frequencies, at least one, each weighing |wᵢ|/nᵢ. Unbiased too, and
 *                     the variance between parts is gone (METHODS C.3b).
 *
 * √V is √(mean variance of one frequency) over the distances in use: a part that is nearly constant there needs few.
 */
import { PerformersError } from '../../errors.js';
import { drawIndex } from '../draw-index.js';
import { checkCount, type Sampler } from '../gaussian.js';
import type { Kernel } from '../kernels/kernel.js';
import { frequencyVariance, type SignedMeasure, type SpectralPart } from '../kernels/measure.js';
import { streamSeed, uniforms } from '../rng.js';
import { fourierMap } from './fourier.js';
import type { FourierBlock, SignedMap } from './signed-map.js';

type Spread = (kappa: (t: number) => number, t: number) => number;

export interface SpectralOptions {
  readonly m: number;
  readonly seed: number;
  readonly sampler: Sampler;
  readonly stratify: boolean;
  /** Variance of one frequency of a part at distance t, by which frequencies are shared out. Default that of independent rows. */
  readonly spread?: Spread;
  /** Where the kernel is used, in the norm of its profile. */
  readonly distances: Float64Array;
}

/** @throws PerformersError PF202 for a bad m or seed, PF412 when m does not give every part what it needs */
export function spectralFeatures(
  kernel: Kernel,
  measure: Pick<SignedMeasure, 'constant' | 'parts'>,
  options: SpectralOptions,
): SignedMap {
  const { m, seed, sampler, stratify, distances, spread = frequencyVariance } = options;
  checkCount('m', m);
  const { constant } = measure;
  const blocks = [1, -1].map((sign) => measure.parts.filter(({ weight }) => weight * sign > 0));
  const least = blocks.map((parts) => (stratify ? parts.length : Math.min(1, parts.length)));
  const frequencies = Math.floor((m - Number(constant !== 0)) / 2);
  if (frequencies < least[0] + least[1]) {
    throw tooFew(kernel.name, m, 2 * (least[0] + least[1]) + Number(constant !== 0), stratify);
  }
  const needs = blocks.map((parts) => parts.map((part) => need(part, distances, spread)));
  const totals = stratify
    ? needs.map((each) => each.reduce((sum, value) => sum + value, 0))
    : blocks.map((parts) => (parts.length === 0 ? 0 : need(mixed(parts), distances, spread)));
  const counts = wholeBlocks(share(totals, frequencies, least), stratify ? kernel.d : 1, least);
  const [positive, negative] = blocks.map((parts, b): FourierBlock => {
    const draw = { d: kernel.d, seed: streamSeed(seed, b), sampler };
    const atZero = Math.max(0, b === 0 ? constant : -constant);
    return parts.length === 0
      ? { constant: atZero, omega: new Float64Array(), amplitude: new Float64Array() }
      : { constant: atZero, ...(stratify ? strata : mixture)(parts, counts[b], needs[b], draw) };
  });
  return fourierMap(kernel, { positive, negative });
}

interface BlockDraw {
  readonly d: number;
  readonly seed: number;
  readonly sampler: Sampler;
}

type Drawn = Pick<FourierBlock, 'omega' | 'amplitude'>;

/** Every frequency of a part drawn with probability |w|/M. */
function mixture(parts: readonly SpectralPart[], n: number, _needs: readonly number[], draw: BlockDraw): Drawn {
  const masses = parts.map(({ weight }) => Math.abs(weight));
  const mass = masses.reduce((sum, value) => sum + value, 0);
  const uniform = uniforms(streamSeed(draw.seed, 1));
  const chosen = Array.from({ length: n }, () => parts[drawIndex(masses, uniform())]);
  return { omega: frequenciesOf(chosen, draw), amplitude: new Float64Array(n).fill(Math.sqrt(mass / n)) };
}

/** A fixed number of frequencies from every part, parts one after another. */
function strata(parts: readonly SpectralPart[], n: number, needs: readonly number[], draw: BlockDraw): Drawn {
  const counts = share(
    needs,
    n,
    parts.map(() => 1),
  );
  const owner = counts.flatMap((count, i) => new Array<number>(count).fill(i));
  return {
    omega: frequenciesOf(
      owner.map((i) => parts[i]),
      draw,
    ),
    amplitude: Float64Array.from(owner, (i) => Math.sqrt(Math.abs(parts[i].weight) / counts[i])),
  };
}

function frequenciesOf(parts: readonly SpectralPart[], { d, seed, sampler }: BlockDraw): Float64Array {
  const omega = sampler({ m: parts.length, d, seed: streamSeed(seed, 0) }); // [n,d]
  const uniform = uniforms(streamSeed(seed, 2));
  parts.forEach(({ frequency }, r) => {
    frequency(omega.subarray(r * d, (r + 1) * d), uniform);
  });
  return omega;
}

/** |w|√(mean V): what a part adds to the error of one frequency, floored so that no part is thought to be free. */
function need(
  { weight, kappa }: Pick<SpectralPart, 'weight' | 'kappa'>,
  distances: Float64Array,
  spread: Spread,
): number {
  const mean = distances.reduce((sum, t) => sum + spread(kappa, t), 0) / distances.length;
  return Math.abs(weight) * Math.sqrt(Math.max(mean, 1e-6));
}

/**
 * Rounds the share of the positive block to whole orthogonal blocks of d rows where there are enough for both: a block cut short
 * cancels less, and at m = 256, d = 32 the difference is a quarter of the error.
 */
function wholeBlocks([positive, negative]: readonly number[], d: number, least: readonly number[]): number[] {
  const all = positive + negative;
  if (positive === 0 || negative === 0 || all < 2 * d) return [positive, negative];
  const blocks = Math.min(Math.max(1, Math.round(positive / d)), Math.floor(all / d) - 1);
  const rounded = Math.min(Math.max(blocks * d, least[0]), all - least[1]);
  return [rounded, all - rounded];
}

/** The parts as one law. */
function mixed(parts: readonly SpectralPart[]): Pick<SpectralPart, 'weight' | 'kappa'> {
  const mass = parts.reduce((sum, { weight }) => sum + weight, 0);
  return {
    weight: mass,
    kappa: (t) => parts.reduce((sum, { weight, kappa }) => sum + (weight / mass) * kappa(t), 0),
  };
}

/** `total` whole items shared ∝ needs by largest remainders, each share at least `least[i]`, shares of 0 needs 0. */
export function share(needs: readonly number[], total: number, least: readonly number[]): number[] {
  const spare = total - least.reduce((sum, count) => sum + count, 0);
  const sum = needs.reduce((all, need) => all + need, 0);
  // What each should have beyond its least; never below 0.
  const wanted = needs.map((need, i) => Math.max(0, (need / sum) * total - least[i]));
  const wantedSum = wanted.reduce((all, want) => all + want, 0);
  const exact = wanted.map((want) => (wantedSum > 0 ? (want / wantedSum) * spare : 0));
  const counts = exact.map((value, i) => least[i] + Math.floor(value));
  const order = exact
    .map((value, i) => ({ i, rest: needs[i] > 0 ? value - Math.floor(value) : -1 }))
    .sort((a, b) => b.rest - a.rest || a.i - b.i);
  let left = total - counts.reduce((all, count) => all + count, 0);
  for (let next = 0; left > 0; next = (next + 1) % order.length, left--) counts[order[next].i]++;
  return counts;
}

function tooFew(kernel: string, m: number, least: number, stratify: boolean): PerformersError {
  return new PerformersError(
    'PF412',
    `m must be at least ${least} for the ${kernel} kernel's signed measure, got ${m}`,
    {
      at: 'features.m',
      mend: stratify
        ? `use m = ${least} or more, or grff, which needs no channels for each part`
        : `use m = ${least} or more`,
    },
  );
}
