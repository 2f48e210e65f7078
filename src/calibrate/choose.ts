/**
 * A plan for every head, chosen together: least predicted error for a cost, or least cost for an error.
 *
 *   minimise  Σ_l w_l Σ_h s_{l,h}(c) + λ Σ cost(c) + μ · heads kept exact          at most three plans in a layer
 *
 * s is the share of the layer's output that plan c gets wrong in head h, measured (measure.ts); w_l is what such a share
 * does to the model's output, measured by patching layer l alone. λ and μ are found by bisection (Everett 1963); for
 * given multipliers every layer is solved exactly, by trying each set of three plans: more groups of heads than that
 * and a layer falls apart into operations too small to be worth their start.
 */
import type { Plan } from '../rewrite/plan.js';

/** One layer's measurements. */
export interface LayerChoice {
  readonly plans: readonly Plan[];
  /** Key equivalents of every plan at the length calibrated at. */
  readonly costs: readonly number[];
  /** Share of the layer's output that plan p gets wrong in head h. [H][P] */
  readonly shares: readonly (readonly number[])[];
  /** Squared relative error of the model's output for a share of 1. */
  readonly effect: number;
  /** Index of the plan that is exact; its shares are 0. */
  readonly exact: number;
}

export interface Limits {
  /** Mean key equivalents a head. */
  readonly budget?: number;
  /** Predicted relative RMS error of the output. */
  readonly maxError?: number;
  /** Largest share of all heads that may stay exact. */
  readonly keep: number;
}

export interface Choice {
  /** Index of each head's plan, by layer. */
  readonly chosen: readonly (readonly number[])[];
  /** Mean key equivalents a head. */
  readonly cost: number;
  /** Predicted relative RMS error of the output. */
  readonly error: number;
  readonly exactHeads: number;
}

const groupsPerLayer = 3;
const steps = 40;

/** The choice that meets `limits`, or undefined when none does. */
export function choose(layers: readonly LayerChoice[], limits: Limits): Choice | undefined {
  const { budget, maxError } = limits;
  if (budget === undefined && maxError === undefined) throw new TypeError('choose needs a budget or a largest error');
  const most = atPrice(layers, limits, 0);
  if (budget === undefined) {
    // The dearest λ that still keeps the error: cost falls as λ grows.
    if (most.error > Number(maxError)) return undefined;
    return searchPrice(layers, limits, (choice) => choice.error <= Number(maxError), 'highest');
  }
  const within = searchPrice(layers, limits, (choice) => choice.cost <= budget, 'lowest');
  const filled = within && spendRest(layers, within, budget);
  if (!filled || (maxError !== undefined && filled.error > maxError)) return undefined;
  return filled;
}

/**
 * Multipliers leave some of a budget unspent: between two of their solutions there is none. The rest goes where it
 * removes most error for its price, to heads that move to another plan of their layer.
 */
function spendRest(layers: readonly LayerChoice[], choice: Choice, budget: number): Choice {
  const chosen = choice.chosen.map((plans) => [...plans]);
  const heads = chosen.reduce((sum, { length }) => sum + length, 0);
  let rest = (budget - choice.cost) * heads;
  for (;;) {
    let best: { gain: number; price: number; move: () => void } | undefined;
    for (const [l, { costs, shares, effect, exact }] of layers.entries()) {
      for (const p of new Set(chosen[l])) {
        for (const [h, from] of chosen[l].entries()) {
          const price = costs[p] - costs[from];
          const gain = effect * (shares[h][from] - shares[h][p]);
          if (
            p === exact ||
            from === exact ||
            gain <= 0 ||
            price > rest ||
            (best && gain * best.price <= best.gain * price)
          )
            continue;
          best = {
            gain,
            price: Math.max(price, Number.MIN_VALUE),
            move: () => {
              chosen[l][h] = p;
            },
          };
        }
      }
    }
    if (!best) return tally(layers, chosen);
    best.move();
    rest -= best.price;
  }
}

/** Cost and predicted error from dear to cheap. */
export function paretoCurve(layers: readonly LayerChoice[], keep: number): Choice[] {
  const curve: Choice[] = [];
  for (let i = 0; i <= steps; i++) {
    const choice = atPrice(layers, { keep }, price(layers, i / steps));
    if (choice.cost !== curve.at(-1)?.cost) curve.push(choice);
  }
  return curve;
}

/** λ from far below to far above where it decides anything, on a logarithmic scale of `at` ∈ [0, 1]. */
function price(layers: readonly LayerChoice[], at: number): number {
  const scale = Math.max(...layers.map(({ effect }) => effect), Number.MIN_VALUE);
  return scale * 10 ** (-12 + 14 * at);
}

