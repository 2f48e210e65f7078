import { describe, expect, it } from 'vitest';
import { deltaGaussian } from '../../../src/features/kernels/delta-gaussian.js';
import { gram, type Kernel } from '../../../src/features/kernels/kernel.js';
import { frequencyVariance } from '../../../src/features/kernels/measure.js';
import { polynomial } from '../../../src/features/kernels/polynomial.js';
import { radial } from '../../../src/features/kernels/radial.js';
import { rbf } from '../../../src/features/kernels/rbf.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { tl1 } from '../../../src/features/kernels/tl1.js';
import { gaussians } from '../../../src/features/rng.js';
import { usedDistances } from '../../../src/features/signed/distances.js';
import { digamma, posteriorMixture } from '../../../src/features/signed/dvrf.js';
import { gorf, grff } from '../../../src/features/signed/methods.js';
import { type MethodName, methods } from '../../../src/features/signed/registry.js';
import { type KernelFeatures, signedGram } from '../../../src/features/signed/signed-map.js';
import { share } from '../../../src/features/signed/spectral-features.js';
import { spectralMeasure } from '../../../src/features/signed/spectral-measure.js';
import { sphericalCosine } from '../../../src/features/signed/spherical-cosine.js';
import { close, expectMutantFails } from '../../close.js';
import { rowsFor } from '../kernels/rows.js';

const d = 6;

/** Kernels a method takes; the others it refuses with PF411. */
const takes: Record<MethodName, (kernel: Kernel) => boolean> = {
  rff: ({ name }) => name === 'rbf' || name === 'laplace',
  orf: ({ name }) => name === 'rbf' || name === 'laplace',
  sorf: ({ name }) => name === 'rbf' || name === 'laplace',
  grff: () => true,
  gorf: () => true,
  maclaurin: ({ series }) => series !== undefined,
  'tensor-sketch': ({ series }) => series !== undefined,
  // Log and the default delta-Gaussian are nowhere positive.
  srf: ({ name, profile }) => profile?.norm === 2 && name !== 'log' && name !== 'delta-gaussian',
  dvrf: ({ profile }) => profile?.norm === 2,
};

const relative = (kernel: Kernel, method: KernelFeatures, m: number, x: Float64Array, seeds = 6) => {
  const want = gram(kernel, x);
  let sum = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const map = method(kernel, { m, seed, rows: x });
    sum += signedGram(map.signs, map.phi(x)).reduce((all, value, i) => all + (value - want[i]) ** 2, 0) / seeds;
  }
  return Math.sqrt(sum / want.reduce((all, value) => all + value * value, 0));
};

