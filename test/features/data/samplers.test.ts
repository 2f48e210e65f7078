import { describe, expect, it } from 'vitest';
import { alignedWeights, alignment } from '../../../src/features/data/alignment.js';
import { energyBased } from '../../../src/features/data/energy.js';
import {
  type DataOptions,
  drawFrom,
  drawPool,
  type Frequencies,
  frequencyMap,
  importanceSample,
  type Pool,
} from '../../../src/features/data/frequencies.js';
import { leverage, leverageScores } from '../../../src/features/data/leverage.js';
import { surrogateLeverage, surrogateScores } from '../../../src/features/data/surrogate-leverage.js';
import { iidGaussian } from '../../../src/features/gaussian.js';
import { dataSamplers } from '../../../src/features/registry.js';
import { gaussians, streamSeed, uniforms } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';

const [d, n, m, sigma] = [2, 8, 48, 0.8];
const normal = gaussians(3);
const rows = Float64Array.from({ length: n * d }, normal);
const labels = Float64Array.from({ length: n }, (_, i) => (rows[i * d] > 0 ? 1 : -1));
const options: DataOptions = { d, m, pool: 60, rows, labels, sigma };
const delta = [0.7, -0.9];
const t = (delta[0] ** 2 + delta[1] ** 2) / sigma ** 2;

/** k̂ at x − y = delta, with frequencies off by `slip`. */
function estimate({ omega, amplitude }: Frequencies, slip = 1): number {
  return amplitude.reduce(
    (sum, a, r) => sum + a * a * Math.cos(slip * (omega[r * d] * delta[0] + omega[r * d + 1] * delta[1])),
    0,
  );
}
const cosines = (omega: Float64Array) =>
  Array.from({ length: omega.length / d }, (_, r) => Math.cos(omega[r * d] * delta[0] + omega[r * d + 1] * delta[1]));
const total = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0);

