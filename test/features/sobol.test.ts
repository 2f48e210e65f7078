import { describe, expect, it } from 'vitest';
import { uniforms } from '../../src/features/rng.js';
import { scrambledSobol, sobolGaussian, sobolPoints } from '../../src/features/sobol.js';
import { expectMutantFails } from '../close.js';

const WORD = 2 ** 32;
const D = 128;
const random = (length: number) => {
  const uniform = uniforms(1);
  return Float64Array.from({ length }, () => Math.floor(uniform() * WORD));
};

/** Every coordinate has one of the first m points in each of m cells. */
function checkStratified(points: Float64Array, d: number, m: number) {
  for (let j = 0; j < d; j++) {
    const cells = Array.from({ length: m }, (_, i) => Math.floor((points[i * d + j] / WORD) * m));
    expect(new Set(cells).size).toBe(m);
  }
}

/** A (t, 10, s)-net in base 2: every box of sides 2^−k that holds 2^(t − 10) of the volume has 2ᵗ of 1,024 points. */
function checkNet(points: Float64Array, d: number, dims: readonly number[], t: number) {
  for (const sides of compositions(10 - t, dims.length)) {
    const count = new Map<number, number>();
    for (let i = 0; i < 1024; i++) {
      let box = 0;
      dims.forEach((j, k) => {
        box = box * 2 ** sides[k] + Math.floor((points[i * d + j] / WORD) * 2 ** sides[k]);
      });
      count.set(box, (count.get(box) ?? 0) + 1);
    }
    expect(count.size).toBe(2 ** (10 - t));
    expect(new Set(count.values())).toEqual(new Set([2 ** t]));
  }
}

/** All ways to write `total` as an ordered sum of `parts` numbers ≥ 0. */
function compositions(total: number, parts: number): number[][] {
  if (parts === 1) return [[total]];
  return Array.from({ length: total + 1 }, (_, first) =>
    compositions(total - first, parts - 1).map((rest) => [first, ...rest]),
  ).flat();
}

describe('Sobol points, not scrambled', () => {
  const points = sobolPoints(1024, D);

  it('begin 0, ½, then ¼ and ¾ as published', () => {
    // Bratley and Fox 1988, in the order of Antonov and Saleev: dimensions 1 to 3.
    const head = [...sobolPoints(5, 3)].map((x) => x / WORD);
    expect(head).toEqual([0, 0, 0, 0.5, 0.5, 0.5, 0.75, 0.25, 0.25, 0.25, 0.75, 0.75, 0.375, 0.375, 0.625]);
  });

  it('are permutations of k/1024 in each of the 128 dimensions', () => {
    for (let j = 0; j < D; j++) {
      const values = Array.from({ length: 1024 }, (_, i) => (points[i * D + j] / WORD) * 1024).sort((a, b) => a - b);
      expect(values).toEqual(Array.from({ length: 1024 }, (_, k) => k));
    }
    expectMutantFails(() => checkStratified(random(1024 * D), D, 1024));
  });

  // t is at most the sum of (degree − 1) of the primitive polynomials: 0, 0, 1, 2, 2 for dimensions 1 to 5.
  it.each([
    [[0, 1], 0],
    [[0, 2], 1],
    [[0, 1, 2], 1],
    [[0, 1, 2, 3], 3],
    [[1, 2, 3, 4], 5],
  ])('dimensions %j are a (%i, 10, s)-net', (dims, t) => {
    checkNet(points, D, dims, t);
    expectMutantFails(() => checkNet(random(1024 * D), D, dims, t));
  });

  it('are not a net of smaller t in dimensions 1 to 4, so that the counts tell', () => {
    expectMutantFails(() => checkNet(points, D, [0, 1, 2, 3], 0));
  });
});

describe('scrambled Sobol points', () => {
  it('keep one point in each of m cells, and every net, at each seed', () => {
    for (const seed of [0, 1, 2]) {
      const points = scrambledSobol({ m: 1024, d: D, seed });
      for (const m of [1, 2, 64, 1024]) checkStratified(points, D, m);
      checkNet(points, D, [0, 1], 0);
      checkNet(points, D, [0, 1, 2, 3], 3);
    }
    // A shift of the words is uniform too, yet no scrambling: carries between cells break the net.
    const shifts = random(D);
    const shifted = sobolPoints(1024, D).map((x, i) => (x + shifts[i % D] * (1 + (i % 7))) % WORD);
    expectMutantFails(() => checkNet(shifted, D, [0, 1], 0));
  });

  it('are other points for another seed, and the head of a larger draw', () => {
    const points = scrambledSobol({ m: 64, d: 5, seed: 1 });
    expect(scrambledSobol({ m: 64, d: 5, seed: 1 })).toEqual(points);
    expect(scrambledSobol({ m: 64, d: 5, seed: 2 })).not.toEqual(points);
    expect(scrambledSobol({ m: 16, d: 5, seed: 1 })).toEqual(points.subarray(0, 16 * 5));
  });
});

it('refuses d above 128', () => {
  expect(() => sobolGaussian({ m: 4, d: 129, seed: 0 })).toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF202  d must be at most 128 for the sobol sampler, got 129
      at   features.d
      mend use the sampler 'orf', which takes any d]
  `);
  expect(sobolGaussian({ m: 4, d: 128, seed: 0 }).every(Number.isFinite)).toBe(true);
});
