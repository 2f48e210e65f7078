import { describe, expect, it } from 'vitest';
import { iidGaussian, type Sampler } from '../../../src/features/gaussian.js';
import type { Kernel } from '../../../src/features/kernels/kernel.js';
import { frequencyVariance, type SignedMeasure } from '../../../src/features/kernels/measure.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { latticeGaussian } from '../../../src/features/lattice.js';
import { orthogonalGaussian } from '../../../src/features/orf.js';
import { usedDistances } from '../../../src/features/signed/distances.js';
import { dvrf, modelledMeasure } from '../../../src/features/signed/dvrf.js';
import type { SignedMap } from '../../../src/features/signed/signed-map.js';
import { spectralFeatures } from '../../../src/features/signed/spectral-features.js';
import { spectralMeasure } from '../../../src/features/signed/spectral-measure.js';
import { positiveMeasure, srf } from '../../../src/features/signed/srf.js';
import { close, expectMutantFails } from '../../close.js';
import { kernelOracles } from '../../oracle/signed-kernels.js';
import { blocksOf, cosines, estimate } from './fourier-blocks.js';

const d = 2;
const origin = Float64Array.of(1, 0);

/**
 * Where 1 % of frequency shows best, and how many frequencies make 8 standard errors of it. At most 1 % shifts Gaussian parts by
 * .0142 √n, Cauchy parts by .0057 √n; the log kernel's, drawn by mass, by .0047 √n.
 */
const plans: Record<string, { readonly t: number; readonly n: number; readonly byMass?: number }> = {
  laplace: { t: 1.6, n: 2_500_000 },
  tl1: { t: 0.6, n: 2_500_000 },
  log: { t: 1.4, n: 500_000, byMass: 4_000_000 },
};
const common = { t: 0.3, n: 500_000 };

const second = (kappa: (t: number) => number, t: number) => 0.5 * (1 + kappa(2 * t));

/** A point at distance t from (1, 0): on the sphere, along the diagonal for the 1-norm, or along an axis. */
function pointAt({ domain, profile }: Kernel, t: number): Float64Array {
  const angle = 2 * Math.asin(t / 2);
  if (domain === 'sphere') return Float64Array.of(Math.cos(angle), Math.sin(angle));
  return profile?.norm === 1 ? Float64Array.of(1 - t / 2, t / 2) : Float64Array.of(1, t);
}

describe.each(Object.entries(kernels))('features of %s', (name, make) => {
  const kernel: Kernel = make({ d });
  const distances = usedDistances(kernel);
  const { t, n, byMass = n }: (typeof plans)[string] = plans[name] ?? common;
  const point = pointAt(kernel, t);

  // orf takes positive measures; gorf takes a lattice where laws do not rotate.
  const positive = kernel.measure?.parts.every(({ weight }) => weight > 0) && kernel.measure.constant >= 0;
  const ways: readonly (readonly [string, boolean, Sampler])[] = [
    ['parts by mass, independent rows', false, iidGaussian],
    ...(positive ? [['parts by mass, orthogonal rows', false, orthogonalGaussian] as const] : []),
    ['parts in strata, independent rows', true, iidGaussian],
    ['parts in strata, orthogonal rows', true, orthogonalGaussian],
    ...(kernel.profile?.norm === 1 ? [['parts in strata, rows of a lattice', true, latticeGaussian] as const] : []),
  ];

  it.each(ways)(
    '%s: |z| < 4 by the analytic variance, which frequencies of 1.01 times the length fail',
    (_how, stratify, sampler) => {
      const measure = spectralMeasure(kernel, {
        frequencies: 64,
        distances,
        spread: stratify ? frequencyVariance : second,
      });
      const want = measure.parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), measure.constant);
      // The mixture is the kernel, but for the error that its fit admits to between the points of its grid.
      expect(Math.abs(want - kernelOracles[name](d, origin, point))).toBeLessThanOrEqual(1.05 * measure.error + 1e-12);
      // One draw of many rows. Orthogonal ones and a lattice are judged by the variance of independent ones, which is no less.
      const map = spectralFeatures(kernel, measure, {
        m: 2 * (stratify ? n : byMass) + 1,
        seed: 17,
        sampler,
        stratify,
        distances,
      });
      const deviation = Math.sqrt(variance(measure, map, stratify, t));
      const check = (length: number) => {
        const delta = origin.map((value, l) => length * (value - point[l]));
        expect(Math.abs(cosines(map, delta) - want) / deviation).toBeLessThan(4);
      };
      check(1);
      expectMutantFails(() => check(1.01));
      expectMutantFails(() => check(0.99));
    },
  );

  it('are cosines of differences, and give k(x, x) to rounding', () => {
    const measure = spectralMeasure(kernel, { frequencies: 64, distances, spread: frequencyVariance });
    const map = spectralFeatures(kernel, measure, { m: 40, seed: 1, sampler: iidGaussian, stratify: true, distances });
    const delta = origin.map((value, l) => value - point[l]);
    close([estimate(map, origin, point)], [cosines(map, delta)], 1e-12);
    const atZero = measure.parts.reduce((sum, { weight }) => sum + weight, measure.constant);
    expect(Math.abs(estimate(map, point, point) - atZero)).toBeLessThan(1e-13);
  });
});

