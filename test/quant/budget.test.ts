import { describe, expect, it } from 'vitest';
import { schemes } from '../../src/quant/registry.js';
import type { Scheme } from '../../src/quant/scheme.js';
import { weightClips } from '../../src/quant/weights.js';
import { expectMutantFails } from '../close.js';
import { schemeError } from './scheme-error.js';

const cases = Object.entries<Scheme>(schemes).flatMap(([name, scheme]) =>
  scheme.widths.map((bits) => ({ name, scheme, bits })),
);

describe.each(cases)('$name at $bits bits', ({ scheme, bits }) => {
  it('errs by at most its budget, and the budget is at most twice its error', () => {
    const check = (measured: number) => {
      expect(measured).toBeLessThanOrEqual(scheme.budget[bits]);
      expect(scheme.budget[bits]).toBeLessThanOrEqual(2 * measured);
    };
    const measured = schemeError(scheme, bits);
    check(measured);
    expectMutantFails(() => check(2 * measured));
    expectMutantFails(() => check(measured / 2));
  });
});

it('gives a budget for every width, and ids that differ', () => {
  for (const { scheme, bits } of cases) expect(scheme.budget[bits]).toBeGreaterThan(0);
  expect(new Set(Object.values<Scheme>(schemes).map(({ id }) => id)).size).toBe(Object.keys(schemes).length);
});

it('errs less the more bits it has', () => {
  for (const scheme of Object.values<Scheme>(schemes)) {
    const errors = scheme.widths.map((bits) => schemeError(scheme, bits));
    expect(errors).toEqual([...errors].sort((a, b) => b - a));
  }
});

it.each([2, 4])('weights of %i bits are clipped where the error is least', (bits) => {
  const { weights } = schemes;
  const clipped = (factor: number) =>
    schemeError({ ...weights, scale: (values, width) => factor * weights.scale(values, width) }, bits);
  expect(weightClips[bits]).toBeGreaterThan(1);
  for (const factor of [0.85, 1.15]) expect(clipped(factor)).toBeGreaterThan(clipped(1));
});
