/** Moments of pairs against their definitions, by naive sums over every pair in float64. */
import { describe, expect, it } from 'vitest';
import { addPairs, emptyPairs, pairMoments, type Weighting, weightings } from '../../src/calibrate/pair-moments.js';
import type { HeadInputs } from '../../src/calibrate/record.js';
import { gaussians } from '../../src/features/rng.js';
import { close, expectMutantFails } from '../close.js';

const [B, H, D] = [2, 2, 5];

/** Recorded tensors; `hidden` [B] keys at the end of each row are padding, and one that is not has a bias of its own. */
function recorded(seed: number, N: number, S: number, hidden?: readonly number[]): HeadInputs {
  const normal = gaussians(seed);
  const array = (rows: number, shift: number) => ({
    data: Float32Array.from({ length: B * H * rows * D }, (_, i) => (i % D === 0 ? 1.5 : 0.6) * normal() + shift),
    dims: [B, H, rows, D],
  });
  const bias = Float32Array.from({ length: B * S }, (_, i) => {
    if (i % S >= S - (hidden?.[Math.floor(i / S)] ?? 0)) return -1e9;
    return i % S === 1 ? 0.7 : 0;
  });
  const tensors = { q: array(N, 0.4), k: array(S, -0.3), v: array(S, 0) };
  return { ...tensors, ...(hidden && { keyBias: { data: bias, dims: [B, 1, 1, S] } }) };
}

interface Pair {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly weight: number;
}

/** Pairs (q, k) of a head with their weights, by the definition. */
function pairsOf(inputs: readonly HeadInputs[], h: number, weighting: Weighting): Pair[] {
  const [xs, ys, attended]: [number[][], number[][], Pair[]] = [[], [], []];
  for (const { q, k, keyBias } of inputs) {
    const [N, S] = [q.dims[2], k.dims[2]];
    for (let b = 0; b < B; b++) {
      const row = (data: Float32Array, rows: number, n: number) =>
        Array.from({ length: D }, (_, d) => data[((b * H + h) * rows + n) * D + d]);
      const bias = (j: number) => (keyBias ? keyBias.data[b * S + j] : 0);
      const keys = Array.from({ length: S }, (_, j) => j).filter((j) => bias(j) > -1000);
      const queries = N === S ? keys : Array.from({ length: N }, (_, i) => i);
      ys.push(...keys.map((j) => row(k.data, S, j)));
      for (const i of queries) {
        const x = row(q.data, N, i);
        xs.push(x);
        const scores = keys.map((j) => {
          const y = row(k.data, S, j);
          return { y, weight: Math.exp(y.reduce((sum, value, d) => sum + value * x[d], bias(j))) };
        });
        const total = scores.reduce((sum, { weight }) => sum + weight, 0);
        attended.push(...scores.map(({ y, weight }) => ({ x, y, weight: weight / total })));
      }
    }
  }
  return weighting === 'attended' ? attended : xs.flatMap((x) => ys.map((y) => ({ x, y, weight: 1 })));
}

function meanOf(pairs: readonly Pair[], value: (pair: Pair) => number): number {
  const total = pairs.reduce((sum, { weight }) => sum + weight, 0);
  return pairs.reduce((sum, pair) => sum + pair.weight * value(pair), 0) / total;
}

/** Mean and covariance of z = x + y [H,D], [H,D,D], and those of x and y. */
function byDefinition(inputs: readonly HeadInputs[], weighting: Weighting) {
  const heads = Array.from({ length: H }, (_, h) => pairsOf(inputs, h, weighting));
  const side = (value: (pair: Pair) => readonly number[]) => {
    const mean = heads.flatMap((pairs) => Array.from({ length: D }, (_, d) => meanOf(pairs, (pair) => value(pair)[d])));
    const covariance = heads.flatMap((pairs, h) =>
      Array.from({ length: D * D }, (_, p) => {
        const off = (pair: Pair, d: number) => value(pair)[d] - mean[h * D + d];
        return meanOf(pairs, (pair) => off(pair, Math.floor(p / D)) * off(pair, p % D));
      }),
    );
    return { mean, covariance };
  };
  return { x: side(({ x }) => x), y: side(({ y }) => y), z: side(({ x, y }) => x.map((value, d) => value + y[d])) };
}

/** Of z, from those of its parts. */
function ofSum(moments: ReturnType<typeof pairMoments>): Float64Array {
  const { query, key, cross } = moments;
  return Float64Array.from(query, (value, p) => {
    const [h, i, j] = [Math.floor(p / (D * D)), Math.floor(p / D) % D, p % D];
    return value + key[p] + (cross ? cross[p] + cross[(h * D + j) * D + i] : 0);
  });
}

describe.each(weightings)('%s pairs', (weighting) => {
  const other: Weighting = weighting === 'uniform' ? 'attended' : 'uniform';
  it.each([
    ['without a mask', recorded(1, 21, 21), recorded(2, 13, 13)],
    ['with padding and a bias of a key', recorded(3, 21, 21, [0, 4]), recorded(4, 13, 13, [2, 7])],
    ['of two sequences', recorded(5, 9, 17, [0, 5]), recorded(6, 9, 17)],
  ])('have the means and covariances of their definition, %s', (_, ...inputs) => {
    const sums = emptyPairs({ heads: H, headDim: D }, 1);
    for (const input of inputs) addPairs(sums, input, 0);
    const got = pairMoments(sums, weighting);
    const check = (want: ReturnType<typeof byDefinition>) => {
      close(Float64Array.from(got.queryMean ?? []), want.x.mean, 1e-8);
      close(Float64Array.from(got.query), want.x.covariance, 1e-8);
      close(Float64Array.from(got.keyMean ?? []), want.y.mean, 1e-8);
      close(Float64Array.from(got.key), want.y.covariance, 1e-8);
      close(ofSum(got), want.z.covariance, 1e-8);
    };
    check(byDefinition(inputs, weighting));
    expectMutantFails(() => check(byDefinition(inputs, other)));
    const longer = inputs.map((input) => ({
      ...input,
      k: { ...input.k, data: input.k.data.map((value) => 1.01 * value) },
    }));
    expectMutantFails(() => check(byDefinition(longer, weighting)));
  });

  it('of rows that are all alike are definite', () => {
    const alike = recorded(7, 8, 8);
    for (const { data } of [alike.q, alike.k]) data.fill(0.3);
    const sums = emptyPairs({ heads: H, headDim: D }, 1);
    addPairs(sums, alike, 0);
    const { query, key } = pairMoments(sums, weighting);
    for (const side of [query, key])
      for (let i = 0; i < D; i++) {
        expect(side[i * (D + 1)]).toBeGreaterThan(0);
        expect(side[i * (D + 1)]).toBeLessThan(1e-9);
      }
  });
});

it('attended pairs are of at most 512 queries, those the seed picks', () => {
  const long = recorded(8, 700, 700);
  const of = (seed: number) => {
    const sums = emptyPairs({ heads: H, headDim: D }, 1);
    addPairs(sums, long, seed);
    return sums;
  };
  expect(of(1).attended.queries).toBe(1024);
  expect(of(1).uniform.queries).toBe(1400);
  expect(pairMoments(of(1), 'attended')).toEqual(pairMoments(of(1), 'attended'));
  expect(pairMoments(of(1), 'attended').cross).not.toEqual(pairMoments(of(2), 'attended').cross);
});
