/** Codebooks against k-means and nearest codes written out in float64, in the metric of the queries. */
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { makeCodebook, meanQueries } from '../../src/calibrate/codebook.js';
import { openBench } from '../../src/calibrate/measure.js';
import { addInput, emptyStatistics } from '../../src/calibrate/statistics.js';
import { gaussians } from '../../src/features/rng.js';
import { inspect } from '../../src/linearize.js';
import { attentionModel } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';

const [H, N, D, E] = [2, 96, 6, 4];
const [site] = inspect(attentionModel({ heads: H, headDim: D, valueDim: E, self: true })).sites;
if (!site) throw new Error('the model has one site');

/** Queries stretched along one axis, so that the metric matters; keys in three heaps. */
function inputOf(seed: number) {
  const normal = gaussians(seed);
  const array = (width: number, value: (row: number, column: number) => number) => ({
    data: Float32Array.from({ length: H * N * width }, (_, i) => value(Math.floor(i / width), i % width)),
    dims: [1, H, N, width],
  });
  return {
    q: array(D, (_, d) => (d === 0 ? 4 : 1) * normal() + d / 3),
    k: array(D, (row, d) => 2 * ((row + d) % 3) + normal()),
    v: array(E, (row) => (row % 5) + normal()),
  };
}

const inputs = [inputOf(1), inputOf(2), inputOf(3)];
const statistics = emptyStatistics(site, inputs.length);
for (const [i, input] of inputs.entries()) addInput(statistics, input, i);

/** Covariance of a head's queries, as the definition has it. */
function covariance(h: number): number[][] {
  const rows = inputs.flatMap(({ q }) =>
    Array.from({ length: N }, (_, n) => Array.from(q.data.subarray((h * N + n) * D, (h * N + n + 1) * D))),
  );
  const mean = rows[0].map((_, d) => rows.reduce((sum, row) => sum + row[d], 0) / rows.length);
  const entry = (i: number, j: number) =>
    rows.reduce((sum, row) => sum + (row[i] - mean[i]) * (row[j] - mean[j]), 0) / rows.length;
  return mean.map((_, i) => mean.map((_, j) => entry(i, j)));
}

describe('constants of a head', () => {
  it('the static query is the mean query', () => {
    const want = Float64Array.from({ length: H * D }, (_, i) => {
      const [h, d] = [Math.floor(i / D), i % D];
      const all = inputs.flatMap(({ q }) => Array.from({ length: N }, (_, n) => q.data[(h * N + n) * D + d]));
      return all.reduce((a, b) => a + b, 0) / all.length;
    });
    close(meanQueries(statistics), want, 1e-6);
  });

  it.each(['keys', 'pairs'] as const)(
    'the read-out finds the nearest code in the metric of the queries: %s',
    async (assign) => {
      const bench = openBench(sessionFactory(ort));
      const codes = 5;
      let centres = new Float32Array();
      const { weights, offsets } = await makeCodebook(statistics, { codes, assign, seed: 1 }, async (rows, start) => {
        centres = new Float32Array(await bench.kMeans(rows, start));
        // Lloyd's steps written out: assignment to the nearest, then means.
        const [, count = 0, width = 0] = rows.dims;
        const want = lloyd(rows.data, start.data, { heads: H, count, width, codes });
        close(centres, want, 1e-5);
        expectMutantFails(() => close(start.data, want, 1e-5));
        return centres;
      });
      await bench.release();
      const width = assign === 'pairs' ? D + E : D;
      for (let h = 0; h < H; h++) {
        const metric = covariance(h);
        const [sample = new Float32Array()] = statistics.samples[h];
        for (let row = 0; row < 20; row++) {
          const feature = Array.from(sample.subarray(row * (D + E), row * (D + E) + width));
          const score = (c: number) =>
            feature.reduce((sum, x, f) => sum + x * weights[(h * width + f) * codes + c], offsets[h * codes + c]);
          const best = argmax(codes, score);
          if (assign === 'pairs') continue;
          // The code as a key: solve the metric back from what the read-out says of each axis.
          const distance = (c: number) => {
            const read = feature.map((_, f) => weights[(h * width + f) * codes + c]);
            return (
              quadratic(feature, metric) -
              2 * feature.reduce((sum, x, f) => sum + x * read[f], 0) -
              2 * offsets[h * codes + c]
            );
          };
          expect(argmax(codes, (c) => -distance(c))).toBe(best);
          for (let c = 0; c < codes; c++) expect(distance(c)).toBeGreaterThan(-1e-2);
        }
      }
    },
  );

  it('refuses activations that are not finite', () => {
    const broken = inputOf(4);
    broken.q.data[5] = Number.NaN;
    const fresh = emptyStatistics(site, 1);
    expect(() => addInput(fresh, broken, 0)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF504  activations of this model are not finite numbers on the calibration data
        at   calibration
        mend check that the original runs on these inputs; float16 models may overflow, so calibrate the float32 one]
    `);
    const keys = inputOf(5);
    keys.k.data.fill(Number.NaN);
    expect(() => addInput(emptyStatistics(site, 1), keys, 0)).toThrow(/PF504/);
  });

  it('refuses an input of nothing but padding', () => {
    const hidden = { data: new Float32Array(N).fill(-1e9), dims: [1, 1, 1, N] };
    expect(() => addInput(emptyStatistics(site, 1), { ...inputOf(6), keyBias: hidden }, 0)).toThrow(
      /PF501.*nothing but padding/,
    );
  });
});

function quadratic(x: readonly number[], matrix: readonly (readonly number[])[]): number {
  return x.reduce((sum, a, i) => sum + x.reduce((inner, b, j) => inner + a * matrix[i][j] * b, 0), 0);
}

function argmax(count: number, score: (c: number) => number): number {
  return Array.from({ length: count }, (_, c) => c).reduce((a, b) => (score(b) > score(a) ? b : a));
}

function lloyd(
  data: ArrayLike<number>,
  start: ArrayLike<number>,
  { heads, count, width, codes }: { heads: number; count: number; width: number; codes: number },
): Float64Array {
  const centres = Float64Array.from(start);
  for (let step = 0; step < 10; step++) {
    for (let h = 0; h < heads; h++) {
      const at = (c: number) => (h * codes + c) * width;
      const rowAt = (n: number) => (h * count + n) * width;
      const members = Array.from({ length: codes }, () => [] as number[]);
      for (let n = 0; n < count; n++) {
        const near = (c: number) => {
          let square = 0;
          for (let f = 0; f < width; f++) square += (data[rowAt(n) + f] - centres[at(c) + f]) ** 2;
          return -square;
        };
        members[argmax(codes, near)].push(n);
      }
      for (const [c, own] of members.entries())
        if (own.length > 0)
          for (let f = 0; f < width; f++)
            centres[at(c) + f] = own.reduce((sum, n) => sum + data[rowAt(n) + f], 0) / own.length;
    }
  }
  return centres;
}
