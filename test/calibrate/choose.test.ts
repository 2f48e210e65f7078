import { describe, expect, it } from 'vitest';
import { type Choice, choose, type LayerChoice, paretoCurve } from '../../src/calibrate/choose.js';
import { uniforms } from '../../src/features/rng.js';
import { readPlan } from '../../src/rewrite/plan.js';

/** Layers with plans that err less the more they cost, as plans do, each head on a curve of its own. */
function layersOf(count: number, heads: number, seed: number): LayerChoice[] {
  const random = uniforms(seed);
  const costs = [20, 50, 90, 160, 300, 512];
  return Array.from({ length: count }, () => ({
    plans: costs.map(() => readPlan('exact')),
    costs,
    shares: Array.from({ length: heads }, () => {
      const scale = 0.5 * random() ** 2;
      const fall = 0.5 + random();
      return costs.map((cost, p) => (p === costs.length - 1 ? 0 : scale * (20 / cost) ** fall));
    }),
    effect: 0.2 + random(),
    exact: costs.length - 1,
  }));
}

/** Every choice there is, with at most three plans a layer: the least error within the limits. */
function exhaustive(layers: readonly LayerChoice[], { budget, keep }: { budget: number; keep: number }): number {
  const heads = layers.reduce((sum, { shares }) => sum + shares.length, 0);
  let best = Number.POSITIVE_INFINITY;
  const flat = layers.flatMap((layer, l) => layer.shares.map((shares) => ({ ...layer, shares, l })));
  const visit = (at: number, cost: number, error: number, exact: number, used: readonly (readonly number[])[]) => {
    if (cost > budget * heads || exact > keep * heads || error >= best) return;
    const head = flat[at];
    if (!head) {
      best = error;
      return;
    }
    for (const [p, price] of head.costs.entries()) {
      const groups = used[head.l].includes(p) ? used[head.l] : [...used[head.l], p];
      if (groups.length > 3) continue;
      const next = used.map((set, l) => (l === head.l ? groups : set));
      visit(at + 1, cost + price, error + head.effect * head.shares[p], exact + (p === head.exact ? 1 : 0), next);
    }
  };
  visit(
    0,
    0,
    0,
    0,
    layers.map(() => []),
  );
  return Math.sqrt(best);
}

function recount(layers: readonly LayerChoice[], { chosen }: Choice) {
  const rows = layers.flatMap((layer, l) => chosen[l].map((p, h) => ({ ...layer, p, share: layer.shares[h][p] })));
  return {
    cost: rows.reduce((sum, { costs, p }) => sum + costs[p], 0) / rows.length,
    error: Math.sqrt(rows.reduce((sum, { effect, share }) => sum + effect * share, 0)),
    exactHeads: rows.filter(({ p, exact }) => p === exact).length,
  };
}

describe('choosing a plan for every head', () => {
  it.each([1, 2, 3, 4, 5, 6])('comes close to the best of all choices within a budget (seed %i)', (seed) => {
    const layers = layersOf(2, 4, seed);
    for (const budget of [40, 100, 200]) {
      for (const keep of [0, 0.125, 1]) {
        const choice = choose(layers, { budget, keep });
        if (!choice) throw new Error('every budget above the cheapest plan can be met');
        const best = exhaustive(layers, { budget, keep });
        expect(choice.error).toBeGreaterThanOrEqual(best - 1e-12);
        expect(choice.error).toBeLessThan(1.15 * best);
        expect(choice.cost).toBeLessThanOrEqual(budget);
        expect(choice.exactHeads).toBeLessThanOrEqual(keep * 8);
      }
    }
  });

  it('says what it chose, and never gives a layer more than three plans', () => {
    const layers = layersOf(6, 12, 7);
    const choice = choose(layers, { budget: 150, keep: 0.1 });
    if (!choice) throw new Error('possible');
    expect(choice).toMatchObject(recount(layers, choice));
    for (const plans of choice.chosen) expect(new Set(plans).size).toBeLessThanOrEqual(3);
  });

  it('finds what meets the limits where exact attention costs least: inputs shorter than any linear plan', () => {
    const random = uniforms(11);
    const costs = [61, 80, 93, 32];
    const layers = Array.from({ length: 2 }, () => ({
      plans: costs.map(() => readPlan('exact')),
      costs,
      shares: Array.from({ length: 4 }, () => costs.map((_, p) => (p === 3 ? 0 : 1e-15 * random()))),
      effect: 1,
      exact: 3,
    }));
    for (const budget of [36, 40, 60]) {
      const choice = choose(layers, { budget, keep: 0.9 });
      if (!choice) throw new Error('seven of eight heads exact, and one by the cheapest linear plan, cost 35.6');
      expect(choice.cost).toBeLessThanOrEqual(budget);
      expect(choice.exactHeads).toBeLessThanOrEqual(7);
    }
  });

  it('spends least for a given error', () => {
    const layers = layersOf(3, 6, 8);
    const loose = choose(layers, { maxError: 0.3, keep: 1 });
    const tight = choose(layers, { maxError: 0.1, keep: 1 });
    expect(loose?.error).toBeLessThanOrEqual(0.3);
    expect(tight?.error).toBeLessThanOrEqual(0.1);
    expect(loose?.cost).toBeLessThan(tight?.cost ?? 0);
    const same = choose(layers, { budget: loose?.cost ?? 0, keep: 1 });
    expect(same?.error).toBeLessThanOrEqual(1.0001 * (loose?.error ?? 0));
  });

  it('gives nothing where the limits cannot be met', () => {
    const layers = layersOf(2, 4, 9);
    expect(choose(layers, { budget: 10, keep: 0 })).toBeUndefined();
    expect(choose(layers, { maxError: 1e-6, keep: 0 })).toBeUndefined();
    expect(choose(layers, { budget: 100, maxError: 1e-6, keep: 0 })).toBeUndefined();
    expect(choose(layers, { maxError: 1e-6, keep: 1 })?.exactHeads).toBe(8);
  });

  it('has a curve along which cost falls as error grows', () => {
    const curve = paretoCurve(layersOf(3, 6, 10), 0.2);
    expect(curve.length).toBeGreaterThan(4);
    for (const [i, { cost, error }] of curve.entries()) {
      const before = curve[i - 1];
      if (before) expect([cost < before.cost, error >= before.error]).toEqual([true, true]);
    }
  });
});
