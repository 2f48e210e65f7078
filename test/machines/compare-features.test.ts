import { describe, expect, it } from 'vitest';
import { kernels } from '../../src/features/kernels/registry.js';
import { gaussians } from '../../src/features/rng.js';
import {
  compareFeatures,
  type FeatureRow,
  featureMethods,
  methodsFor,
  scalingFor,
} from '../../src/machines/compare-features.js';
import { prepareRows } from '../../src/machines/prepare-rows.js';
import { expectMutantFails } from '../close.js';

const normal = gaussians(3);
const [n, d] = [300, 4];
const x = Float64Array.from({ length: n * d }, () => 5 + 2 * normal());
x[2] = 1e6; // an outlier, as the EEG data have
const labels = Int32Array.from({ length: n }, (_, i) => (Math.hypot(x[i * d] - 5, x[i * d + 1] - 5) > 2.4 ? 1 : 0));
const raw = { x, d, labels };

describe('prepared rows', () => {
  const statistics = (rows: Float64Array) => {
    const mean = rows.reduce((sum, value) => sum + value, 0) / rows.length;
    return { mean, variance: rows.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows.length };
  };

  it('lie in [0, 1], or have unit variance, or unit length', () => {
    const unit = prepareRows(raw, { scaling: 'unit', train: 200, test: 100 });
    expect([Math.min(...unit.train, ...unit.test), Math.max(...unit.train, ...unit.test)]).toEqual([0, 1]);
    const { mean, variance } = statistics(prepareRows(raw, { scaling: 'standard', train: 200, test: 100 }).train);
    expect([mean, variance]).toEqual([expect.closeTo(0, 10), expect.closeTo(1, 10)]);
    const { train } = prepareRows(raw, { scaling: 'sphere', train: 200, test: 100 });
    for (let i = 0; i < 200; i++) expect(Math.hypot(...train.subarray(i * d, (i + 1) * d))).toBeCloseTo(1, 12);
  });

  it('are split without a row in both parts, alike for one seed, and never use test rows to scale', () => {
    const prepared = prepareRows(raw, { scaling: 'unit', train: 200, test: 100 });
    const key = (rows: Float64Array, i: number) => rows.subarray(i * d, (i + 1) * d).join();
    const seen = new Set(Array.from({ length: 200 }, (_, i) => key(prepared.train, i)));
    expect(Array.from({ length: 100 }, (_, i) => key(prepared.test, i)).filter((row) => seen.has(row))).toEqual([]);
    expect(prepareRows(raw, { scaling: 'unit', train: 200, test: 100 })).toEqual(prepared);
    const more = prepareRows(raw, { scaling: 'unit', train: 200, test: 50 });
    expect(more.train).toEqual(prepared.train);
    expect(more.test).toEqual(prepared.test.subarray(0, 50 * d));
  });

  it('are as many as there are, in the ratio asked for', () => {
    const { trainLabels, testLabels } = prepareRows(raw, { scaling: 'unit', train: 2000, test: 1000 });
    expect([trainLabels.length, testLabels.length]).toEqual([200, 100]);
  });

  it('are divided by the bandwidth', () => {
    const wide = prepareRows(raw, { scaling: 'standard', train: 200, test: 100, bandwidth: 2 });
    expect(statistics(wide.train).variance).toBeCloseTo(0.25, 10);
  });

  it('refuse counts and bandwidths that are none', () => {
    expect(() => prepareRows(raw, { scaling: 'unit', train: 1, test: 9 })).toThrow(
      'PF423  train must be an integer >= 2, got 1',
    );
    expect(() => prepareRows(raw, { scaling: 'unit', train: 9, test: 9, bandwidth: 0 })).toThrow(
      'PF423  bandwidth must be a positive number, got 0',
    );
  });
});

describe('the comparison of features', () => {
  const kernel = kernels.rbf({ d });
  const rows = prepareRows(raw, { scaling: scalingFor(kernel), train: 200, test: 100 });
  const compare = (options: Partial<Parameters<typeof compareFeatures>[0]> = {}) =>
    compareFeatures({ data: 'circle', rows, kernel, methods: ['orf'], m: [16, 256], seeds: [0, 1], c: 10, ...options });
  const meanError = (all: readonly FeatureRow[], m: number) => {
    const own = all.filter((row) => row.m === m);
    return own.reduce((sum, { error }) => sum + error, 0) / own.length;
  };

  it('has a row for the exact kernel and one for each method, m and seed', () => {
    const seen: number[] = [];
    const got = compare({ onRow: (_, done, total) => seen.push(done / total) });
    expect(got.map(({ method, m, seed }) => [method, m, seed])).toEqual([
      ['exact', 0, 0],
      ['orf', 16, 0],
      ['orf', 16, 1],
      ['orf', 256, 0],
      ['orf', 256, 1],
    ]);
    expect(seen.at(-1)).toBe(1);
    expect(got[0]).toMatchObject({ error: 0, bytes: 4 * d, kernel: 'rbf', data: 'circle' });
    for (const { accuracy } of got) expect(accuracy).toBeGreaterThan(0.6);
    expect(got[0].accuracy).toBeGreaterThan(0.9);
  });

  it('has errors that fall as 1/√m for independent rows', () => {
    const got = compare({ methods: ['rff'], m: [64, 1024], seeds: [0, 1, 2, 3, 4, 5], c: undefined });
    const check = (slip: number) => {
      const slope = Math.log((slip * meanError(got, 64)) / meanError(got, 1024)) / Math.log(16);
      expect(Math.abs(slope - 0.5)).toBeLessThan(0.12);
    };
    check(1);
    expectMutantFails(() => check(2));
    expect(got.every(({ accuracy }) => accuracy === null)).toBe(true);
  });

  it('counts bytes a stored row: four a channel in float32, bits a channel in low bits', () => {
    const got = compare({ methods: ['orf', 'nearest@4', 'universal@1'], m: [64], seeds: [0], c: undefined });
    expect(got.map(({ method, bytes }) => [method, bytes])).toEqual([
      ['exact', 16],
      ['orf', 256],
      ['nearest@4', 32],
      ['universal@1', 8],
    ]);
  });

  it('says of each kernel which methods make features of it', () => {
    for (const make of Object.values(kernels))
      for (const name of methodsFor(make({ d }))) expect(featureMethods).toHaveProperty([name]);
    expect(methodsFor(kernel)).toContain('rff');
    expect(methodsFor(kernels.tl1({ d }))).not.toContain('rff');
    expect(methodsFor(kernels.tl1({ d }))).toContain('gorf');
  });

  it('refuses a method it does not know', () => {
    expect(() => compare({ methods: ['orff'] })).toThrow("PF430  there is no method 'orff': rff, orf");
  });
});
