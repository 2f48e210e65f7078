/**
 * The ways to heal a chosen plan, from cheap to dear, each kept only if it improves inputs that it has not seen. What the
 * number of inputs limits is then fitted once more, on those inputs too.
 */
import type { SitePlan } from '../rewrite/plan.js';
import type { Feeds } from '../session.js';
import { distill } from './distill.js';
import type { HealContext, Healed } from './heal-context.js';
import { healLayers } from './heal-layers.js';
import { refitLayers } from './refit-layers.js';
import { distillInSubspace } from './subspace.js';

interface HealMethod {
  readonly summary: string;
  /**
   * Once it is kept, is it fitted again on all inputs? always: their number limits it. if moved: only where what it builds on was (on its
   * own it gains nothing). never: too dear, and so nothing that it builds on is.
   */
  readonly again: 'always' | 'if moved' | 'never';
  heal(plans: readonly SitePlan[], context: HealContext): Promise<Healed>;
}

/** Every way to heal: one file and one line each. The command line's help iterates over this. */
export const healMethods = {
  gain: {
    summary: 'a gain and a bias a head, in closed form',
    again: 'if moved',
    heal: async (plans, { surveys, ...context }) => ({ plans: await healLayers(plans, { surveys, ...context }) }),
  },
  mlp: {
    summary: 'the last matrix of every MLP behind a linear layer, in closed form under a heavy ridge',
    again: 'always',
    heal: refitLayers,
  },
  distill: {
    summary: 'q, k, v and o by matrices of low rank, trained against the original (needs @jax-js/jax and @jax-js/onnx)',
    again: 'never',
    heal: distill,
  },
  subspace: {
    summary: 'the same in the 40 directions or fewer of a shorter training',
    again: 'never',
    heal: distillInSubspace,
  },
} satisfies Record<string, HealMethod>;

export type HealLevel = keyof typeof healMethods;

/** What became of one way to heal. */
export interface HealingStep {
  readonly level: HealLevel;
  /** Root mean square relative error of the first output on the held-out inputs with it. */
  readonly error: number;
  /** Dropped unless that is less than without it. */
  readonly kept: boolean;
  readonly left?: readonly string[];
}

/** Tries ways to heal one after another, each on top of those that were kept. `error` is of before the last fit. */
export async function healPlans(
  chosen: readonly SitePlan[],
  levels: readonly HealLevel[],
  options: HealContext & {
    readonly error: number;
    readonly held: readonly Feeds[];
    readonly heldError: (plans: readonly SitePlan[]) => Promise<number>;
  },
): Promise<{ plans: readonly SitePlan[]; error: number; healing: HealingStep[] }> {
  let [plans, least] = [chosen, options.error];
  const healing: HealingStep[] = [];
  const kept: { readonly method: HealMethod; readonly before: readonly SitePlan[] }[] = [];
  for (const level of levels) {
    const method = healMethods[level];
    const { plans: healed, left = [] }: Healed = await method.heal(plans, options);
    const error = await options.heldError(healed);
    const better = error < least;
    healing.push({ level, error, kept: better, ...(left.length > 0 && { left }) });
    if (!better) continue;
    kept.push({ method, before: plans });
    [plans, least] = [healed, error];
  }
  const from = kept.findIndex(({ method }) => method.again === 'always');
  const again = from < 0 ? [] : kept.slice(from);
  if (again.length > 0 && again.every(({ method }) => method.again !== 'never')) {
    plans = again[0].before;
    const inputs = [...options.inputs, ...options.held];
    for (const { method } of again) plans = (await method.heal(plans, { ...options, inputs })).plans;
  }
  return { plans, error: least, healing };
}
