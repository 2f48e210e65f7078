import { describe, expect, it } from 'vitest';
import { doubleSoftmax, type PositiveFeatures } from '../../src/attention/double-softmax.js';
import { favorPlus } from '../../src/features/favor-plus.js';
import { close, expectMutantFails, relRMS } from '../close.js';
import { type Attention, featureAttention, softmaxAttention } from '../oracle/attention.js';
import { cases, mutants, normalInput } from './cases.js';

const M = 24;
const constantsFor = ({ H, D }: Attention, m = M) => favorPlus({ heads: H, headDim: D, m, seed: 11 });
const oracle = (input: Attention, { omega }: PositiveFeatures) => featureAttention(input, Float64Array.from(omega), M);

describe.each(Object.entries(cases))('double softmax: %s', (_name, input) => {
  const constants = constantsFor(input);

  it('equals linear attention with the features written out', () => {
    close(doubleSoftmax(input, constants), oracle(input, constants), 1e-12);
  });

  it.each(Object.entries(mutants(input)))('refuses the mutant: %s', (_mutant, mutant) => {
    expectMutantFails(() => close(doubleSoftmax(mutant, constants), oracle(input, constants), 1e-12));
  });
});

describe('double softmax', () => {
  const input = cases['ragged, batch 2, E ≠ D'];

  it('does not depend on a bias that all features share, and does on one that they do not', () => {
    const { omega, bias } = constantsFor(input);
    const want = oracle(input, { omega, bias });
    close(doubleSoftmax(input, { omega, bias: bias.map(() => 0) }), want, 1e-12);
    expectMutantFails(() => close(doubleSoftmax(input, { omega, bias: bias.map((_, r) => r / M) }), want, 1e-12));
  });

  it('carries the bias twice on the key side: doubling the weight of a feature is 2b = ln 2', () => {
    const { omega, bias } = constantsFor({ ...input, H: 1 });
    const single = { ...input, B: 1, H: 1, ...firstHead(input) };
    // Feature 0 listed twice counts double; with bias + ½ ln 2 it must do so too.
    const twice = new Float64Array([...omega, ...omega.subarray(0, input.D)]);
    const raised = Float64Array.from(bias, (b, r) => b + (r === 0 ? Math.LN2 / 2 : 0));
    const want = featureAttention(single, twice, M + 1);
    close(doubleSoftmax(single, { omega, bias: raised }), want, 1e-12);
    const once = Float64Array.from(bias, (b, r) => b + (r === 0 ? Math.LN2 / 4 : 0));
    expectMutantFails(() => close(doubleSoftmax(single, { omega, bias: once }), want, 1e-12));
  });

  it('gives zeros for a fully masked row', () => {
    const masked = cases['a fully masked row'];
    const out = doubleSoftmax(masked, constantsFor(masked));
    expect(out.subarray(out.length / 2).every((value) => value === 0)).toBe(true);
    expect(out.subarray(0, out.length / 2).every((value) => value !== 0)).toBe(true);
  });

  it('returns a constant value exactly, however large q and k: the weights sum to 1', () => {
    const large = normalInput({ B: 1, H: 2, N: 41, S: 41, D: 8, E: 8 }, 9, { qSize: 1e4 });
    const out = doubleSoftmax({ ...large, k: large.k.map((x) => 1e3 * x), v: large.v.fill(3) }, constantsFor(large));
    close(
      out,
      out.map(() => 3),
      1e-14,
    );
  });

  it('comes nearer to softmax as M^-½, and does not where every ω is 10 % too long', () => {
    // scale .05 keeps |x + y|² near .8, where FAVOR+ works. 64 times the features: an eighth of the error (measured
    // with four seeds: 7.5 to 8.2).
    const small = { ...normalInput({ B: 1, H: 32, N: 16, S: 32, D: 8, E: 8 }, 10), scale: 0.05 };
    const want = softmaxAttention(small);
    const gain = (length: number) => {
      const [few, many] = [64, 4096].map((m) => {
        const { omega, bias } = constantsFor(small, m);
        return relRMS(doubleSoftmax(small, { omega: omega.map((x) => length * x), bias }), want);
      });
      return few / many;
    };
    const check = (ratio: number) => expect(Math.abs(Math.log2(ratio) - 3)).toBeLessThan(0.5);
    check(gain(1));
    expectMutantFails(() => check(gain(1.1)));
  });

  it('with an Ω a side is the shared one where both are equal, head by head', () => {
    const { omega, bias } = constantsFor(input);
    const { H, D } = input;
    const identity = Float64Array.from({ length: H * D * D }, (_, i) => Number((i % (D * D)) % (D + 1) === 0));
    const want = doubleSoftmax(input, { omega, bias });
    const check = (queryOmega: Float32Array) =>
      close(doubleSoftmax(input, { queryOmega, keyOmega: omega, keyBasis: identity, bias }), want, 1e-14);
    check(omega);
    expectMutantFails(() => check(omega.map((value) => 1.01 * value)));
    // A basis of each head's own: Ω y and |Gy|² with G = 2I is Ω/2 on 2y.
    const doubled = { ...input, k: input.k.map((value) => 2 * value) };
    const half = omega.map((value) => value / 2);
    close(
      doubleSoftmax(input, { queryOmega: omega, keyOmega: omega, keyBasis: identity.map((one) => 2 * one), bias }),
      doubleSoftmax(doubled, { queryOmega: omega, keyOmega: half, keyBasis: identity, bias }),
      1e-12,
    );
    expect(() =>
      doubleSoftmax(input, { queryOmega: omega, keyOmega: omega, keyBasis: identity.subarray(1), bias }),
    ).toThrow('keyBasis must hold [H,D,D] = [3,8,8] = 192 numbers, got 191');
  });

  it('reports every constant of the wrong length at once', () => {
    const constants = constantsFor(input);
    const wrong = { omega: constants.omega.subarray(1), bias: constants.bias.subarray(1) };
    expect(() => doubleSoftmax({ ...input, scale: -1 }, wrong)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  scale must be positive for √scale to exist, got -1; bias must hold [H,M] = [3,23] = 69 numbers, got 71; omega must hold [H,M,D] = [3,23,8] = 552 numbers, got 575
        at   features
        mend make the constants for the heads and head width of this layer]
    `);
  });
});

function firstHead({ N, S, D, E, q, k, v }: Attention): Pick<Attention, 'q' | 'k' | 'v'> {
  return { q: q.subarray(0, N * D), k: k.subarray(0, S * D), v: v.subarray(0, S * E) };
}
