import { describe, expect, it } from 'vitest';
import { deltaGaussian } from '../../../src/features/kernels/delta-gaussian.js';
import { gram, type Kernel } from '../../../src/features/kernels/kernel.js';
import { frequencyVariance, orthogonalVariance as orthogonalSpread } from '../../../src/features/kernels/measure.js';
import { polynomial } from '../../../src/features/kernels/polynomial.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { usedDistances } from '../../../src/features/signed/distances.js';
import { gorf, grff, measureByMass } from '../../../src/features/signed/methods.js';
import { methods } from '../../../src/features/signed/registry.js';
import { type KernelFeatures, type SignedMap, signedGram } from '../../../src/features/signed/signed-map.js';
import { spectralMeasure } from '../../../src/features/signed/spectral-measure.js';
import { expectMutantFails } from '../../close.js';
import { type GaussianBlock, independentVariance, orthogonalVariance } from '../../oracle/signed-kernels.js';
import { orthantRows, rowsFor } from '../kernels/rows.js';
import { blocksOf } from './fourier-blocks.js';

const repetitions = 24;

/** √(mean over seeds of ‖K − K̂‖²_F) / ‖K‖_F. */
function errorOf(method: KernelFeatures, kernel: Kernel, m: number, x: Float64Array): number {
  const want = gram(kernel, x);
  let sum = 0;
  for (let seed = 0; seed < repetitions; seed++) {
    const map = method(kernel, { m, seed });
    const got = signedGram(map.signs, map.phi(x));
    sum += got.reduce((all, value, i) => all + (value - want[i]) ** 2, 0) / repetitions;
  }
  return Math.sqrt(sum / want.reduce((all, value) => all + value * value, 0));
}

/** C/√m of METHODS C.1: √(Σ_ij Var_ij / Σ k_ij²) over pairs of rows, with the variance of one pair by distance. */
function law(kernel: Kernel, x: Float64Array, variance: (z: number) => number): number {
  const { d } = kernel;
  const want = gram(kernel, x);
  const n = x.length / d;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      let square = 0;
      for (let l = 0; l < d; l++) square += (x[i * d + l] - x[j * d + l]) ** 2;
      sum += 2 * variance(Math.sqrt(square));
    }
  }
  return Math.sqrt(sum / want.reduce((all, value) => all + value * value, 0));
}

/** The blocks of a delta-Gaussian map as the oracle wants them: one Gaussian a block. */
function gaussianBlocks(map: SignedMap, sigmas: readonly number[]): GaussianBlock[] {
  return blocksOf(map).map(({ amplitude }, b) => ({
    scales: new Float64Array(amplitude.length).fill(1 / sigmas[b]),
    weights: amplitude.map((a) => a * a),
  }));
}

const within15 = (got: number, want: number) => expect(Math.abs(got / want - 1)).toBeLessThan(0.15);

describe.each([
  // METHODS C.3b, measured there over 12 repetitions: channels, GRFF, GORF.
  {
    d: 8,
    table: [
      [256, 0.159, 0.085],
      [1024, 0.075, 0.043],
    ],
  },
  {
    d: 32,
    table: [
      [256, 0.16, 0.065],
      [1024, 0.08, 0.032],
    ],
  },
])('the law of error on the delta-Gaussian kernel, d = $d', ({ d, table }) => {
  const kernel = deltaGaussian({ d });
  const sigmas = [0.35 * Math.sqrt(d), Math.sqrt(d)];
  const x = rowsFor(kernel, 60, 3);

  it.each(table)('m = %i', (m, grffError, gorfError) => {
    const blocks = (method: KernelFeatures) => gaussianBlocks(method(kernel, { m, seed: 0 }), sigmas);
    const sumOf = (variances: readonly ((z: number) => number)[]) => (z: number) =>
      variances.reduce((sum, variance) => sum + variance(z), 0);
    const independent = law(kernel, x, sumOf(blocks(grff).map((block) => (z) => independentVariance(block, z))));
    const orthogonal = law(kernel, x, sumOf(blocks(gorf).map((block) => orthogonalVariance(block, d))));
    const [iid, ortho] = [errorOf(grff, kernel, m, x), errorOf(gorf, kernel, m, x)];
    within15(iid, independent);
    within15(ortho, orthogonal);
    within15(iid, grffError);
    expect(ortho).toBeLessThan(1.15 * gorfError);
    // Neither law is the other's.
    expectMutantFails(() => within15(ortho, independent));
    expectMutantFails(() => within15(iid, orthogonal));
  });
});

it.each([
  ['delta-gaussian', 16, 512],
  ['polynomial', 16, 512],
] as const)('GORF < GRFF < Maclaurin and tensor sketch on %s, d = %i, m = %i', (name, d, m) => {
  const kernel: Kernel = kernels[name]({ d });
  const x = kernel.domain === 'sphere' ? orthantRows(d, 60, 4) : rowsFor(kernel, 60, 4);
  const [ortho, iid, series, sketch] = (['gorf', 'grff', 'maclaurin', 'tensor-sketch'] as const).map((method) =>
    errorOf(methods[method], kernel, m, x),
  );
  expect(ortho).toBeLessThan(iid);
  expect(iid).toBeLessThan(Math.min(series, sketch));
});

