/**
 * The ways to heal a chosen plan, from cheap to dear, each kept only if it improves inputs that it has not seen. What the
 * number of inputs limits is then fitted once more, on those inputs too.
 */
import type { SitePlan } from '../../rewrite/plan.js';
import type { Feeds } from '../../session.js';
import type { SurveyModelOptions } from '../survey-model.js';
import { type HealContext, type Healed, type TrainingOptions, trainingDefaults } from './context.js';
import { distill } from './distill.js';
import { healLayers } from './gain-layers.js';
import { refitLayers } from './refit-layers.js';
import { distillInSubspace } from './subspace.js';
import { transfer } from './transfer.js';

interface HealMethod {
  readonly summary: string;
  /**
   * Once it is kept, is it fitted again on all inputs? always: their number limits it. if moved: only where what it builds on was (on its
   * own it gains nothing). never: too dear, and so nothing that it builds on is.
   */
  readonly again: 'always' | 'if moved' | 'never';
  /** How many steps it reports, at most. */
  steps(layers: number, training?: TrainingOptions): number;
  heal(plans: readonly SitePlan[], context: HealContext): Promise<Healed>;
}

/** Every way to heal: one file and one line each. The command line's help iterates over this. */
export const healMethods = {
  gain: {
    summary: 'a gain and a bias a head, in closed form',
    again: 'if moved',
    steps: (layers) => layers,
    heal: async (plans, { surveys, ...context }) => ({ plans: await healLayers(plans, { surveys, ...context }) }),
  },
  mlp: {
    summary: 'the last matrix of every MLP behind a linear layer, in closed form under a heavy ridge',
    again: 'always',
    steps: (layers) => layers,
    heal: refitLayers,
  },
  transfer: {
    summary:
      'codebooks and calibrated features, trained layer by layer to give what exact heads do (needs @jax-js/jax)',
    again: 'never',
    steps: (layers, { steps = trainingDefaults.steps } = {}) => layers * steps,
    heal: transfer,
  },
  distill: {
    summary: 'q, k, v and o by matrices of low rank, trained against the original (needs @jax-js/jax and @jax-js/onnx)',
    again: 'never',
    steps: (_, { steps = trainingDefaults.steps } = {}) => steps,
    heal: distill,
  },
  subspace: {
    summary: 'the same in the 40 directions or fewer of a shorter training',
    again: 'never',
    steps: (_, { steps = trainingDefaults.steps } = {}) => steps,
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
  options: Omit<HealContext, 'onStep'> & {
    readonly error: number;
    readonly held: readonly Feeds[];
    readonly heldError: (plans: readonly SitePlan[]) => Promise<number>;
    readonly onProgress?: SurveyModelOptions['onProgress'];
  },
): Promise<{ plans: readonly SitePlan[]; error: number; healing: HealingStep[] }> {
  let [plans, least] = [chosen, options.error];
  const healing: HealingStep[] = [];
  const kept: Kept[] = [];
  const methods: readonly HealMethod[] = levels.map((level) => healMethods[level]);
  const refitted = methods.slice(firstAlways(methods)).filter(({ again }) => again !== 'never');
  const steps = (method: HealMethod) => method.steps(chosen.length, options.training);
  const reporter = reporterOf([...methods, ...refitted].map(steps), options.onProgress);
  for (const [i, method] of methods.entries()) {
    const { plans: healed, left = [], more }: Healed = await method.heal(plans, { ...options, onStep: reporter(i) });
    const error = await options.heldError(healed);
    const better = error < least;
    healing.push({ level: levels[i], error, kept: better, ...(left.length > 0 && { left }) });
    if (!better) continue;
    kept.push({ method, before: plans, more });
    [plans, least] = [healed, error];
  }
  const again = fittedAgain(kept);
  if (again.length > 0) {
    plans = again[0].before;
    const { inputs: fit, held } = options;
    for (const { method, more } of again) {
      const onStep = reporter(methods.length + refitted.indexOf(method));
      const inputs = more ? held : [...fit, ...held];
      plans = (await (more ?? method.heal)(plans, { ...options, inputs, onStep })).plans;
    }
  }
  return { plans, error: least, healing };
}

interface Kept {
  readonly method: HealMethod;
  readonly before: readonly SitePlan[];
  readonly more: Healed['more'];
}

/** The last of these, from the first that always is: none where one of them never is. */
function fittedAgain(kept: readonly Kept[]): readonly Kept[] {
  const last = kept.slice(firstAlways(kept.map(({ method }) => method)));
  return last.every(({ method }) => method.again !== 'never') ? last : [];
}

function firstAlways(methods: readonly HealMethod[]): number {
  const first = methods.findIndex(({ again }) => again === 'always');
  return first < 0 ? methods.length : first;
}

/** What each of several parts reports, as progress of them all: what a part leaves out is passed over. */
function reporterOf(
  sizes: readonly number[],
  onProgress: SurveyModelOptions['onProgress'],
): (part: number) => HealContext['onStep'] {
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((sum, size) => sum + size, 0));
  const total = ends[ends.length - 1] ?? 0;
  return (part) => {
    let done = ends[part] - sizes[part];
    return (what) => {
      done = Math.min(done + 1, ends[part]);
      onProgress?.({ done, total, what });
    };
  };
}
