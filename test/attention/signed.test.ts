import { describe, expect, it } from 'vitest';
import { liftOf, signedAttention, signedNormalisers } from '../../src/attention/signed.js';
import { deltaGaussian } from '../../src/features/kernels/delta-gaussian.js';
import { polynomial } from '../../src/features/kernels/polynomial.js';
import { rbf } from '../../src/features/kernels/rbf.js';
import { gorf } from '../../src/features/signed/methods.js';
import { methods } from '../../src/features/signed/registry.js';
import type { SignedMap } from '../../src/features/signed/signed-map.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { signedAttention as oracle, type SignedFrequencies, signedKernel } from '../oracle/signed-attention.js';
import { cases, mutants, normalInput } from './cases.js';

/** A centre less half its surround: positive near, negative farther out. */
const kernelFor = (d: number) =>
  deltaGaussian({
    d,
    terms: [
      { weight: 1, sigma: 1 },
      { weight: -0.5, sigma: 2 },
    ],
  });
/** A bump with a dent: signed too, but positive, so that the guard lets rows through. */
const dented = (d: number) =>
  deltaGaussian({
    d,
    terms: [
      { weight: 1, sigma: 4 },
      { weight: -0.3, sigma: 2 },
    ],
  });

function frequenciesOf({ fourier }: SignedMap): SignedFrequencies {
  if (!fourier) throw new Error('not a Fourier map');
  const { positive, negative } = fourier;
  return {
    constant: positive.constant - negative.constant,
    omega: Float64Array.of(...positive.omega, ...negative.omega),
    weight: Float64Array.of(...positive.amplitude.map((a) => a * a), ...negative.amplitude.map((a) => -a * a)),
  };
}

const names = Object.keys(signedNormalisers) as (keyof typeof signedNormalisers)[];
const forms = {
  lift: (lift: number) => ({ lift }),
  'total-variation': () => ({ by: 'sizes' as const }),
  guard: () => ({}),
  count: () => ({ by: 'count' as const }),
};

describe.each(Object.entries(cases))('signed attention: %s', (_name, input) => {
  const kernel = dented(input.D);
  const map = gorf(kernel, { m: 64, seed: 3 });
  const lift = liftOf(kernel, map);

  it.each(names)('%s equals the weights written out, where rows are not rejected', (normaliser) => {
    const want = oracle(input, frequenciesOf(map), forms[normaliser](lift));
    // The rejected rows are another test's.
    const check = (mutant: Attention, used: SignedMap) => {
      const { output } = signedAttention(mutant, { map: used, normaliser, lift, kappa: 0 });
      const { rejected } = signedAttention(input, { map, normaliser, lift, kappa: 0 });
      const kept = (values: Float64Array) => values.filter((_, at) => rejected[Math.floor(at / input.E)] === 0);
      close(kept(output), kept(want), 1e-9);
    };
    check(input, map);
    // With one key there is one weight, which D divides out: only swapped values show, and a lost sign where D has it.
    for (const mutant of Object.values(mutants(input))) expectMutantFails(() => check(mutant, map));
    const unsigned = { ...map, signs: map.signs.map(() => 1) };
    if (input.S > 1 || normaliser === 'count') expectMutantFails(() => check(input, unsigned));
  });
});