/** Off the diagonal, with the measure fitted to the rows: √(mean over seeds of Σ_{i≠j} (k̂ − k)²) / √Σ_{i≠j} k². */
function errorsOnRows(kernel: Kernel, m: number, x: Float64Array): Record<string, number> {
  const want = gram(kernel, x);
  const n = x.length / kernel.d;
  const apart = (_: number, i: number) => Math.floor(i / n) !== i % n;
  const size = want.filter(apart).reduce((sum, value) => sum + value * value, 0);
  return Object.fromEntries(
    (['gorf', 'grff', 'maclaurin', 'tensor-sketch'] as const).map((name) => {
      let sum = 0;
      for (let seed = 0; seed < 12; seed++) {
        const map = methods[name](kernel, { m, seed, rows: x });
        const got = signedGram(map.signs, map.phi(x));
        sum +=
          got
            .map((value, i) => (value - want[i]) ** 2)
            .filter(apart)
            .reduce((all, value) => all + value, 0) / 12;
      }
      return [name, Math.sqrt(sum / size)];
    }),
  );
}

describe('the same on rows uniform on the sphere, where k is small beside the variance of a cosine', () => {
  const inOrder = (errors: Record<string, number>) => {
    expect(errors.gorf).toBeLessThan(errors.grff);
    expect(errors.grff).toBeLessThan(Math.min(errors.maclaurin, errors['tensor-sketch']));
  };
  it.each([
    { d: 8, a: 2, degree: 3 },
    { d: 16, a: 2, degree: 3 },
    { d: 32, a: 2, degree: 3 },
    { d: 16, a: 4, degree: 7 },
    { d: 32, a: 4, degree: 7 },
  ])('holds at 256 channels: %o', ({ d, a, degree }) => {
    inOrder(errorsOnRows(polynomial({ d, a, degree }), 256, rowsFor({ d, domain: 'sphere' }, 60, 7)));
  });

  it('and does not at 1,024 channels and d = 8, with six for each of the 165 monomials: a tensor sketch beats GRFF', () => {
    const errors = errorsOnRows(polynomial({ d: 8 }), 1024, rowsFor({ d: 8, domain: 'sphere' }, 60, 7));
    expectMutantFails(() => inOrder(errors));
    expect(errors['tensor-sketch']).toBeLessThan(errors.grff);
    expect(errors.gorf).toBeLessThan(1.05 * errors['tensor-sketch']);
  });
});

it('the error falls as m^-½', () => {
  const kernel = deltaGaussian({ d: 8 });
  const x = rowsFor(kernel, 40, 5);
  for (const method of [grff, gorf]) {
    const [few, many] = [128, 2048].map((m) => errorOf(method, kernel, m, x));
    const check = (slope: number) => expect(Math.abs(slope + 0.5)).toBeLessThan(0.07);
    check(Math.log(many / few) / Math.log(16));
    expectMutantFails(() => check(Math.log(many / few) / Math.log(8)));
  }
});

describe.each([
  ['grff', 8, grff],
  ['gorf', 8, gorf],
  ['grff', 32, grff],
  ['gorf', 32, gorf],
] as const)('the law of error on a fitted kernel: %s on polynomial, d = %i', (name, d, method) => {
  const kernel = kernels.polynomial({ d });
  const x = orthantRows(d, 50, 6);

  it.each([256, 1024])('m = %i: variance by the law, and the fit’s own error beside it', (m) => {
    // The measure and the share of frequencies, read from one map: amplitude a² = |w|/n, scale from E cos = exp(−s²t²/2).
    const distances = usedDistances(kernel);
    const measure =
      name === 'grff'
        ? measureByMass(kernel, m / 2, distances)
        : spectralMeasure(kernel, { frequencies: m / 2, distances, spread: orthogonalSpread(d, d) });
    const parts = [1, -1].map((sign) => measure.parts.filter(({ weight }) => weight * sign > 0));
    const blocks = blocksOf(method(kernel, { m, seed: 0 })).map(({ amplitude }, b): GaussianBlock => {
      const scales = parts[b].flatMap(({ weight, kappa }) => {
        const own =
          name === 'grff' ? 0 : Math.round(Math.abs(weight) / amplitude[ownAt(parts[b], weight, amplitude)] ** 2);
        return new Array<number>(own).fill(Math.sqrt(-2 * Math.log(kappa(0.5))) / 0.5);
      });
      return { scales, weights: amplitude.map((a) => a * a) };
    });
    const variance = (z: number) =>
      name === 'gorf'
        ? blocks.reduce((sum, block) => sum + orthogonalVariance(block, d)(z), 0)
        : parts.reduce((sum, own, b) => {
            const n = blocks[b].weights.length;
            if (n === 0) return sum;
            const mass = own.reduce((all, { weight }) => all + weight, 0);
            const mixed = (at: number) => own.reduce((all, { weight, kappa }) => all + (weight / mass) * kappa(at), 0);
            return sum + (mass ** 2 / n) * frequencyVariance(mixed, z);
          }, 0);
    const bias = (z: number) =>
      (measure.parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(z), measure.constant) -
        (1 - (z * z) / 4) ** 3) **
      2;
    const want = law(kernel, x, (z) => variance(z) + bias(z));
    const got = errorOf(method, kernel, m, x);
    within15(got, want);
    expectMutantFails(() => within15(got, law(kernel, x, bias)));
  });
});

/** Where in a stratified block the frequencies of the part of this weight begin. */
function ownAt(parts: readonly { readonly weight: number }[], weight: number, amplitude: Float64Array): number {
  let at = 0;
  for (const part of parts) {
    if (part.weight === weight) return at;
    at += Math.round(Math.abs(part.weight) / amplitude[at] ** 2);
  }
  throw new Error('no such part');
}
