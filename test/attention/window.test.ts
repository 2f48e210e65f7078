import { describe, expect, it } from 'vitest';
import { exactAttention } from '../../src/attention/exact.js';
import { windowAttention, windowKeys } from '../../src/attention/window.js';
import { close, expectMutantFails } from '../close.js';
import * as oracle from '../oracle/attention.js';
import { cases, mutants } from './cases.js';

const options = { block: 32, window: 40, globals: [0, 3] };

describe.each(Object.entries(cases))('window attention: %s', (_name, input) => {
  const want = oracle.windowAttention(input, options);

  it('equals softmax over the keys of the block', () => {
    close(windowAttention(input, options), want, 1e-12);
  });

  it.each(Object.entries(mutants(input)))('refuses the mutant: %s', (_mutant, mutant) => {
    expectMutantFails(() => close(windowAttention(mutant, options), want, 1e-12));
  });

  it('equals exact attention once the window spans every key', () => {
    const window = 32 + 2 * Math.max(input.N, input.S);
    close(windowAttention(input, { window }), exactAttention(input), 1e-12);
  });
});

describe('window attention', () => {
  const input = cases['whole blocks'];
  const want = oracle.windowAttention(input, options);

  it.each([
    ['a window 2 keys wider', { ...options, window: 42 }],
    ['a global key lost', { ...options, globals: [0] }],
    ['a global key off by one', { ...options, globals: [0, 2, 3] }],
    ['smaller query blocks', { ...options, block: 16, window: 24 }],
  ])('refuses the mutant: %s', (_name, mutant) => {
    expectMutantFails(() => close(windowAttention(input, mutant), want, 1e-12));
  });

  it('gives zeros for a fully masked row', () => {
    const out = windowAttention(cases['a fully masked row'], options);
    expect(out.subarray(out.length / 2).every((value) => value === 0)).toBe(true);
    expect(out.subarray(0, out.length / 2).every((value) => value !== 0)).toBe(true);
  });

  it('gives zeros to a block all of whose keys are masked, though others are not', () => {
    // Keys 32 … 95 masked: the block of queries 64 … 95 with halo 4 sees masked keys only.
    const keyBias = Float64Array.from({ length: 96 }, (_, j) => (j < 32 ? 0 : -Infinity));
    const out = windowAttention({ ...input, keyBias }, { window: 40 });
    close(out, oracle.windowAttention({ ...input, keyBias }, { block: 32, window: 40, globals: [] }), 1e-12);
    expect(out.subarray(64 * input.E, 96 * input.E).every((value) => value === 0)).toBe(true);
  });

  it('refuses a window that does not fit its block, and keys that are no positions', () => {
    expect(() => windowAttention(input, { window: 41 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  window must be block + an even number, got 41 with block 32
        at   attention.window
        mend use window = 42]
    `);
    expect(() => windowAttention(input, { window: 16 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  window must be an integer >= 32, got 16
        at   attention.window
        mend use a whole number, 32 or more]
    `);
    expect(() => windowAttention(input, { window: 64, globals: [0, -1] })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  globals[1] must be an integer >= 0, got -1
        at   attention.globals[1]
        mend use a whole number, 0 or more]
    `);
  });
});

describe('the keys of a block', () => {
  it('are the window, clipped to the keys there are, and the globals, each once and ascending', () => {
    const sets = windowKeys(10, 9, { block: 4, window: 8, globals: [8, 0, 0, 5, 99] });
    expect(sets.map((keys) => Array.from(keys))).toEqual([
      [0, 1, 2, 3, 4, 5, 8],
      [0, 2, 3, 4, 5, 6, 7, 8],
      [0, 5, 6, 7, 8],
    ]);
  });
});
