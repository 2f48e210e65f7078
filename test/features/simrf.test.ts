import { describe, expect, it } from 'vitest';
import type { Sampler } from '../../src/features/gaussian.js';
import { orthogonalGaussian } from '../../src/features/orf.js';
import { simplexGaussian } from '../../src/features/simrf.js';
import { expectMutantFails } from '../close.js';

describe('simplex random features', () => {
  it.each([2, 3, 8, 33])('d = %i: rows of a block meet at cos −1/(d − 1), to 1e-12', (d) => {
    const check = (sampler: Sampler) => {
      const omega = sampler({ m: 2 * d, d, seed: 4 });
      const rows = Array.from({ length: 2 * d }, (_, r) => {
        const row = omega.subarray(r * d, (r + 1) * d);
        const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
        return row.map((x) => x / norm);
      });
      for (let a = 0; a < 2 * d; a++) {
        for (let b = a - (a % d); b < a; b++) {
          const cos = rows[a].reduce((sum, x, i) => sum + x * rows[b][i], 0);
          expect(Math.abs(cos + 1 / (d - 1))).toBeLessThan(1e-12);
        }
      }
    };
    check(simplexGaussian);
    expectMutantFails(() => check(orthogonalGaussian));
  });

  it('d = 1 has one direction', () => {
    expect(simplexGaussian({ m: 3, d: 1, seed: 0 }).every((x) => Number.isFinite(x) && x !== 0)).toBe(true);
  });

  it('errs on exp(x·y) as the closed form says, below ORF', () => {
    // METHODS A.13 measured d times the relative variance at d = 8, |x + y|² = 1.29: 2.65 iid, 2.21 ORF, 1.28 SimRF.
    const [d, t, blocks] = [8, 1.29, 20_000];
    const variance = (cos: number) => Math.exp(t) - 1 + (d - 1) * covariance(d, t, cos);
    const [simplex, orthogonal] = [variance(-1 / (d - 1)), variance(0)];
    expect(simplex).toBeLessThan(0.6 * orthogonal);
    const check = (sampler: Sampler, want: number) => {
      // z = (√t, 0, …): Q turns it every way.
      let total = 0;
      const omega = sampler({ m: blocks * d, d, seed: 6 });
      for (let b = 0; b < blocks; b++) {
        let mean = 0;
        for (let r = b * d; r < (b + 1) * d; r++) mean += Math.exp(omega[r * d] * Math.sqrt(t) - t / 2) / d;
        total += (mean - 1) ** 2;
      }
      // The mean of 20,000 squared errors has a spread of its own, about a fiftieth.
      expect(Math.abs((total / blocks) * (d / want) - 1)).toBeLessThan(0.1);
    };
    check(simplexGaussian, simplex);
    check(orthogonalGaussian, orthogonal);
    expectMutantFails(() => check(orthogonalGaussian, simplex));
    expectMutantFails(() => check(simplexGaussian, orthogonal));
  });

  it('the closed form is that of orthogonal rows at cos 0, by its value in the test of FAVOR+', () => {
    const ratio = (cos: number) => Math.sqrt(1 + (15 * covariance(16, 0.97, cos)) / (Math.exp(0.97) - 1));
    expect(ratio(0)).toBeCloseTo(0.885, 3);
    expectMutantFails(() => expect(ratio(-1 / 15)).toBeCloseTo(0.885, 3));
  });
});

/**
 * The covariance of exp(ω₁·z − t/2) and exp(ω₂·z − t/2), t = |z|², for ω = ρu with u₁·u₂ = cos, turned by one Haar Q:
 *   E exp(√t |v| e·u) = Σₖ (t/4)ᵏ E|v|²ᵏ Γ(d/2) / (k! Γ(d/2 + k)),   |v|² = ρ₁² + ρ₂² + 2 cos ρ₁ρ₂
 * by the power series of the integral over the sphere, and E ρⁿ = 2^(n/2) Γ((d + n)/2) / Γ(d/2).
 */
function covariance(d: number, t: number, cos: number): number {
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
  // Γ at halves of whole numbers.
  const gamma = (x: number): number => (x === 1 ? 1 : x === 0.5 ? Math.sqrt(Math.PI) : (x - 1) * gamma(x - 1));
  const moment = (n: number) => (2 ** (n / 2) * gamma((d + n) / 2)) / gamma(d / 2);
  let sum = 0;
  for (let k = 0; k < 30; k++) {
    let length = 0;
    for (let a = 0; a <= k; a++) {
      for (let b = 0; a + b <= k; b++) {
        const c = k - a - b;
        const ways = factorial(k) / (factorial(a) * factorial(b) * factorial(c));
        length += ways * (2 * cos) ** c * moment(2 * a + c) * moment(2 * b + c);
      }
    }
    sum += ((t / 4) ** k * length * gamma(d / 2)) / (factorial(k) * gamma(d / 2 + k));
  }
  return Math.exp(-t) * sum - 1;
}