describe.each(Object.entries(dataSamplers))('data sampler %s', (_name, sampler) => {
  it('gives Ω [m,d] and amplitudes [m], repeats with the seed and changes with it', () => {
    const { omega, amplitude } = sampler({ ...options, seed: 4 });
    expect([omega.length, amplitude.length]).toEqual([m * d, m]);
    expect([...omega, ...amplitude].every(Number.isFinite)).toBe(true);
    expect(sampler({ ...options, seed: 4 })).toEqual({ omega, amplitude });
    expect(sampler({ ...options, seed: 5 }).omega).not.toEqual(omega);
  });

  it('takes from its pool only', () => {
    const { omega } = drawPool({ ...options, seed: 4 }, 'rows');
    const rowOf = (all: Float64Array, r: number) => `${all[r * d]},${all[r * d + 1]}`;
    const known = new Set(Array.from({ length: 60 }, (_, r) => rowOf(omega, r)));
    const got = sampler({ ...options, seed: 4 }).omega;
    for (let r = 0; r < m; r++) expect(known.has(rowOf(got, r))).toBe(true);
  });

  it('refuses m = 0, NaN, rows of another width, a pool below m and a bandwidth that is not positive', () => {
    const run = (part: Partial<DataOptions>) => () => sampler({ ...options, ...part });
    expect(run({ m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(run({ d: 0 })).toThrow('PF202  d must be an integer >= 1, got 0');
    expect(run({ pool: 1.5 })).toThrow('PF202  pool must be an integer >= 1, got 1.5');
    expect(run({ seed: -1 })).toThrow('PF202  seed must be an integer in');
    expect(run({ sigma: -2 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  sigma must be finite and > 0, got -2
        at   features.sigma
        mend use a bandwidth of the order of the distances between rows]
    `);
    expect(run({ sigma: Number.NaN })).toThrow('PF202  sigma must be finite and > 0, got NaN');
    expect(run({ pool: 4 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF402  the pool must have at least m = 48 frequencies, got 4
        at   features.pool
        mend use pool = 480]
    `);
    expect(run({ rows: rows.subarray(1) })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  rows must be rows of d = 2 numbers, got 15 numbers
        at   features.rows
        mend pass at least one whole row of width 2, row by row]
    `);
    expect(run({ rows: [] })).toThrow('PF401  rows must be rows of d = 2 numbers, got 0 numbers');
    expect(run({ rows: rows.map((value, i) => (i === 3 ? Number.NaN : value)) })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  rows[3] must be finite, got NaN
        at   features.rows
        mend drop rows that are NaN or infinite, with their labels]
    `);
  });
});

describe.each([
  [
    'leverage',
    (run: DataOptions) => leverage({ ...run, lambda: 0.3 }),
    (drawn: Pool) => leverageScores(drawn, 0.3),
    20_000,
  ],
  ['surrogate-leverage', surrogateLeverage, surrogateScores, 40_000],
] as const)('%s', (_name, sampler, scoresOf, draws) => {
  const run = { ...options, m: 24, pool: 24, sampler: iidGaussian };

  it('draws by its scores and counts every frequency 1/(m P q), to 1e-12', () => {
    for (let seed = 0; seed < 20; seed++) {
      const drawn = drawPool({ ...run, seed }, 'labels');
      const scores = scoresOf(drawn);
      const { omega, amplitude } = sampler({ ...run, seed });
      const want = (slip: number) =>
        Array.from(amplitude, (_, r) => {
          const index = drawn.omega.findIndex((value, at) => at % d === 0 && value === omega[r * d]) / d;
          return total(scores) / (slip * run.m * run.pool * scores[index]);
        });
      close(
        amplitude.map((value) => value ** 2),
        want(1),
        1e-12,
      );
      expectMutantFails(() =>
        close(
          amplitude.map((value) => value ** 2),
          want(1.01),
          1e-12,
        ),
      );
      expect({ omega, amplitude }).toEqual(importanceSample(drawn, scores, { ...run, seed }));
    }
  });

  it('is unbiased: |z| < 4 given the pool, by the exact variance, and with it; frequencies off by 1 % fail', () => {
    const found: { frequencies: Frequencies; mean: number }[] = [];
    let variance = 0;
    for (let seed = 0; seed < draws; seed++) {
      const drawn = drawPool({ ...run, seed }, 'labels');
      const scores = scoresOf(drawn);
      const cos = cosines(drawn.omega);
      const sum = total(scores);
      const mean = total(cos) / run.pool;
      // Var of one draw: Σ q (cos/Pq)² less the square of its mean.
      variance += (total(cos.map((c, r) => (c * c * sum) / (run.pool ** 2 * scores[r]))) - mean ** 2) / run.m;
      found.push({ frequencies: importanceSample(drawn, scores, { ...run, seed }), mean });
    }
    const check = (slip: number) => {
      const excess = total(found.map(({ frequencies, mean }) => estimate(frequencies, slip) - mean));
      expect(Math.abs(excess / Math.sqrt(variance))).toBeLessThan(4);
    };
    check(1);
    expectMutantFails(() => check(1.01));
    expectMutantFails(() => check(0.99));
    const pools = (draws * (1 - Math.exp(-t)) ** 2) / 2 / run.pool;
    const excess = total(found.map(({ frequencies }) => estimate(frequencies) - Math.exp(-t / 2)));
    expect(Math.abs(excess / Math.sqrt(variance + pools))).toBeLessThan(4);
  });
});

it('draws from a pool ∝ weights: |z| < 4 of every count, which a weight off by 1 % fails', () => {
  const weights = [0.5, 2, 0, 1, 1.5];
  const draws = 2_000_000;
  const counts = new Array<number>(5).fill(0);
  for (const { index, probability } of drawFrom(Float64Array.from(weights), { ...options, m: draws })) {
    counts[index]++;
    if (probability !== weights[index] / 5) throw new Error('a probability is not that of its weight');
  }
  const check = (of: readonly number[]) => {
    for (const [k, weight] of of.entries()) {
      const p = weight / total(of);
      expect(Math.abs(counts[k] - draws * p)).toBeLessThanOrEqual(4 * Math.sqrt(draws * p * (1 - p)));
    }
  };
  check(weights);
  expectMutantFails(() => check([0.5, 2 * 1.01, 0, 1, 1.5]));
});

it('a pool is the sampler over σ, which 1 % of σ shows', () => {
  const draw = iidGaussian({ m: 60, d, seed: streamSeed(4, 0) });
  const { omega } = drawPool({ ...options, sampler: iidGaussian, seed: 4 }, 'rows');
  close(
    omega,
    draw.map((value) => value / sigma),
    1e-15,
  );
  expectMutantFails(() =>
    close(
      omega,
      draw.map((value) => value / (1.01 * sigma)),
      1e-15,
    ),
  );
});

describe('leverage', () => {
  /** A⁻¹ by Gauss and Jordan. */
  function inverse(a: readonly (readonly number[])[]): number[][] {
    const size = a.length;
    const rowsOf = a.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
    for (let p = 0; p < size; p++) {
      const best = rowsOf.reduce((at, row, i) => (i > p && Math.abs(row[p]) > Math.abs(rowsOf[at][p]) ? i : at), p);
      [rowsOf[p], rowsOf[best]] = [rowsOf[best], rowsOf[p]];
      rowsOf[p] = rowsOf[p].map((value) => value / rowsOf[p][p]);
      for (let i = 0; i < size; i++) {
        if (i === p) continue;
        const factor = rowsOf[i][p];
        rowsOf[i] = rowsOf[i].map((value, j) => value - factor * rowsOf[p][j]);
      }
    }
    return rowsOf.map((row) => row.slice(size));
  }

  it('scores are those of the definition, and sum to the effective dimension', () => {
    const drawn = drawPool({ ...options, pool: 10, m: 10 }, 'rows');
    const features = Array.from({ length: 20 }, (_, c) =>
      Array.from(
        { length: n },
        (_, i) => (c < 10 ? drawn.cos[c * n + i] : drawn.sin[(c - 10) * n + i]) / Math.sqrt(10),
      ),
    );
    const gram = features.map((a) => features.map((b) => a.reduce((sum, value, i) => sum + value * b[i], 0)));
    const want = (lambda: number) => {
      const ridged = inverse(gram.map((row, i) => row.map((value, j) => value + (i === j ? n * lambda : 0))));
      const diagonal = gram.map((row, c) => row.reduce((sum, value, k) => sum + value * ridged[k][c], 0));
      return Array.from({ length: 10 }, (_, r) => diagonal[r] + diagonal[10 + r]);
    };
    for (const lambda of [1e-3, 0.1]) {
      close(leverageScores(drawn, lambda), want(lambda), 1e-10);
      expectMutantFails(() => close(leverageScores(drawn, lambda), want(1.01 * lambda), 1e-10));
    }
    // Eight rows have no more than eight dimensions.
    expect(total(leverageScores(drawn, 1e-9))).toBeCloseTo(n, 4);
  });

  it('refuses a ridge that is not positive, or too large for any score', () => {
    expect(() => leverage({ ...options, lambda: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  lambda must be finite and > 0, got 0
        at   features.lambda
        mend use the ridge of the regression to come, such as lambda = 0.001]
    `);
    expect(() => leverage({ ...options, lambda: 1e30 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF403  no frequency of the pool has a score above 0
        at   features.lambda
        mend use a smaller lambda: at this one the data have no effective dimension]
    `);
  });
});

it('surrogate scores are |Σ y exp(iωx)|² + n², by their definition', () => {
  const drawn = drawPool(options, 'labels');
  const want = (slip: number) =>
    Array.from({ length: 60 }, (_, r) => {
      const angle = (i: number) => drawn.omega[r * d] * rows[i * d] + drawn.omega[r * d + 1] * rows[i * d + 1];
      const parts = [Math.cos, Math.sin].map((f) => labels.reduce((sum, y, i) => sum + slip * y * f(angle(i)), 0));
      return parts[0] ** 2 + parts[1] ** 2 + n ** 2;
    });
  close(surrogateScores(drawn), want(1), 1e-12);
  expectMutantFails(() => close(surrogateScores(drawn), want(1.01), 1e-12));
});

describe('alignment', () => {
  /** The conditions of Karush, Kuhn and Tucker for max q·v, which for a concave problem mean the optimum. */
  function checkOptimal(q: Float64Array, v: Float64Array, rho: number) {
    const size = v.length;
    close([total(q)], [1], 1e-12);
    expect(q.every((value) => value >= 0)).toBe(true);
    // ρ = 0 leaves nothing but the pool.
    const ball = total(q.map((value) => (size * value - 1) ** 2));
    expect(ball).toBeLessThan(size * rho * (1 + 1e-9) + 1e-12);
    const largest = Math.max(...v);
    const inside = ball < size * rho * (1 - 1e-9) - 1e-12;
    if (inside) {
      // Nothing is bound: all of the weight is on the largest.
      for (let r = 0; r < size; r++) expect(q[r] > 0 ? v[r] : largest).toBe(largest);
      return;
    }
    if (rho === 0) return;
    // On the ball: v − ηq is one number τ where q > 0, at least v elsewhere.
    const kept = Array.from(q.keys()).filter((r) => q[r] > 1e-13);
    const [a, b] = [kept.reduce((x, r) => (q[r] > q[x] ? r : x)), kept.reduce((x, r) => (q[r] < q[x] ? r : x))];
    const eta = a === b || q[a] === q[b] ? 0 : (v[a] - v[b]) / (q[a] - q[b]);
    const tau = v[a] - eta * q[a];
    for (const r of kept) expect(Math.abs(v[r] - eta * q[r] - tau)).toBeLessThan(1e-9 * largest);
    q.forEach((value, r) => {
      if (value <= 1e-13) expect(v[r]).toBeLessThan(tau + 1e-9 * largest);
    });
  }

  it.each([0, 0.01, 0.3, 2, 10, 48, 49, 1000])('weights are optimal in the ball of ρ = %f', (rho) => {
    for (let seed = 0; seed < 40; seed++) {
      const uniform = uniforms(seed);
      const v = Float64Array.from({ length: 50 }, () => uniform() ** 3);
      // Ties at the top and below, as equal frequencies would have.
      if (seed % 2) v[7] = v[8] = seed % 4 === 1 ? 2 : v[9];
      const q = alignedWeights(v, rho);
      checkOptimal(q, v, rho);
      if (rho > 0) {
        const moved = q.map((value, r) => value + (r === 0 ? 1e-3 : r === 1 ? -1e-3 : 0));
        expectMutantFails(() => checkOptimal(moved, v, rho));
        expectMutantFails(() => checkOptimal(new Float64Array(50).fill(1 / 50), v, rho));
      }
    }
  });

  it('estimates the learned kernel: |z| < 4 by the exact variance, which frequencies off by 1 % fail', () => {
    let [excess, slipped, variance] = [0, 0, 0];
    const run = { ...options, m: 20, pool: 200, rho: 4 };
    for (let seed = 0; seed < 4000; seed++) {
      const drawn = drawPool({ ...run, seed }, 'labels');
      const v = surrogateScores(drawn).map((value) => value - n * n);
      const q = alignedWeights(v, run.rho);
      const cos = cosines(drawn.omega);
      const mean = total(cos.map((c, r) => c * q[r]));
      variance += (total(cos.map((c, r) => c * c * q[r])) - mean ** 2) / run.m;
      const found = alignment({ ...run, seed });
      excess += estimate(found) - mean;
      slipped += estimate(found, 1.01) - mean;
    }
    const check = (value: number) => expect(Math.abs(value / Math.sqrt(variance))).toBeLessThan(4);
    check(excess);
    expectMutantFails(() => check(slipped));
  });

  it('is the pool itself for ρ = 0, and refuses ρ below 0', () => {
    close(alignedWeights(Float64Array.of(3, 1, 2, 0), 0), [0.25, 0.25, 0.25, 0.25], 1e-15);
    close(alignedWeights(new Float64Array(4), 3), [0.25, 0.25, 0.25, 0.25], 1e-15);
    expect(() => alignment({ ...options, rho: -1 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  rho must be finite and >= 0, got -1
        at   features.rho
        mend use rho = pool / m - 1, or 0 for the Gaussian kernel itself]
    `);
  });
});

it('EERF keeps the frequencies of the largest scores, by falling score', () => {
  const drawn = drawPool(options, 'labels');
  const score = (r: number) => surrogateScores(drawn)[r];
  const order = Array.from({ length: 60 }, (_, r) => r).sort((a, b) => score(b) - score(a));
  const { omega, amplitude } = energyBased(options);
  const want = order.slice(0, m).flatMap((r) => [drawn.omega[r * d], drawn.omega[r * d + 1]]);
  close(omega, want, 1e-15);
  close(amplitude, new Array(m).fill(1 / Math.sqrt(m)), 1e-15);
  expectMutantFails(() =>
    close(
      omega,
      order.slice(1, m + 1).flatMap((r) => [drawn.omega[r * d], drawn.omega[r * d + 1]]),
      1e-15,
    ),
  );
});

describe.each(['surrogate-leverage', 'alignment', 'eerf'] as const)('labels of %s', (name) => {
  const run = (wrong: ArrayLike<number> | undefined) => () => dataSamplers[name]({ ...options, labels: wrong });
  it('must be there, one a row, finite, and not all 0', () => {
    expect(run(undefined)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF401  labels must be one number a row, 8 of them, got none
        at   features.labels
        mend pass the number to predict for each row, such as 1 and -1 for two classes, or a sampler that takes no labels]
    `);
    expect(run([1, 2])).toThrow('PF401  labels must be one number a row, 8 of them, got 2');
    expect(run(labels.map((y, i) => (i === 2 ? Number.NaN : y)))).toThrow('PF401  labels[2] must be finite, got NaN');
    expect(run(new Float64Array(n))).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF403  labels must not all be 0: nothing tells frequencies apart
        at   features.labels
        mend pass labels such as 1 and -1, not 0 for every row]
    `);
  });
});

it('the map of chosen frequencies has products Σ a² cos ω·(x − y)', () => {
  const found = surrogateLeverage(options);
  const { phi, features } = frequencyMap(d, found);
  const [x, y] = [
    [0.4, -1],
    [0.4 - delta[0], -1 - delta[1]],
  ];
  expect(features).toBe(2 * m);
  const [left, right] = [phi(x), phi(y)];
  const product = left.reduce((sum, value, r) => sum + value * right[r], 0);
  close([product], [estimate(found)], 1e-12);
  expectMutantFails(() => close([product], [estimate(found, 1.01)], 1e-12));
  expect(() => phi([1, 2, 3])).toThrow('PF202  x must be rows of d = 2 numbers, got 3 numbers');
});

it('leverage takes no labels', () => {
  expect(leverage({ ...options, labels: undefined })).toEqual(leverage(options));
});
