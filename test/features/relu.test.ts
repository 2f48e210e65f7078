import { describe, expect, it } from 'vitest';
import { iidGaussian, type Sampler } from '../../src/features/gaussian.js';
import { relu } from '../../src/features/relu.js';
import type { RowMap } from '../../src/features/row-map.js';
import { close, expectMutantFails } from '../close.js';

// The test vectors of METHODS A; the mean below is that of its oracles.json.
const [x, y, theta] = [[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], 0.9272952180016122];
const [repetitions, m] = [2500, 256];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);
const estimate = ({ phi }: RowMap) => dot(phi(x), phi(y));
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const each = (value: (seed: number) => number) => Array.from({ length: repetitions }, (_, seed) => value(seed));
/** Independent rows, all too long by `slip`. */
const stretched =
  (slip: number): Sampler =>
  (draw) =>
    iidGaussian(draw).map((value) => slip * value);

describe('relu', () => {
  const mean = 0.10163213516497688;
  const product = 0.6 * 0.5;

  it('has the arc-cosine mean: |z| < 4 by the analytic variance, which frequencies off by 1 % fail', () => {
    // E relu²relu² = |x|²|y|² (3 sin θ cos θ + (π − θ)(1 + 2 cos² θ)) / 2π, the kernel of degree 2.
    const degree2 = 3 * Math.sin(theta) * Math.cos(theta) + (Math.PI - theta) * (1 + 2 * Math.cos(theta) ** 2);
    const deviation = Math.sqrt(((product ** 2 * degree2) / (2 * Math.PI) - mean ** 2) / (repetitions * m));
    const check = (slip: number) => {
      const got = meanOf(each((seed) => estimate(relu({ d: 4, m, seed, epsilon: 0, sampler: stretched(slip) }))));
      expect(Math.abs((got - mean) / deviation)).toBeLessThan(4);
    };
    check(1);
    expectMutantFails(() => check(0.99));
    expectMutantFails(() => check(1.01));
  });

  it('gains ε(|x| + |y|)/√2π + ε² by ε, with its analytic variance', () => {
    const epsilon = 0.1;
    const variance = (0.36 + 0.25) / 2 + 2 * mean - 1.1 ** 2 / (2 * Math.PI);
    const gains = each((seed) => {
      const at = (size: number) => estimate(relu({ d: 4, m, seed, epsilon: size, sampler: iidGaussian }));
      return at(epsilon) - at(0);
    });
    const check = (slip: number) => {
      const want = slip * ((epsilon * 1.1) / Math.sqrt(2 * Math.PI) + epsilon ** 2);
      const deviation = epsilon * Math.sqrt(variance / (repetitions * m));
      expect(Math.abs((meanOf(gains) - want) / deviation)).toBeLessThan(4);
    };
    check(1);
    expectMutantFails(() => check(1.01));
  });

  it('takes another function, and refuses m = 0 and a bad ε', () => {
    const { phi } = relu({ d: 4, m: 4, f: Math.exp, epsilon: 0 });
    close(phi([0, 0, 0, 0]), [0.5, 0.5, 0.5, 0.5], 1e-15);
    expect(() => relu({ d: 4, m: 0 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => relu({ d: 4, m: 4, epsilon: -1 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  epsilon must be finite and >= 0, got -1
        at   features.epsilon
        mend use epsilon = 0.001, or 0 for the arc-cosine kernel itself]
    `);
  });
});
