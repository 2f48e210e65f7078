/** The positive measure of spherical random features beside what the authors' own family of densities reaches. */
import { describe, expect, it } from 'vitest';
import { polynomial } from '../../../src/features/kernels/polynomial.js';
import { uniforms } from '../../../src/features/rng.js';
import { usedDistances } from '../../../src/features/signed/distances.js';
import { positiveMeasure, srf } from '../../../src/features/signed/srf.js';
import { expectMutantFails } from '../../close.js';
import { paperFloor, sphereMean } from '../../oracle/spherical-features.js';
import { blocksOf } from './fourier-blocks.js';

const at = Array.from({ length: 41 }, (_, i) => i / 20);

describe.each([
  { d: 8, a: 2, degree: 3 },
  { d: 16, a: 2, degree: 3 },
])('SRF of (1 − t²/$a²)^$degree, d = $d', ({ d, a, degree }) => {
  const kernel = polynomial({ d, a, degree });
  const k = (t: number) => (1 - (t / a) ** 2) ** degree;
  const parts = positiveMeasure(kernel, usedDistances(kernel));
  const radius = (part: (typeof parts)[number]) => {
    const row = Float64Array.from({ length: d }, (_, l) => l + 1);
    part.frequency(row, () => 0.5);
    return Math.hypot(...row);
  };
  /** From radii and weights alone, by the oracle's Λ. */
  const floor = (share: number) => {
    const errors = at.map((t) => {
      const got = parts.reduce((sum, part) => sum + part.weight * sphereMean(d, radius(part) * t), 0);
      return share * got - k(t);
    });
    return Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / at.length);
  };

  it('has the mass k(0)', () => {
    expect(parts.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 5);
  });

  it('errs by what the paper’s densities come down to, and no more', () => {
    const theirs = paperFloor(d, k, at, { starts: 4, steps: 2000, uniform: uniforms(5) });
    const check = (share: number) => {
      expect(floor(share)).toBeLessThan(theirs);
      expect(floor(share)).toBeGreaterThan(0.94 * theirs);
    };
    check(1);
    expectMutantFails(() => check(1.02));
    expectMutantFails(() => check(0.98));
  });

  it('draws frequencies of those radii by their shares: |z| < 4', () => {
    const [{ omega, amplitude }] = blocksOf(srf(kernel, { m: 40_000, seed: 4 }));
    const n = amplitude.length;
    const lengths = Array.from({ length: n }, (_, r) => Math.hypot(...omega.subarray(r * d, (r + 1) * d)));
    for (const part of parts) {
      const share = lengths.filter((length) => Math.abs(length / radius(part) - 1) < 1e-9).length / n;
      const check = (want: number) =>
        expect(Math.abs(share - want) / Math.sqrt((want * (1 - want)) / n)).toBeLessThan(4);
      check(part.weight);
      if (part.weight > 0.2) expectMutantFails(() => check(0.9 * part.weight));
    }
  });
});
