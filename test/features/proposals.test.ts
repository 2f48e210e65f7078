import { describe, expect, it } from 'vitest';
import { favorPlus } from '../../src/features/favor-plus.js';
import { rFactor } from '../../src/features/gaussian-proposal.js';
import type { PairMoments } from '../../src/features/moments.js';
import { oprfProposal, optimalA } from '../../src/features/oprf.js';
import { featureMaps } from '../../src/features/registry.js';
import { sderfProposal } from '../../src/features/sderf.js';
import { close, expectMutantFails } from '../close.js';

// The test vectors of METHODS A; the numbers below are those of its oracles.json.
const z = [0.9, 0.4, 0, 0];
const half = z.map((value) => value / 2);
const oblique = { heads: 1, headDim: 4, m: 8, moments: { second: z.flatMap((a) => z.map((b) => a * b)) } };

describe('proposals', () => {
  it('OPRF: A, B, D and R of METHODS A.5', () => {
    const A = optimalA(0.97, 4);
    close(
      [A, Math.sqrt(1 - 4 * A), (1 - 4 * A) ** (4 / 4)],
      [-0.09506141023600159, 1.1748385595238209, 1.3802456409440063],
      1e-12,
    );
    close([rFactor(oprfProposal(oblique, 0), z)], [2.031638651178074], 1e-12);
    expectMutantFails(() => close([optimalA(0.97 * 1.01, 4)], [A], 1e-12));
  });

  it.each([
    [1e-12, 3],
    [0.97, 4],
    [16, 64],
    [300, 64],
  ])('OPRF: at t = %f, d = %i the slope of ln R in φ is zero', (t, d) => {
    // ln R = d ln((1 + φ)/2) − (d/2) ln φ + t/φ; the terms of its slope are compared, times φ².
    const slope = (A: number) => {
      const phi = 1 - 8 * A;
      return [(d * (phi - 1) * phi) / (2 * (1 + phi)), t];
    };
    const check = (A: number) => close([slope(A)[0] / t], [1], 1e-3);
    check(optimalA(t, d));
    expectMutantFails(() => check(1.01 * optimalA(t, d)));
  });

  it('SDERF: σ² and R of one oblique direction', () => {
    const proposal = sderfProposal(oblique, 0);
    close(proposal.variances, [2.247533950048096, 1, 1, 1], 1e-12);
    close([rFactor(proposal, z)], [1.5867551444871784], 1e-12);
    expectMutantFails(() => close([rFactor(proposal, [1.01 * z[0], z[1], 0, 0])], [1.5867551444871784], 1e-12));
  });

  it('tau narrows the proposal down to the shift alone; a proposal of half the width has no variance', () => {
    const variance = (tau: number) => oprfProposal({ ...oblique, tau }, 0).variances[0];
    close([variance(0), variance(0.5)], [1, (1 + variance(1)) / 2], 1e-15);
    const mean = Float64Array.from(half);
    expect(rFactor({ mean, variances: new Float64Array(4).fill(0.5) }, z)).toBe(Infinity);
    close([rFactor({ mean, variances: new Float64Array(4).fill(1) }, z)], [1.2744312491634178], 1e-12);
  });

  it('without moments is FAVOR+, to the bit', () => {
    const options = { heads: 2, headDim: 5, m: 9, seed: 4 };
    for (const map of [featureMaps.shift, featureMaps.oprf]) expect(map(options)).toEqual(favorPlus(options));
    const { omega, bias } = featureMaps.sderf(options);
    close(omega, favorPlus(options).omega, 1e-7);
    close(bias, favorPlus(options).bias, 1e-7);
  });

  it('hyperbolic: rows come in pairs about the mean, and an odd m leaves the last one alone', () => {
    const mean = [1, -2, 0.5];
    const { omega } = featureMaps.hyperbolic({ heads: 1, headDim: 3, m: 5, moments: { mean } });
    for (const r of [0, 2]) {
      const middle = mean.map((_, i) => (omega[3 * r + i] + omega[3 * r + 3 + i]) / 2);
      close(middle, mean, 1e-6);
    }
    expect(omega.length).toBe(15);
  });

  it('refuses moments of another layer, not finite, not symmetric or negative, and a tau outside [0, 1]', () => {
    const run =
      (moments: PairMoments, tau = 1) =>
      () =>
        featureMaps.sderf({ heads: 1, headDim: 2, m: 8, moments, tau });
    expect(run({ second: [1, 0, 0] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.second must have 1 x 4 numbers, got 3
        at   features.moments.second
        mend pass moments of 1 heads of width 2, as in this layer]
    `);
    expect(run({ mean: [0, Number.NaN] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.mean[1] must be finite, got NaN
        at   features.moments.mean
        mend drop samples that are NaN or infinite before averaging]
    `);
    expect(run({ second: [1, 2, 0, 1] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.second must be symmetric, got 0 at [1,0] and 2 at [0,1]
        at   features.moments.second
        mend pass E[zzᵀ]]
    `);
    expect(run({ second: [1, 2, 2, 1] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.second must be positive semi-definite, got the eigenvalue -1
        at   features.moments.second
        mend pass the mean of outer products, E[zzᵀ]]
    `);
    expect(run({}, 2)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  tau must be in [0, 1], got 2
        at   features.tau
        mend use tau = 1 for the optimum of the kernel estimate, or less where attention errs]
    `);
    expect(() => optimalA(Number.NaN, 4)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  t = E|z|² must be finite and >= 0, got NaN
        at   features.t
        mend pass the mean of |x + y|² over calibration pairs]
    `);
  });
});