describe.each([
  {
    name: 'srf',
    kernel: kernels.polynomial({ d }),
    m: 1_000_000,
    at: 0.8,
    measureOf: (kernel: Kernel) => ({ constant: 0, parts: positiveMeasure(kernel, usedDistances(kernel)) }),
    method: srf,
  },
  {
    name: 'dvrf',
    kernel: kernels['delta-gaussian']({ d }),
    m: 4_000_000,
    at: 0.5,
    measureOf: (kernel: Kernel, m: number) => modelledMeasure(kernel, { m, seed: 17 }),
    method: dvrf,
  },
])('$name', ({ kernel, m, at, measureOf, method }) => {
  it('is unbiased for the measure it fits: |z| < 4 by the analytic variance, which frequencies off by 1 % fail', () => {
    const measure = { ...measureOf(kernel, m), error: 0 };
    const map = method(kernel, { m, seed: 17 });
    const want = measure.parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(at), measure.constant);
    const deviation = Math.sqrt(variance(measure, map, false, at));
    const check = (length: number) =>
      expect(
        Math.abs(cosines(map, Float64Array.of(0.6 * length * at, 0.8 * length * at)) - want) / deviation,
      ).toBeLessThan(4);
    check(1);
    expectMutantFails(() => check(1.01));
    expectMutantFails(() => check(0.99));
  });
});

/** Variance with independent rows: of each frequency by its part, or by the mixture it is drawn from. */
function variance(measure: SignedMeasure, map: SignedMap, stratify: boolean, t: number): number {
  return [1, -1].reduce((sum, sign, b) => {
    const parts = measure.parts.filter(({ weight }) => weight * sign > 0);
    const { amplitude } = blocksOf(map)[b];
    const n = amplitude.length;
    if (n === 0) return sum;
    const mass = parts.reduce((all, { weight }) => all + weight, 0);
    if (!stratify) {
      const mixed = (at: number) => parts.reduce((all, { weight, kappa }) => all + (weight / mass) * kappa(at), 0);
      return sum + (mass ** 2 / n) * frequencyVariance(mixed, t);
    }
    // Amplitudes tell how many frequencies a part has: a² = |w|/n.
    let first = 0;
    return parts.reduce((all, { weight, kappa }) => {
      const count = Math.round(Math.abs(weight) / amplitude[first] ** 2);
      first += count;
      return all + (weight ** 2 / count) * frequencyVariance(kappa, t);
    }, sum);
  }, 0);
}
