/** The refit of a matrix against the normal equations, solved another way in float64. */
import { describe, expect, it } from 'vitest';
import { emptyMoments, leftOver, lowRank, mixed, type RowMoments, refit } from '../../../src/calibrate/heal/refit.js';
import { chooseRidge, correctionOf } from '../../../src/calibrate/heal/refit-layers.js';
import { gaussians } from '../../../src/features/rng.js';
import { close, expectMutantFails } from '../../close.js';
import { type RidgeProblem, ridgeSolution } from '../../oracle/ridge.js';

const [K, M] = [7, 5];
const normal = gaussians(11);
const rowsOf = (n: number, width: number, shift = 0) =>
  Array.from({ length: n }, () => Array.from({ length: width }, () => normal() + shift));

/** Residuals that features bring about by a matrix of rank 2, and noise. */
const truth = { down: rowsOf(K, 2), up: rowsOf(2, M) };
function problem(n: number, noise: number, ridge: number): RidgeProblem {
  const features = rowsOf(n, K, 0.7);
  const residuals = features.map((h) =>
    Array.from({ length: M }, (_, m) => {
      let sum = 0.3 * (m + 1) + noise * normal();
      for (let k = 0; k < K; k++) for (let r = 0; r < 2; r++) sum += h[k] * truth.down[k][r] * truth.up[r][m];
      return sum;
    }),
  );
  return { features, residuals, ridge };
}

function momentsOf({ features, residuals }: Omit<RidgeProblem, 'ridge'>): RowMoments {
  const moments = emptyMoments(K, M);
  for (const [n, h] of features.entries()) {
    moments.rows += 1;
    for (let m = 0; m < M; m++) {
      moments.residuals[m] += residuals[n][m];
      moments.energy += residuals[n][m] ** 2;
    }
    for (let i = 0; i < K; i++) {
      moments.features[i] += h[i];
      for (let j = 0; j < K; j++) moments.gram[i * K + j] += h[i] * h[j];
      for (let m = 0; m < M; m++) moments.cross[i * M + m] += h[i] * residuals[n][m];
    }
  }
  return moments;
}

describe('refit', () => {
  it.each([0.01, 1, 10])('is the minimum of the ridge problem, ridge %d', (ridge) => {
    const given = problem(40, 0.5, ridge);
    const got = refit(momentsOf(given), ridge);
    const want = ridgeSolution(given);
    close(got.delta, want.delta, 1e-10);
    close(got.bias, want.bias, 1e-10);
    expectMutantFails(() => close(refit(momentsOf(given), 1.01 * ridge).delta, want.delta, 1e-10));
    expectMutantFails(() =>
      close(got.bias, ridgeSolution({ ...given, features: given.features.slice(1) }).bias, 1e-10),
    );
  });

  it('is drawn to no change where features say nothing, without NaN', () => {
    const features = Array.from({ length: 9 }, () => new Array<number>(K).fill(2));
    const { delta, bias } = refit(momentsOf({ features, residuals: rowsOf(9, M) }), 1);
    expect(Math.max(...delta.map(Math.abs))).toBeLessThan(1e-2);
    expect([...bias].every(Number.isFinite)).toBe(true);
  });

  it('says what is left of the residual on rows it has not seen', () => {
    const fit = refit(momentsOf(problem(60, 0.2, 1)), 1);
    const unseen = problem(30, 0.2, 1);
    let [left, all] = [0, 0];
    for (const [n, h] of unseen.features.entries())
      for (let m = 0; m < M; m++) {
        const made = h.reduce((sum, x, k) => sum + x * fit.delta[k * M + m], fit.bias[m]);
        left += (unseen.residuals[n][m] - made) ** 2;
        all += unseen.residuals[n][m] ** 2;
      }
    close([leftOver(momentsOf(unseen), fit)], [left / all], 1e-10);
    expectMutantFails(() =>
      close([leftOver(momentsOf(unseen), { ...fit, bias: fit.bias.map((x) => 1.01 * x) })], [left / all], 1e-10),
    );
  });

  it('is compared on mixtures of the residuals whose squares are in the mean those of all', () => {
    const [seen, unseen] = [momentsOf(problem(60, 0.2, 1)), momentsOf(problem(30, 0.2, 1))];
    const want = leftOver(unseen, refit(seen, 1));
    const seeds = Array.from({ length: 2000 }, (_, seed) => seed);
    const all = seeds.map((seed) => leftOver(mixed(unseen, 3, seed), refit(mixed(seen, 3, seed), 1)));
    const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
    const error = Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0)) / all.length;
    expect(Math.abs(mean - want) / error).toBeLessThan(4);
    expectMutantFails(() => expect(Math.abs(mean - 1.2 * want) / error).toBeLessThan(4));
  });

  it('keeps the directions that matter: rank 2 of what rank 2 made', () => {
    const moments = momentsOf(problem(200, 0, 1e-6));
    const fit = refit(moments, 1e-6);
    const { delta } = fit;
    const { rank, down, up } = lowRank(moments, fit, 0.9999, M);
    expect(rank).toBe(2);
    const product = Float64Array.from({ length: K * M }, (_, at) => {
      const [k, m] = [Math.floor(at / M), at % M];
      return down[k * 2] * up[m] + down[k * 2 + 1] * up[M + m];
    });
    close(product, delta, 5e-3);
    expectMutantFails(() =>
      close(
        product.map((x, at) => (at % M === 0 ? product[at + 1] : x)),
        delta,
        5e-3,
      ),
    );
  });
});

describe('the correction that a layer gets', () => {
  const product = { value: 'fc2' };
  const [seen, unseen] = [momentsOf(problem(60, 0.3, 1)), momentsOf(problem(30, 0.3, 1))];

  it('has the ridge that makes inputs better that it was not fitted on', () => {
    const [light, heavy] = [1, 10].map((ridge) => leftOver(unseen, refit(seen, ridge)));
    expect(chooseRidge(seen, unseen)).toBe(light < heavy ? 1 : 10);
    expectMutantFails(() => expect(chooseRidge(seen, unseen)).toBe(light < heavy ? 10 : 1));
  });

  it('is none where every input errs in its own way', () => {
    const noise = (n: number): Omit<RidgeProblem, 'ridge'> => ({ features: rowsOf(n, K), residuals: rowsOf(n, M) });
    expect(chooseRidge(momentsOf(noise(12)), momentsOf(noise(12)))).toBeUndefined();
  });

  it('stands before a layer scale, and leaves alone what the scale silences', () => {
    const plain = correctionOf(product, seen, 1);
    const scale = [2, 0.5, 0, -1, 4];
    const scaled = correctionOf({ ...product, scale }, seen, 1);
    expect(plain.product).toBe('fc2');
    expect(plain.down).toHaveLength(K * plain.rank);
    const back = Float64Array.from(scaled.up, (x, i) => x * scale[i % M]);
    close(
      back,
      Float64Array.from(plain.up, (x, i) => (i % M === 2 ? 0 : x)),
      1e-6,
    );
    expect(scaled.bias[2]).toBe(0);
    expectMutantFails(() => close(Float64Array.from(scaled.up), Float64Array.from(plain.up), 1e-6));
  });
});
