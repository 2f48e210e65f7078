import { describe, expect, it } from 'vitest';
import { CloseError, close, expectMutantFails, relRMS } from './close.js';

describe('relRMS', () => {
  it('is the error over the size of what was wanted', () => {
    expect(relRMS([3, 4.5], [3, 4])).toBe(0.1);
  });

  it('is 0 for zeros against zeros, infinite for anything else against zeros', () => {
    expect(relRMS([0, 0], [0, 0])).toBe(0);
    expect(relRMS([0, 1e-30], [0, 0])).toBe(Infinity);
  });

  it('refuses arrays of different lengths and empty ones', () => {
    expect(() => relRMS([1], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: got 1 values, want 2]`);
    expect(() => relRMS([], [])).toThrowErrorMatchingInlineSnapshot(
      `[RangeError: nothing to compare: both arrays are empty]`,
    );
  });
});

describe('close', () => {
  it('accepts an error at the bound and refuses one above it', () => {
    close([3, 4.5], [3, 4], 0.1);
    expect(() => close([3, 4.5], [3, 4], 0.0999)).toThrow(CloseError);
  });

  it('says how far off, where, and both values', () => {
    expect(() => close([1, 2.25, 3], [1, 2, 3], 1e-6)).toThrowErrorMatchingInlineSnapshot(
      `[CloseError: relRMS 6.68e-2, bound 1.00e-6; max abs error 2.50e-1 at index 1 of 3; got 2.25, want 2; NaN 0, infinite 0]`,
    );
  });

  it('refuses NaN and infinity whatever the bound, and points at the first', () => {
    expect(() => close([9, NaN, NaN], [1, 2, 3], Infinity)).toThrowErrorMatchingInlineSnapshot(
      `[CloseError: relRMS NaN, bound Infinity; max abs error NaN at index 1 of 3; got NaN, want 2; NaN 2, infinite 0]`,
    );
    expect(() => close([1, 2, Infinity], [1, 2, Infinity], Infinity)).toThrowErrorMatchingInlineSnapshot(
      `[CloseError: relRMS NaN, bound Infinity; max abs error NaN at index 2 of 3; got Infinity, want Infinity; NaN 0, infinite 2]`,
    );
  });
});

describe('expectMutantFails', () => {
  it('is content with a check that fails by its numbers', () => {
    expectMutantFails(() => close([1.01], [1], 1e-3));
    expectMutantFails(() => expect(5.2).toBeLessThan(4));
  });

  it('refuses a check that accepts the mutant', () => {
    expect(() => expectMutantFails(() => close([1], [1], 0))).toThrowErrorMatchingInlineSnapshot(
      `[Error: the mutant passed: this check cannot fail, so it proves nothing]`,
    );
  });

  it('passes on an error that is not about numbers', () => {
    expect(() => expectMutantFails(() => close([1], [1, 2], 0))).toThrow(RangeError);
  });
});
