import { describe, expect, it } from 'vitest';
import { balance } from '../../src/features/balance.js';
import { gaussians } from '../../src/features/rng.js';
import { close, expectMutantFails } from '../close.js';

/** Rows [n,d] times a symmetric matrix [d,d]. */
function times(rows: ArrayLike<number>, matrix: ArrayLike<number>, d: number): Float64Array {
  return Float64Array.from({ length: rows.length }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < d; k++) sum += rows[at - (at % d) + k] * matrix[k * d + (at % d)];
    return sum;
  });
}

/** A random covariance [d,d] of 2d samples. */
function covariance(d: number, seed: number): Float64Array {
  const normal = gaussians(seed);
  const samples = Float64Array.from({ length: 2 * d * d }, (_, i) => normal() * (1 + (i % d)));
  return Float64Array.from({ length: d * d }, (_, at) => {
    let sum = 0;
    for (let n = 0; n < 2 * d; n++) sum += samples[n * d + Math.floor(at / d)] * samples[n * d + (at % d)];
    return sum / (2 * d);
  });
}

const trace = (a: Float64Array, d: number) => a.reduce((sum, value, i) => sum + (i % (d + 1) === 0 ? value : 0), 0);
const sandwich = (g: Float64Array, a: Float64Array, d: number) => times(times(g, a, d), g, d);

describe('balance', () => {
  it.each([2, 4, 16, 64])('gives both sides one covariance, d = %i: residual < 1e-12', (d) => {
    const [query, key] = [covariance(d, 1), covariance(d, 2)];
    const { g, inverse } = balance(query, key, d);
    const check = (slip: number) => {
      const left = sandwich(
        g.map((value) => slip * value),
        query,
        d,
      );
      close(left, sandwich(inverse, key, d), 1e-12);
    };
    check(1);
    expectMutantFails(() => check(1.001));
  });

  it('brings the energy down to twice the nuclear norm, for d = 2 in closed form', () => {
    const [query, key] = [covariance(2, 3), covariance(2, 4)];
    const det = (a: Float64Array) => a[0] * a[3] - a[1] * a[2];
    // tr √A = √(tr A + 2 √det A) for d = 2, A = M₁^½ M₂ M₁^½ with the trace and determinant of M₁M₂.
    const least = 2 * Math.sqrt(trace(times(query, key, 2), 2) + 2 * Math.sqrt(det(query) * det(key)));
    const { g, inverse } = balance(query, key, 2);
    const energy = trace(sandwich(g, query, 2), 2) + trace(sandwich(inverse, key, 2), 2);
    close([energy], [least], 1e-12);
    expectMutantFails(() => close([trace(query, 2) + trace(key, 2)], [least], 1e-3));
  });

  it('refuses a side without energy in some direction', () => {
    const identity = Float64Array.of(1, 0, 0, 1);
    expect(() => balance(identity, Float64Array.of(1, 0, 0, 0), 2)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  moments.key must be positive definite, got the eigenvalue 0
        at   features.moments.key
        mend pass a covariance of more tokens than the head is wide, not zeros]
    `);
    expect(() => balance(Float64Array.of(1, 1, 1, 1), identity, 2)).toThrow('PF202  moments.query must be positive');
  });
});
