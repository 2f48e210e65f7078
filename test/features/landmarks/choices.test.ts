import { describe, expect, it } from 'vitest';
import { gaussianKernel, type LandmarkOptions } from '../../../src/features/landmarks/choose.js';
import { kMeans } from '../../../src/features/landmarks/k-means.js';
import { pivots } from '../../../src/features/landmarks/pivoted.js';
import { landmarkChoices } from '../../../src/features/registry.js';
import { gaussians } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';

const [n, d] = [3, 2];
// Two that all but coincide, so that the kernel matters: rows 0 and 1.
const rows = Float64Array.of(0, 0, 0.3, 0.1, 1.2, 0);
const at = (i: number) => rows.subarray(i * d, (i + 1) * d);
const kernel = (x: ArrayLike<number>, y: ArrayLike<number>) => Math.exp(-((x[0] - y[0]) ** 2 + (x[1] - y[1]) ** 2) / 2);
const k = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => kernel(at(i), at(j))));
const indexOf = (landmark: Float64Array) =>
  Array.from({ length: n }, (_, i) => i).find((i) => at(i)[0] === landmark[0] && at(i)[1] === landmark[1]) ?? -1;

/** Frequencies of ordered pairs (first, second) over draws of two landmarks. */
function pairCounts(name: keyof typeof landmarkChoices, draws: number): number[][] {
  const counts = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let seed = 0; seed < draws; seed++) {
    const found = landmarkChoices[name]({ d, m: 2, rows, seed });
    counts[indexOf(found.subarray(0, d))][indexOf(found.subarray(d))]++;
  }
  return counts;
}

/** |z| < 4 of every count against its probability. */
function checkCounts(counts: readonly number[], probabilities: readonly number[], draws: number) {
  counts.forEach((count, k) => {
    const p = probabilities[k];
    expect(Math.abs((count - draws * p) / Math.sqrt(draws * p * (1 - p)))).toBeLessThan(4);
  });
}

const unordered = Array.from({ length: n }, (_, i) => Array.from({ length: i }, (_, j) => [i, j] as const)).flat();

