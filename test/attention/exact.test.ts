import { describe, expect, it } from 'vitest';
import { exactAttention } from '../../src/attention/exact.js';
import { close, expectMutantFails } from '../close.js';
import { softmaxAttention } from '../oracle/attention.js';
import { cases, mutants, normalInput } from './cases.js';

describe.each(Object.entries(cases))('exact attention: %s', (_name, input) => {
  // 7 divides no S here, 16 some, 256 none reaches: ragged blocks, whole blocks, one block.
  it.each([1, 7, 16, 256])('equals the oracle with block %i', (block) => {
    close(exactAttention(input, { block }), softmaxAttention(input), 1e-12);
  });

  it.each(Object.entries(mutants(input)))('refuses the mutant: %s', (_mutant, mutant) => {
    expectMutantFails(() => close(exactAttention(mutant), softmaxAttention(input), 1e-12));
  });
});

describe('exact attention', () => {
  it('gives zeros for a fully masked row', () => {
    const input = cases['a fully masked row'];
    const out = exactAttention(input, { block: 16 });
    expect(out.subarray(out.length / 2).every((value) => value === 0)).toBe(true);
    expect(out.subarray(0, out.length / 2).every((value) => value !== 0)).toBe(true);
  });

  it('does not read masked keys, whatever they hold', () => {
    const input = cases.padding;
    const v = input.v.slice();
    // Batch 1 of padding masks its last 17 of 41 keys: the last value row of every head is hidden.
    v.fill(NaN, v.length - input.E);
    close(exactAttention({ ...input, v }), softmaxAttention(input), 1e-12);
  });

  it('survives scores that overflow exp', () => {
    const input = normalInput({ B: 1, H: 2, N: 97, S: 97, D: 8, E: 8 }, 9, { qSize: 1000 });
    close(exactAttention(input, { block: 7 }), softmaxAttention(input), 1e-12);
    for (const mutant of Object.values(mutants(input))) {
      expectMutantFails(() => close(exactAttention(mutant, { block: 7 }), softmaxAttention(input), 1e-12));
    }
  });

  it('adds a key bias that is not a mask', () => {
    const input = cases['ragged, batch 2, E ≠ D'];
    const keyBias = Float64Array.from({ length: input.B * input.S }, (_, j) => Math.sin(j));
    close(exactAttention({ ...input, keyBias }), softmaxAttention({ ...input, keyBias }), 1e-12);
    const late = Float64Array.from(keyBias, (_, j) => Math.sin(j + 1));
    expectMutantFails(() =>
      close(exactAttention({ ...input, keyBias: late }), softmaxAttention({ ...input, keyBias }), 1e-12),
    );
  });

  it('reads float32 and computes in float64', () => {
    const input = cases.padding;
    const [q, k, v] = [input.q, input.k, input.v].map((array) => Float32Array.from(array));
    const single = { ...input, q, k, v };
    const rounded = { ...input, q: Float64Array.from(q), k: Float64Array.from(k), v: Float64Array.from(v) };
    close(exactAttention(single), softmaxAttention(rounded), 1e-12);
    expectMutantFails(() => close(Float32Array.from(exactAttention(single)), softmaxAttention(rounded), 1e-12));
  });

  it('reports every array of the wrong length at once', () => {
    const input = cases['one token'];
    const wrong = { ...input, q: new Float64Array(3), v: new Float64Array(1), keyBias: new Float64Array(2) };
    expect(() => exactAttention(wrong)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  q must hold [B,H,N,D] = [1,2,1,8] = 16 numbers, got 3; v must hold [B,H,S,E] = [1,2,1,8] = 16 numbers, got 1; keyBias must hold [B,S] = [1,1] = 1 numbers, got 2
        at   attention
        mend pass row-major arrays of these shapes]
    `);
  });

  it('refuses a block below 1', () => {
    expect(() => exactAttention(cases['one token'], { block: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  block must be an integer >= 1, got 0
        at   attention.block
        mend use a whole number, 1 or more]
    `);
  });
});
