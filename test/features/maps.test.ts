import { describe, expect, it } from 'vitest';
import type { FeatureConstants } from '../../src/features/favor-plus.js';
import { iidGaussian } from '../../src/features/gaussian.js';
import type { CalibratedOptions, PairMoments } from '../../src/features/moments.js';
import { featureMaps } from '../../src/features/registry.js';
import { expectMutantFails } from '../close.js';

// The test vectors of METHODS A and its oracles.json: x·y = .18, |x + y|² = .97.
const [x, y, z, kernel] = [[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], [0.9, 0.4, 0, 0], 1.1972173631218102];
const half = z.map((value) => value / 2);
const outer = z.flatMap((a) => z.map((b) => a * b));
const [heads, m] = [4000, 256];

/** R of one draw (of a pair for hyperbolic) and relative RMSE at 256 features, from oracles.json; moments of one head. */
const oracles: Record<
  string,
  { R: number; error: number; draws?: number; moments?: Record<keyof PairMoments, number[]> }
> = {
  'favor+': { R: 2.637944459354152, error: 0.07998887762903138 },
  hyperbolic: { R: 1.5085137487287754, error: 0.0630298632549965, draws: 0.5 },
  oprf: { R: 2.031638651178074, error: 0.06348100882283104, moments: { mean: [0, 0, 0, 0], second: outer } },
  sderf: { R: 1.5867551444871784, error: 0.047874965098191356, moments: { mean: [0, 0, 0, 0], second: outer } },
  shift: { R: 1.2744312491634178, error: 0.032741366297767735, moments: { mean: half, second: new Array(16).fill(0) } },
};

const repeated = (values: readonly number[], times: number) =>
  Float64Array.from({ length: values.length * times }, (_, i) => values[i % values.length]);

function optionsFor(name: string, count = heads): CalibratedOptions {
  const moments = oracles[name]?.moments;
  return {
    heads: count,
    headDim: 4,
    m,
    sampler: iidGaussian,
    moments: moments && { mean: repeated(moments.mean, count), second: repeated(moments.second, count) },
  };
}

/** φ(x)·φ(y) / K by each head, with ω·x − |x|²/2 multiplied by `slip`. */
function ratios({ omega, bias }: FeatureConstants, slip = 1): Float64Array {
  const feature = (vector: readonly number[], row: number) => {
    let exponent = 0;
    for (let i = 0; i < 4; i++) exponent += vector[i] * omega[row * 4 + i] - vector[i] ** 2 / 2;
    return Math.exp(slip * exponent + bias[row]);
  };
  return Float64Array.from({ length: bias.length / m }, (_, h) => {
    let sum = 0;
    for (let row = h * m; row < (h + 1) * m; row++) sum += feature(x, row) * feature(y, row);
    return sum / kernel;
  });
}

const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe.each(Object.entries(featureMaps))('positive map %s', (name, map) => {
  const { R, error, draws = 1 } = oracles[name];
  const constants = map(optionsFor(name));

  it('is unbiased: |z| < 4 by the analytic variance over 1,024,000 draws, which exponents off by 1 % fail', () => {
    const check = (slip: number) => {
      const z = (meanOf(ratios(constants, slip)) - 1) / Math.sqrt((R - 1) / (heads * m * draws));
      expect(Math.abs(z)).toBeLessThan(4);
    };
    check(1);
    expectMutantFails(() => check(0.99));
    expectMutantFails(() => check(1.01));
  });

  it('errs by √((R − 1) / draws) within 5 % over 4,000 repetitions, which an error 15 % larger fails', () => {
    expect(Math.sqrt((R - 1) / (m * draws))).toBeCloseTo(error, 12);
    const got = Math.sqrt(meanOf(ratios(constants).map((value) => (value - 1) ** 2)));
    const check = (want: number) => expect(Math.abs(got / want - 1)).toBeLessThan(0.05);
    check(error);
    expectMutantFails(() => check(error / 1.15));
    // FAVOR+'s own error, so that the moments and pairs are seen to matter.
    if (name !== 'favor+') expectMutantFails(() => check(oracles['favor+'].error));
  });

  it('repeats with the seed, and changes with it and with the head', () => {
    const options = { ...optionsFor(name, 2), seed: 5 };
    expect(map(options)).toEqual(map(options));
    expect(map({ ...options, seed: 6 }).omega).not.toEqual(map(options).omega);
    const { omega } = map(options);
    expect(omega.subarray(0, m * 4)).not.toEqual(omega.subarray(m * 4));
  });

  it('refuses m = 0 and NaN', () => {
    expect(() => map({ ...optionsFor(name, 1), m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => map({ ...optionsFor(name, 1), headDim: Number.NaN })).toThrow(
      'PF202  d must be an integer >= 1, got NaN',
    );
    expect(() => map({ ...optionsFor(name, 1), seed: Number.NaN })).toThrow('PF202  seed must be an integer in');
  });
});