describe.each(Object.entries(landmarkChoices))('landmarks by %s', (_name, choose) => {
  const many: LandmarkOptions = { d: 3, m: 7, rows: Float64Array.from({ length: 60 }, gaussians(1)), seed: 2 };

  it('are [m,d], finite, distinct, and repeat with the seed', () => {
    const landmarks = choose(many);
    expect(landmarks.length).toBe(21);
    expect(landmarks.every(Number.isFinite)).toBe(true);
    expect(choose(many)).toEqual(landmarks);
    const keys = Array.from({ length: 7 }, (_, c) => landmarks.subarray(3 * c, 3 * c + 3).join());
    expect(new Set(keys).size).toBe(7);
  });

  it('refuse m = 0, fewer rows than landmarks, NaN and rows of another width', () => {
    const run = (part: Partial<LandmarkOptions>) => () => choose({ ...many, ...part });
    expect(run({ m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(run({ m: 21 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF402  there must be at least m = 21 rows to choose landmarks from, got 20
        at   features.rows
        mend use m = 20 or less, or pass more rows]
    `);
    expect(run({ d: 7 })).toThrow('PF401  rows must be rows of d = 7 numbers, got 60 numbers');
    expect(run({ rows: [1, 2, Number.NaN], m: 1 })).toThrow('PF401  rows[2] must be finite, got NaN');
  });
});

it('dpp: every pair with probability ∝ its volume, which probabilities off by 1 % fail', () => {
  const draws = 300_000;
  const counts = pairCounts('dpp', draws);
  const volumes = unordered.map(([i, j]) => k[i][i] * k[j][j] - k[i][j] ** 2);
  const sum = volumes.reduce((total, value) => total + value, 0);
  const check = (slip: number) =>
    checkCounts(
      unordered.map(([i, j]) => counts[i][j] + counts[j][i]),
      volumes.map((volume) => (slip * volume) / sum),
      draws,
    );
  check(1);
  expectMutantFails(() => check(1.01));
  expectMutantFails(() => check(0.99));
});

it('rp-cholesky: the second landmark ∝ what the first leaves unexplained, which 1 % fails', () => {
  const draws = 150_000;
  const counts = pairCounts('rp-cholesky', draws);
  const firsts = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  checkCounts(firsts, [1 / 3, 1 / 3, 1 / 3], draws);
  const check = (slip: number) => {
    for (let i = 0; i < n; i++) {
      const others = [0, 1, 2].filter((j) => j !== i);
      const left = others.map((j) => k[j][j] - k[i][j] ** 2 / k[i][i]);
      checkCounts(
        others.map((j) => counts[i][j]),
        left.map((value) => (slip * value) / (left[0] + left[1])),
        firsts[i],
      );
    }
  };
  check(1);
  expect([counts[0][0], counts[1][1], counts[2][2]]).toEqual([0, 0, 0]);
  expectMutantFails(() => check(1.01));
  expectMutantFails(() => check(0.99));
});

it('uniform: every pair is as likely', () => {
  const draws = 300_000;
  const counts = pairCounts('uniform', draws);
  const check = (p: number) =>
    checkCounts(
      unordered.map(([i, j]) => counts[i][j] + counts[j][i]),
      [p, p, p],
      draws,
    );
  check(1 / 3);
  expectMutantFails(() => check(1.01 / 3));
});

it('greedy: the next landmark is the one of the largest residual, by its definition', () => {
  const many = Float64Array.from({ length: 40 }, gaussians(5));
  const point = (i: number) => many.subarray(2 * i, 2 * i + 2);
  const k = (i: number, j: number) => gaussianKernel(point(i), point(j));
  /** k(x, x) − k(x, Z) K_ZZ⁻¹ k(Z, x), as a ratio of determinants. */
  const residual = (z: readonly number[], i: number) =>
    determinant([...z, i].map((a) => [...z, i].map((b) => k(a, b)))) / determinant(z.map((a) => z.map((b) => k(a, b))));
  const landmarks = landmarkChoices.greedy({ d: 2, m: 5, rows: many });
  const chosen = Array.from({ length: 5 }, (_, c) =>
    Array.from({ length: 20 }, (_, i) => i).findIndex((i) => point(i)[0] === landmarks[2 * c]),
  );
  for (let c = 1; c < 5; c++) {
    const left = Array.from({ length: 20 }, (_, i) => residual(chosen.slice(0, c), i));
    const check = (i: number) => expect(left[i]).toBeCloseTo(Math.max(...left), 12);
    check(chosen[c]);
    const [, second] = left.map((_, i) => i).sort((a, b) => left[b] - left[a]);
    expectMutantFails(() => check(second));
  }
});

it('pivots keep residuals that are those of the definition, at a kernel all but singular', () => {
  const n = 5;
  const points = Float64Array.of(0, 0, 0.3, 0.1, 1.2, 0, 0.4, 1.1, -0.9, 0.7);
  const point = (i: number) => points.subarray(2 * i, 2 * i + 2);
  const k = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => kernel(point(i), point(j))));
  const column = (i: number) => Float64Array.from({ length: n }, (_, j) => k[j][i]);
  const seen: Float64Array[] = [];
  pivots(new Float64Array(n).fill(1), column, 3, (residual) => {
    seen.push(Float64Array.from(residual));
    return seen.length - 1;
  });
  const want = [2, 3, 4].map(
    (i) =>
      determinant([0, 1, i].map((a) => [0, 1, i].map((b) => k[a][b]))) /
      determinant([0, 1].map((a) => [0, 1].map((b) => k[a][b]))),
  );
  close(seen[2].subarray(2), want, 1e-12);
  expectMutantFails(() => close(seen[1].subarray(2), want, 1e-12));
});

describe('rows that are all alike', () => {
  const alike = new Float64Array(8).fill(0.5);
  const run = (name: keyof typeof landmarkChoices) => () => landmarkChoices[name]({ d: 2, m: 2, rows: alike });
  it('say how many landmarks there can be', () => {
    expect(run('greedy')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF403  1 landmarks explain all of the rows, m = 2 were asked for
        at   features.m
        mend use m = 1, or rows that differ more by the kernel's measure]
    `);
    expect(run('rp-cholesky')).toThrow('PF403  1 landmarks explain all of the rows, m = 2 were asked for');
    expect(run('dpp')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF403  the kernel matrix of the rows has rank 1, which spans no volume of m = 2
        at   features.m
        mend use m = 1 or less, or rows that differ more by the kernel's measure]
    `);
  });

  it('k-means gives them anyway', () => {
    close(kMeans({ d: 2, m: 2, rows: alike }), [0.5, 0.5, 0.5, 0.5], 1e-15);
  });
});

it('k-means: centres are the means of their clusters, and clusters apart are found', () => {
  const normal = gaussians(8);
  const centres = [
    [0, 0],
    [10, 0],
    [0, 10],
  ];
  const all = Float64Array.from({ length: 180 }, (_, at) => centres[Math.floor(at / 60)][at % 2] + 0.5 * normal());
  const found = kMeans({ d: 2, m: 3, rows: all, seed: 1 });
  const means = [0, 1, 2].map((c) =>
    [0, 1].map((l) => Array.from({ length: 30 }, (_, i) => all[c * 60 + 2 * i + l]).reduce((a, b) => a + b) / 30),
  );
  const sorted = [0, 1, 2].map((c) => [found[2 * c], found[2 * c + 1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const want = means.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  close(sorted.flat(), want.flat(), 1e-12);
  expectMutantFails(() =>
    close(
      sorted.flat(),
      want.flat().map((value) => 1.01 * value),
      1e-12,
    ),
  );
});

function determinant(a: readonly (readonly number[])[]): number {
  if (a.length === 1) return a[0][0];
  return a[0].reduce(
    (sum, value, j) =>
      sum + (j % 2 ? -1 : 1) * value * determinant(a.slice(1).map((row) => row.filter((_, k) => k !== j))),
    0,
  );
}