function searchPrice(
  layers: readonly LayerChoice[],
  limits: Limits,
  holds: (choice: Choice) => boolean,
  which: 'highest' | 'lowest',
): Choice | undefined {
  let [low, high] = [0, 1];
  let best: Choice | undefined;
  for (let step = 0; step < steps; step++) {
    const middle = (low + high) / 2;
    const choice = atPrice(layers, limits, price(layers, middle));
    const held = holds(choice);
    if (held) best = better(best, choice, which);
    if (held === (which === 'highest')) low = middle;
    else high = middle;
  }
  const end = atPrice(layers, limits, price(layers, which === 'highest' ? 0 : 1));
  return best ?? (holds(end) ? end : undefined);
}

function better(best: Choice | undefined, choice: Choice, which: 'highest' | 'lowest'): Choice {
  if (!best) return choice;
  return (which === 'highest' ? choice.cost < best.cost : choice.error < best.error) ? choice : best;
}

/** Solves for λ, with the least μ at which few enough heads are exact. */
function atPrice(layers: readonly LayerChoice[], { keep }: Pick<Limits, 'keep'>, lambda: number): Choice {
  const heads = layers.reduce((sum, { shares }) => sum + shares.length, 0);
  const allowed = Math.floor(keep * heads + 1e-9);
  const free = solve(layers, lambda, 0);
  if (free.exactHeads <= allowed) return free;
  let [low, high] = [-14, 3];
  const scale = Math.max(...layers.map(({ effect }) => effect), Number.MIN_VALUE);
  let best = solve(layers, lambda, Number.MAX_VALUE);
  for (let step = 0; step < 24; step++) {
    const middle = (low + high) / 2;
    const choice = solve(layers, lambda, scale * 10 ** middle);
    if (choice.exactHeads <= allowed) {
      best = choice;
      high = middle;
    } else low = middle;
  }
  return spendExact(layers, best, allowed - best.exactHeads, lambda);
}

/** Heads that μ moves all at once, as those that differ in nothing but rounding: as many of them exact as may be, the dearest first. */
function spendExact(layers: readonly LayerChoice[], choice: Choice, count: number, lambda: number): Choice {
  const moves = layers.flatMap(({ costs, shares, effect, exact }, l) =>
    choice.chosen[l].map((p, h) => ({ l, h, exact, gain: effect * shares[h][p] + lambda * (costs[p] - costs[exact]) })),
  );
  const chosen = choice.chosen.map((plans) => [...plans]);
  let left = count;
  for (const { l, h, exact, gain } of moves.sort((a, b) => b.gain - a.gain)) {
    if (left === 0 || gain <= 0) break;
    if (chosen[l][h] === exact) continue;
    if (!chosen[l].includes(exact) && new Set(chosen[l]).size === groupsPerLayer) continue;
    chosen[l][h] = exact;
    left--;
  }
  return tally(layers, chosen);
}

function solve(layers: readonly LayerChoice[], lambda: number, mu: number): Choice {
  return tally(
    layers,
    layers.map((layer) => solveLayer(layer, lambda, mu)),
  );
}

function tally(layers: readonly LayerChoice[], chosen: readonly (readonly number[])[]): Choice {
  let [cost, error, exactHeads, heads] = [0, 0, 0, 0];
  for (const [l, { costs, shares, effect, exact }] of layers.entries()) {
    for (const [h, plan] of chosen[l].entries()) {
      cost += costs[plan];
      error += effect * shares[h][plan];
      exactHeads += plan === exact ? 1 : 0;
      heads++;
    }
  }
  return { chosen, cost: cost / heads, error: Math.sqrt(error), exactHeads };
}

function solveLayer({ plans, costs, shares, effect, exact }: LayerChoice, lambda: number, mu: number): number[] {
  const prices = shares.map((row) =>
    row.map((share, p) => effect * share + lambda * costs[p] + (p === exact ? mu : 0)),
  );
  let best: { total: number; set: readonly number[] } = { total: Number.POSITIVE_INFINITY, set: [0] };
  for (const set of subsets(plans.length)) {
    let total = 0;
    for (const row of prices) {
      let least = Number.POSITIVE_INFINITY;
      for (const p of set) if (row[p] < least) least = row[p];
      total += least;
      if (total >= best.total) break;
    }
    if (total < best.total) best = { total, set };
  }
  return prices.map((row) => best.set.reduce((a, b) => (row[b] < row[a] ? b : a)));
}

const known = new Map<number, readonly (readonly number[])[]>();

/** Every set of `groupsPerLayer` plans, or the one set of all where there are fewer. */
function subsets(count: number): readonly (readonly number[])[] {
  const cached = known.get(count);
  if (cached) return cached;
  const sets: number[][] = [];
  const extend = (set: readonly number[], from: number) => {
    if (set.length === Math.min(groupsPerLayer, count)) sets.push([...set]);
    else for (let p = from; p < count; p++) extend([...set, p], p + 1);
  };
  extend([], 0);
  known.set(count, sets);
  return sets;
}
