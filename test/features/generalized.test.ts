import { describe, expect, it } from 'vitest';
import { iidGaussian } from '../../src/features/gaussian.js';
import { activations, generalized } from '../../src/features/generalized.js';
import { close, expectMutantFails } from '../close.js';
import { gaussianExpectation } from '../oracle/gaussian-expectation.js';

// Of unlike lengths, so that a wrong power of a length shows: |x|² = .61, |y|² = .25.
const [x, y] = [
  [0.6, 0, 0, 0.5],
  [0.3, 0.4, 0, 0],
];
const m = 256;
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);
const length = (a: readonly number[]) => Math.sqrt(dot(a, a));
const theta = Math.acos(dot(x, y) / (length(x) * length(y)));
const [sin, cos, product] = [Math.sin(theta), Math.cos(theta), length(x) * length(y)];

/** The f of the header again, and its kernel where one is in closed form. */
const oracles: Record<keyof typeof activations, { f: (u: number) => number; kernel?: number; repetitions?: number }> = {
  step: { f: (u) => (u > 0 ? 1 : 0), kernel: (Math.PI - theta) / (2 * Math.PI) },
  'relu-squared': {
    f: (u) => (u > 0 ? u * u : 0),
    // A product of four u⁺ has the heavier tail.
    repetitions: 10_000,
    kernel: (product ** 2 * (3 * sin * cos + (Math.PI - theta) * (1 + 2 * cos ** 2))) / (2 * Math.PI),
  },
  abs: { f: (u) => (u > 0 ? u : -u), kernel: (product * 2 * (sin + (Math.PI / 2 - theta) * cos)) / Math.PI },
  'elu+1': { f: (u) => (u > 0 ? 1 + u : Math.exp(u)) },
  softplus: { f: (u) => Math.log(1 + Math.exp(u)) },
};

describe.each(Object.entries(oracles))('generalised map %s', (name, { f, kernel, repetitions = 2500 }) => {
  const mean = gaussianExpectation((u, v) => f(u) * f(v), x, y);
  const second = gaussianExpectation((u, v) => (f(u) * f(v)) ** 2, x, y);
  const activation = activations[name as keyof typeof activations];

  it('has the kernel of its header, by quadrature', () => {
    if (kernel === undefined) return expect(['elu+1', 'softplus']).toContain(name);
    // A jump costs the trapezoid rule more than a kink.
    const bound = name === 'step' ? 4e-3 : 1e-5;
    close([mean], [kernel], bound);
    expectMutantFails(() => close([mean], [1.01 * kernel], bound));
  });

  it('is unbiased: |z| < 4 by the analytic variance, which values off by 1 % fail', () => {
    const want = kernel ?? mean;
    const deviation = Math.sqrt((second - want ** 2) / (repetitions * m));
    const check = (slip: number) => {
      let total = 0;
      for (let seed = 0; seed < repetitions; seed++) {
        const { phi } = generalized((u) => slip * activation(u))({ d: 4, m, seed, sampler: iidGaussian });
        total += dot(phi(x), phi(y));
      }
      expect(Math.abs((total / repetitions - want) / deviation)).toBeLessThan(4);
    };
    check(1);
    expectMutantFails(() => check(0.99));
    expectMutantFails(() => check(1.01));
  });
});

it('softplus neither overflows nor loses small values', () => {
  close([activations.softplus(1000), activations.softplus(-40)], [1000, Math.exp(-40)], 1e-15);
  expect(activations.softplus(-40)).toBeCloseTo(Math.exp(-40), 30);
});
