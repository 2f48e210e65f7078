import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { deepKernelBytes, layerNumbers, widthForBudget } from '../../src/quant/memory.js';
import { lawCost, planBits } from '../../src/quant/planner.js';
import { quantize, quantizedBytes } from '../../src/quant/scheme.js';
import { weights } from '../../src/quant/weights.js';
import { expectMutantFails } from '../close.js';

const shape = { inputs: 16, depth: 3, outputs: 5 };

describe('the memory law', () => {
  it('is what the packed matrices of a network take', () => {
    const normal = gaussians(2);
    const width = 24;
    const pack = (rows: number, cols: number, bits: number) =>
      quantizedBytes(
        quantize(Float64Array.from({ length: rows * cols }, normal), { scheme: weights, bits, rows, cols }),
      );
    const bits = [8, 4, 1];
    // A gain a layer, a bias a class, in float32; a head of 8 bits.
    const want = pack(24, 16, 8) + pack(24, 48, 4) + pack(24, 48, 1) + pack(5, 48, 8) + 3 * 4 + 5 * 4;
    const check = (got: number) => expect(got).toBe(want);
    check(deepKernelBytes({ ...shape, width }, bits));
    expectMutantFails(() => check(deepKernelBytes({ ...shape, width: width + 1 }, bits)));
  });

  it('is b (2D²(l − 1) + dD) but for scales and head, and gives √(32 / b) of the width at equal memory', () => {
    expect(layerNumbers({ ...shape, width: 256 }).reduce((a, b) => a + b)).toBe(2 * 256 ** 2 * 2 + 16 * 256);
    const budget = deepKernelBytes({ ...shape, width: 256 }, [32, 32, 32]);
    const widths = [8, 4, 2].map((bits) => widthForBudget(shape, [bits, bits, bits], budget));
    // METHODS D.1 gives 513, 727 and 1029 for the matrices alone; a head at 8 bits takes from the narrower ones.
    for (const [i, want] of [513, 727, 1029].entries()) expect(Math.abs(widths[i] / want - 1)).toBeLessThan(0.03);
  });

  it('finds the widest network that fits, and refuses a budget for none', () => {
    for (const budget of [200, 1000, 50_000]) {
      const width = widthForBudget(shape, [8, 4, 1], budget);
      expect(deepKernelBytes({ ...shape, width }, [8, 4, 1])).toBeLessThanOrEqual(budget);
      expect(deepKernelBytes({ ...shape, width: width + 1 }, [8, 4, 1])).toBeGreaterThan(budget);
    }
    expect(() => widthForBudget(shape, [8, 8, 8], 10)).toThrow(
      'PF422  10 bytes hold no network of width 1 at 8, 8, 8 bits',
    );
  });
});

describe('the planner', () => {
  it.each([300, 1000, 5000, 50_000])('finds the least cost of all falling sequences in %i bytes', (budget) => {
    const plan = planBits({ ...shape, budget });
    let best = Infinity;
    for (const a of [8, 4, 2, 1])
      for (const b of [8, 4, 2, 1])
        for (const c of [8, 4, 2, 1])
          if (a >= b && b >= c) best = Math.min(best, lawCost(widthForBudget(shape, [a, b, c], budget), [a, b, c]));
    const check = (cost: number) => expect(Math.abs(cost / best - 1)).toBeLessThan(1e-12);
    check(plan.cost);
    expectMutantFails(() => check(lawCost(widthForBudget(shape, [8, 8, 8], budget), [8, 8, 8])));
    expect(plan.bytes).toBeLessThanOrEqual(budget);
    expect(plan.bytes).toBe(deepKernelBytes({ ...shape, width: plan.width }, plan.bits));
    expect(plan.bits).toEqual([...plan.bits].sort((x, y) => y - x));
  });

  it('gives later layers fewer bits', () => {
    const { bits } = planBits({ ...shape, depth: 4, budget: 20_000 });
    expect(bits[0]).toBeGreaterThan(bits[3]);
  });

  it('keeps to the widths it is given', () => {
    expect(new Set(planBits({ ...shape, budget: 5000, widths: [1] }).bits)).toEqual(new Set([1]));
  });

  it('refuses sizes, widths and budgets that make no network', () => {
    expect(() => planBits({ ...shape, depth: 0, budget: 100 })).toThrow('PF420  depth must be an integer >= 1, got 0');
    expect(() => planBits({ ...shape, budget: 100, widths: [3] })).toThrow(
      'PF420  bits must be one of 1, 2, 4, 8, 32, got 3',
    );
    expect(() => planBits({ ...shape, budget: 100, widths: [] })).toThrow('PF420  widths must name at least one width');
    expect(() => planBits({ ...shape, budget: 10 })).toThrow(
      'PF422  10 bytes hold no network of width 1 at 1, 1, 1 bits',
    );
    expect(() => planBits({ ...shape, budget: Number.NaN })).toThrow('PF422  NaN bytes hold no network');
  });
});