describe.each(Object.entries(methods) as [MethodName, KernelFeatures][])('method %s', (name, method) => {
  it.each(Object.entries(kernels))(
    'on %s: features of the size asked for, or a refusal that names method, kernel and remedy',
    (_, make) => {
      const kernel: Kernel = make({ d });
      if (!takes[name](kernel)) {
        expect(() => method(kernel, { m: 64 })).toThrow(
          `PF411  ${name} cannot make features of the ${kernel.name} kernel`,
        );
        return;
      }
      const x = rowsFor(kernel, 5, 1);
      const map = method(kernel, { m: 64, seed: 3 });
      const phi = map.phi(x);
      expect(map.features).toBeLessThanOrEqual(64);
      expect(map.features).toBeGreaterThanOrEqual(name === 'tensor-sketch' ? 24 : 62);
      expect(phi.length).toBe(5 * map.features);
      expect(phi.every(Number.isFinite)).toBe(true);
      expect([...map.signs]).toEqual([...map.signs].sort((a, b) => b - a));
      expect(map.bytes).toBeGreaterThan(0);
      expect(map.flops).toBeGreaterThan(0);
      // The same options, the same features; a row's features do not depend on the rows beside it.
      expect(method(kernel, { m: 64, seed: 3 }).phi(x)).toEqual(phi);
      expect(method(kernel, { m: 64, seed: 4 }).phi(x)).not.toEqual(phi);
      expect(map.phi(x.subarray(2 * d, 3 * d))).toEqual(phi.subarray(2 * map.features, 3 * map.features));
    },
  );

  it('refuses m = 0, a bad seed, rows of another width, NaN, and rows off the sphere', () => {
    const kernel = rbf({ d });
    expect(() => method(kernel, { m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => method(kernel, { m: Number.NaN })).toThrow('PF202  m must be an integer >= 1, got NaN');
    expect(() => method(kernel, { m: 64, seed: -1 })).toThrow(
      'PF202  seed must be an integer in [0, 4294967295], got -1',
    );
    const map = method(kernel, { m: 64 });
    expect(() => map.phi(new Float64Array(d + 1))).toThrow('PF202  x must be rows of d = 6 numbers, got 7 numbers');
    expect(() => map.phi([0, 0, Number.NaN, 0, 0, 0])).toThrow('PF202  x[2] must be finite, got NaN');
    const onSphere = polynomial({ d });
    if (takes[name](onSphere)) {
      expect(() => method(onSphere, { m: 64 }).phi([2, 0, 0, 0, 0, 0])).toThrow('PF413  row 0 must have length 1');
    }
  });
});

describe('too few channels', () => {
  it('are refused with the least that will do', () => {
    expect(() => gorf(kernels.log({ d }), { m: 12 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF412  m must be at least 17 for the log kernel's signed measure, got 12
        at   features.m
        mend use m = 17 or more, or grff, which needs no channels for each part]
    `);
    expect(() => grff(kernels['delta-gaussian']({ d }), { m: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF412  m must be at least 4 for the delta-gaussian kernel's signed measure, got 3
        at   features.m
        mend use m = 4 or more]
    `);
  });
});

describe('a kernel with no valid signed split', () => {
  it('is refused by name, with the remedy', () => {
    const dotProduct: Kernel = {
      name: 'sigmoid',
      d: 2,
      domain: 'space',
      value: (x, y) => Math.tanh(x[0] * y[0] + x[1] * y[1]),
    };
    expect(() => gorf(dotProduct, { m: 64 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF411  the sigmoid kernel is no function of a distance: it has no signed split
        at   features.kernel
        mend normalise rows and give the kernel a profile on the sphere, or use maclaurin or tensor-sketch]
    `);
    const singular: Kernel = {
      ...radial({ d: 2, of: () => 1, range: 1 }),
      profile: { norm: 2, range: 1, of: (t) => 1 / t },
    };
    expect(() => grff(singular, { m: 64 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF411  the radial kernel is Infinity at distance 0: no finite measure has it
        at   features.kernel
        mend cut the kernel off near its singularity, for example k(t) = f(max(t, 0.01))]
    `);
    expect(() => methods.rff(kernels.tl1({ d: 2 }), { m: 64 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF411  rff cannot make features of the tl1 kernel: it has no positive spectral measure in closed form
        at   features.kernel
        mend use grff or gorf, which split a signed measure into a positive and a negative block]
    `);
  });
});

describe('a fitted measure', () => {
  const measureOf = (kernel: Kernel, frequencies: number) =>
    spectralMeasure(kernel, { frequencies, distances: usedDistances(kernel), spread: frequencyVariance });
  const rms = (kernel: Kernel, frequencies: number) => {
    const { constant, parts } = measureOf(kernel, frequencies);
    const { profile } = kernel;
    if (!profile) throw new Error('a profile is what is fitted');
    const errors = Array.from({ length: 101 }, (_, i) => {
      const t = (i / 100) * profile.range;
      return parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), constant) - profile.of(t);
    });
    return Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length);
  };

  it('tightens as frequencies are added, and carries more mass for it', () => {
    for (const make of [polynomial, kernels.epanechnikov, kernels['arc-cosine-0'], kernels.ntk, tl1]) {
      const kernel: Kernel = make({ d });
      const [few, many] = [rms(kernel, 32), rms(kernel, 32_768)];
      expect(many).toBeLessThan(0.6 * few);
    }
  });

  it('finds a mixture that it was given', () => {
    const mixture = radial({
      d,
      range: 4,
      of: (t) => 2 * Math.exp(-0.5 * t * t) - 0.7 * Math.exp(-0.5 * (3 * t) ** 2) + 0.3,
    });
    const { constant, parts } = measureOf(mixture, 1e12);
    const at = (t: number) => parts.reduce((sum, { weight, kappa }) => sum + weight * kappa(t), constant);
    for (const t of [0, 0.3, 1, 2.2, 4]) expect(Math.abs(at(t) - (mixture.profile?.of(t) ?? 0))).toBeLessThan(1e-4);
  });

  it('fits the distances it will see: rows near one another make TL1 light', () => {
    const kernel = tl1({ d: 16 });
    const near = rowsFor(kernel, 40, 7).map((value) => 0.5 + 0.2 * value);
    const mass = (distances: Float64Array) =>
      spectralMeasure(kernel, { frequencies: 256, distances, spread: frequencyVariance }).parts.reduce(
        (sum, { weight }) => sum + Math.abs(weight),
        0,
      );
    expect(mass(usedDistances(kernel, near))).toBeLessThan(0.6 * mass(usedDistances(kernel)));
    expect(relative(kernel, gorf, 512, near)).toBeLessThan(0.05);
  });

  it('needs two rows, whole and finite', () => {
    expect(() => gorf(tl1({ d: 2 }), { m: 64, rows: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  rows must hold at least 2 rows of width 2, got 1
        at   features.rows
        mend pass a hundred rows or more from where the kernel will be used, or leave rows out]
    `);
    expect(() => gorf(tl1({ d: 2 }), { m: 64, rows: [1, 2, 3] })).toThrow(
      'PF202  x must be rows of d = 2 numbers, got 3',
    );
  });
});

describe('baselines', () => {
  const kernel = polynomial({ d });
  const x = rowsFor(kernel, 40, 2);

  it('SRF has a floor where the kernel is indefinite, and GORF has none', () => {
    const terms = [1, -0.5].map((weight) => ({ weight, sigma: Math.sqrt(d) * (weight > 0 ? 0.35 : 1) }));
    const cut = deltaGaussian({ d, terms });
    const rows = rowsFor(cut, 40, 2);
    const floors = [methods.srf, gorf].map((method) => relative(cut, method, 16_384, rows, 2));
    expect(floors[1]).toBeLessThan(0.03);
    expect(floors[0]).toBeGreaterThan(5 * floors[1]);
    // Of a kernel without negative mass worth the name it is as good as GRFF.
    expect(relative(kernel, methods.srf, 512, x)).toBeLessThan(1.1 * relative(kernel, grff, 512, x));
  });

  it('DVRF comes near GRFF, whose spectrum it models', () => {
    const [model, itself] = [methods.dvrf, grff].map((method) =>
      relative(kernels['delta-gaussian']({ d }), method, 1024, rowsFor({ d, domain: 'space' }, 40, 2)),
    );
    expect(model).toBeGreaterThan(0.7 * itself);
    expect(model).toBeLessThan(2 * itself);
  });

  it('the Dirichlet-process mixture finds two scales and their shares', () => {
    const normal = gaussians(5);
    const squares = Float64Array.from({ length: 400 }, (_, n) => {
      const scale = n % 4 === 0 ? 4 : 1;
      return Array.from({ length: 16 }, normal).reduce((sum, g) => sum + (scale * g) ** 2, 0);
    });
    const found = posteriorMixture(squares, 16);
    close([found.reduce((sum, { share: part }) => sum + part, 0)], [1], 1e-12);
    for (const [near, part] of [
      [1, 0.75],
      [4, 0.25],
    ]) {
      const own = found.filter(({ scale }) => Math.abs(Math.log2(scale / near)) < 1);
      const total = own.reduce((sum, { share: each }) => sum + each, 0);
      const square = own.reduce((sum, { share: each, scale }) => sum + each * scale ** 2, 0) / total;
      expect(Math.abs(total - part)).toBeLessThan(0.03);
      expect(Math.abs(square / near ** 2 - 1)).toBeLessThan(0.1);
    }
  });

  it('special functions: ψ(1) = −γ, ψ(½) = −γ − 2 ln 2; Λ₃(t) = sin t/t, Λ₁ = cos, Λ₂ = J₀', () => {
    close([digamma(1), digamma(0.5)], [-0.5772156649015329, -1.9635100260214235], 1e-9);
    for (const t of [0.1, 1, 7, 60]) close([sphericalCosine(3)(t)], [Math.sin(t) / t], 1e-9);
    close(
      [sphericalCosine(1)(2), sphericalCosine(2)(2), sphericalCosine(2)(10)],
      [Math.cos(2), 0.2238907791412357, -0.2459357644513483],
      1e-9,
    );
    // Large d: Λ_d(t) → exp(−t²/2d).
    expect(Math.abs(sphericalCosine(4096)(64) - Math.exp(-0.5))).toBeLessThan(1e-3);
  });

  it('share() is exact, keeps the least and gives nothing to no need', () => {
    expect(share([1, 1, 2], 8, [1, 1, 1])).toEqual([2, 2, 4]);
    expect(share([0, 1], 5, [0, 1])).toEqual([0, 5]);
    expect(share([100, 1, 1], 5, [1, 1, 1])).toEqual([3, 1, 1]);
    for (let total = 3; total < 40; total++) {
      const counts = share([3, 0.01, 1.7], total, [1, 1, 1]);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(total);
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
    }
    expectMutantFails(() => expect(share([1, 1], 4, [1, 1])).toEqual([3, 1]));
  });
});