describe('the failure region', () => {
  const D = 4;
  const kernel = kernelFor(D);
  const map = gorf(kernel, { m: 2048, seed: 1 });
  const lift = liftOf(kernel, map);
  const near = normalInput({ B: 1, H: 1, N: 512, S: 48, D, E: 3 }, 21);
  // Queries 12 away from every key, where k is 0 and D_i is noise.
  const far = { ...near, q: near.q.map((value, at) => value + (at % D === 0 ? 24 : 0)) };
  const most = Math.max(...near.v.map(Math.abs));
  const largest = (output: Float64Array) => Math.max(...output.map(Math.abs));
  const mean = Float64Array.from({ length: 3 }, (_, e) => {
    let sum = 0;
    for (let j = 0; j < near.S; j++) sum += near.v[j * 3 + e] / near.S;
    return sum;
  });

  it('far from all keys D_i is noise: divided by it, outputs are many times any value', () => {
    const naive = signedAttention(far, { map, normaliser: 'guard', kappa: 0 });
    expect(largest(naive.output)).toBeGreaterThan(5 * most);
  });

  it('the guard rejects such rows, says which, and gives them the mean of the values', () => {
    const { output, rejected } = signedAttention(far, { map, normaliser: 'guard', kappa: 3 });
    expect(rejected.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0.9 * far.N);
    rejected.forEach((each, i) => {
      if (each) close(output.subarray(3 * i, 3 * i + 3), mean, 1e-14);
    });
    expect(largest(output)).toBeLessThan(2 * most);
  });

  it('the lift needs no rejection there and gives nearly the mean; near keys its outputs are means of values', () => {
    const there = signedAttention(far, { map, normaliser: 'lift', lift });
    expect(there.rejected.some(Boolean)).toBe(false);
    for (let i = 0; i < far.N; i++) {
      const row = there.output.subarray(3 * i, 3 * i + 3);
      expect(Math.max(...row.map((value, e) => Math.abs(value - mean[e])))).toBeLessThan(0.3);
    }
    const here = signedAttention(near, { map, lift });
    expect(here.rejected.some(Boolean)).toBe(false);
    expect(largest(here.output)).toBeLessThanOrEqual(most);
  });

  it('the lift makes weights positive: all but one pair in a thousand, where without it many are not', () => {
    const frequencies = frequenciesOf(map);
    const count = (lifted: number) => {
      let negative = 0;
      for (let i = 0; i < near.N; i++) {
        for (let j = 0; j < near.S; j++) {
          const x = near.q.slice(i * D, (i + 1) * D).map((value) => value / Math.SQRT2);
          const y = near.k.slice(j * D, (j + 1) * D).map((value) => value / Math.SQRT2);
          if (signedKernel(frequencies, x, y) + lifted < 0) negative++;
        }
      }
      return negative / (near.N * near.S);
    };
    expect(count(lift)).toBeLessThanOrEqual(0.001);
    expect(count(0)).toBeGreaterThan(0.2);
  });

  it('total variation keeps outputs within the largest value wherever it does not reject', () => {
    for (const input of [near, far]) {
      const { output } = signedAttention(input, { map, normaliser: 'total-variation', kappa: 3 });
      expect(largest(output)).toBeLessThan(1.2 * most);
    }
  });

  it('a constant value comes back from a mean and from a rejected row, not from total variation', () => {
    const constant = { ...near, v: near.v.map(() => 2) };
    for (const normaliser of ['lift', 'guard'] as const) {
      const { output } = signedAttention(constant, { map, normaliser, lift });
      close(
        output,
        output.map(() => 2),
        1e-9,
      );
    }
    const { output } = signedAttention(constant, { map, normaliser: 'total-variation' });
    expectMutantFails(() =>
      close(
        output,
        output.map(() => 2),
        0.01,
      ),
    );
  });

  it('takes maps that are no cosines, and refuses to find a lift for them', () => {
    const other = methods.maclaurin(rbf({ d: D }), { m: 4096, seed: 2 });
    const { output } = signedAttention({ ...near, scale: 0.1 }, { map: other, normaliser: 'guard' });
    expect(output.every(Number.isFinite)).toBe(true);
    expect(() => liftOf(rbf({ d: D }), other)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF411  the rbf kernel has no bound to lift it by: it needs cosine and sine features
        at   attention.liftOf
        mend use grff or gorf features, or pass a lift of your own: a number c with k + c > 0]
    `);
  });

  it('reports every wrong option at once, and rows off the sphere by number', () => {
    const wrong = { map: gorf(kernelFor(3), { m: 16 }), normaliser: 'lift' as const, kappa: -1 };
    expect(() => signedAttention({ ...near, scale: 0 }, wrong)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  map must be of width D = 4, got 3; scale must be positive for √scale to exist, got 0; lift must be finite and >= 0 with normaliser 'lift', got undefined; kappa must be finite and >= 0, got -1
        at   attention.signed
        mend make the map for the head width of this layer, and its lift with liftOf(kernel, map)]
    `);
    const onSphere = gorf(polynomial({ d: D }), { m: 64 });
    expect(() => signedAttention(near, { map: onSphere, lift: 1 })).toThrow('PF413  row 0 must have length 1');
  });
});
