/**
 * From a model and some inputs to a plan for every head: record → measure → choose → heal → check.
 *
 * A third of the inputs is held out: constants and healing are fitted on the rest, every choice is made by what was
 * measured on inputs that had no part in them, and a healing that does not improve those is dropped.
 */
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { fallback, formatPlan, type Plan, readPlan, type SitePlan } from '../rewrite/plan.js';
import { type SavedPlan, savePlan } from '../rewrite/saved-plan.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, SessionFactory } from '../session.js';
import { type Beginning, beginningOf, passedOver } from './beginning.js';
import { constantNames } from './candidates.js';
import { type Choice, choose, type LayerChoice, paretoCurve } from './choose.js';
import type { TrainingOptions } from './heal/context.js';
import { type HealingStep, type HealLevel, healPlans } from './heal/healing.js';
import type { SiteSurvey } from './survey.js';
import {
  type Checkpoint,
  type ModelSurvey,
  type SurveyedLayer,
  type SurveyModelOptions,
  surveyBeginning,
} from './survey-model.js';

export interface ChooseOptions {
  /** Mean key equivalents a head. Default 176 when no `maxError` is given. */
  readonly budget?: number;
  /** Largest predicted relative RMS error of the first output. */
  readonly maxError?: number;
  /** Largest share of heads that may stay exact, 0 to 1. Default .1. */
  readonly keep?: number;
  /**
   * Ways to heal what was chosen (heal/healing.ts), one after another; each is kept if it improves held-out inputs. true: 'gain' alone,
   * the default but for causal models, whose errors are of single tokens that no constant brings back, and for images, where a gain that is
   * right at one size is wrong at another.
   */
  readonly heal?: boolean | readonly HealLevel[];
  readonly training?: TrainingOptions;
  /** For a training that was interrupted, too. */
  readonly checkpoint?: Checkpoint;
  readonly onProgress?: SurveyModelOptions['onProgress'];
}

export interface CalibrateOptions extends ChooseOptions, SurveyModelOptions {}

export interface Calibrated {
  readonly plan: SavedPlan;
  readonly cost: number;
  /** What exact attention costs on the longest of the inputs: a plan that costs no less pays on longer ones alone. */
  readonly exactCost: number;
  readonly exactHeads: number;
  /** Cost and predicted error of the choices there were. */
  readonly curve: readonly Pick<Choice, 'cost' | 'error' | 'exactHeads'>[];
  /** Relative RMS error of the first output: predicted, and measured on held-out inputs as chosen, and after what healing was kept. */
  readonly error: { readonly predicted: number; readonly chosen: number; readonly healed?: number };
  /** In the order asked for; none where none was. */
  readonly healing: readonly HealingStep[];
}

const defaultBudget = 176;

/**
 * Chooses, and fits the constants of, a plan for every head of a model. `linearize(bytes, { saved: plan })` then applies
 * it, to this model or to one of the same graph.
 *
 * @param bytes the ONNX model; not changed
 * @param inputs what the model will be used on: 8 to 64 inputs, 3 at least, of the length it will be used at
 * @throws PerformersError PF101–PF103 (bytes), PF202 (a candidate that is exact), PF501 (fewer than 3 inputs, or nothing but
 * padding), PF503 (no choice meets the limits; says the nearest that does), PF504 (activations that are not finite), PF302
 * (the model does not run on an input), PF202 (healing asked for of a decoder merged into one If)
 */
export async function calibrate(
  bytes: Uint8Array,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
  options: CalibrateOptions = {},
): Promise<Calibrated> {
  // Before hours of measuring, not after them.
  const beginning = beginningOf(openModel(decode(bytes)));
  if (levelsOf(options.heal ?? false).length > 0) checkHealing(beginning);
  return choosePlans(await surveyBeginning(beginning, inputs, createSession, options), createSession, options);
}

/** The second half of calibrate(): another budget from what was measured once. @throws PerformersError PF503, PF302 */
export async function choosePlans(
  survey: ModelSurvey,
  createSession: SessionFactory,
  options: ChooseOptions = {},
): Promise<Calibrated> {
  const { model, sites, fit, held } = survey;
  const { keep = 0.1, heal = healedByDefault(survey), onProgress } = options;
  const levels = levelsOf(heal);
  if (levels.length > 0) checkHealing(survey);
  const layers = survey.layers.map(layerChoice);
  const choice = chooseOrExplain(layers, { ...options, keep });
  const chosen = withOthers(sites, survey.layers, layers, choice);
  const error = { predicted: choice.error, chosen: await survey.heldError(chosen.plans) };
  const result = {
    cost: choice.cost,
    exactCost: exactCost(layers),
    exactHeads: choice.exactHeads,
    curve: paretoCurve(layers, keep).map(({ cost, error, exactHeads }) => ({ cost, error, exactHeads })),
  };
  const healed = await healPlans(chosen.plans, levels, {
    model,
    surveys: survey.layers,
    inputs: fit,
    held,
    createSession,
    training: options.training,
    checkpoint: options.checkpoint,
    onProgress,
    error: error.chosen,
    heldError: survey.heldError,
  });
  const whole = survey.forAll(healed.plans, chosen.reasons);
  return {
    ...result,
    plan: savePlan(whole.plans, whole.reasons),
    error: { ...error, ...(levels.length > 0 && { healed: healed.error }) },
    healing: healed.healing,
  };
}

function healedByDefault({ sites, merged }: ModelSurvey): boolean {
  return !merged && !sites.some(({ causal, operands }) => causal || operands.grid);
}

function levelsOf(heal: boolean | readonly HealLevel[]): readonly HealLevel[] {
  return typeof heal === 'boolean' ? (heal ? ['gain'] : []) : heal;
}

function checkHealing({ merged }: Pick<Beginning, 'merged'>): void {
  if (!merged) return;
  throw new PerformersError('PF202', "a decoder merged into one If can't be healed", {
    at: 'heal',
    mend: 'leave it out: a plan needs no healing to be used',
  });
}

/** Costs and shares of a layer, with exact attention as the last of the plans. */
function layerChoice({ site, plans, shares, keys, effect }: SurveyedLayer): LayerChoice {
  return {
    plans: [...plans, readPlan(fallback)],
    // A causal query sees half of the keys on average.
    costs: [
      ...plans.map((plan) => lowerings[plan.name].keyEquivalents(plan.options, keys)),
      site.causal ? keys / 2 : keys,
    ],
    shares: shares.map((row) => [...row, 0]),
    effect,
    exact: plans.length,
  };
}

/** Mean key equivalents of a head that is exact. */
function exactCost(layers: readonly LayerChoice[]): number {
  const all = layers.flatMap(({ costs, shares, exact }) => shares.map(() => costs[exact]));
  return all.reduce((sum, cost) => sum + cost, 0) / all.length;
}

function chooseOrExplain(layers: readonly LayerChoice[], options: ChooseOptions & { keep: number }): Choice {
  const { maxError, keep } = options;
  const budget = options.budget ?? (maxError === undefined ? defaultBudget : undefined);
  const choice = choose(layers, { budget, maxError, keep });
  if (choice) return choice;
  const curve = paretoCurve(layers, keep);
  const cheapest = curve.reduce((a, b) => (b.cost < a.cost ? b : a));
  const best = curve.reduce((a, b) => (b.error < a.error ? b : a));
  const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;
  throw new PerformersError('PF503', 'no choice of plans meets the limits', {
    at: `budget ${budget ?? 'none'}, max error ${maxError ?? 'none'}, keep ${percent(keep)}`,
    mend: `possible: ${cheapest.cost.toFixed(0)} key equivalents at a predicted error of ${percent(cheapest.error)}, down to ${percent(best.error)} at ${best.cost.toFixed(0)}; or let more heads stay exact`,
  });
}

/** The chosen plans for the sites surveyed, the fallback for the others, and a sentence for every head. */
function withOthers(
  sites: readonly Site[],
  surveys: readonly SiteSurvey[],
  layers: readonly LayerChoice[],
  { chosen }: Choice,
): { plans: SitePlan[]; reasons: string[][] } {
  const reasons: string[][] = [];
  const plans = sites.map((site): SitePlan => {
    const at = surveys.findIndex((survey) => survey.site === site);
    if (at < 0) {
      const plan = passedOver(site);
      const why = site.subgraph === '' ? plan.why : `exact in linear memory: it lies in the subgraph ${site.subgraph}`;
      reasons.push(new Array(site.heads).fill(why));
      return { ...plan, why };
    }
    const { plans: candidates, costs, shares, exact } = layers[at];
    reasons.push(chosen[at].map((plan, head) => explain(candidates, costs, shares[head], { plan, exact })));
    const groups = [...new Set(chosen[at])].map((p) => ({
      heads: Array.from(chosen[at].keys()).filter((head) => chosen[at][head] === p),
      plan: candidates[p],
    }));
    const linear = groups.filter(({ plan }) => plan.name !== fallback);
    const mean = chosen[at].reduce((sum, p) => sum + costs[p], 0) / site.heads;
    return {
      site,
      groups,
      why: `${linear.reduce((sum, { heads }) => sum + heads.length, 0)} of ${site.heads} heads linear, ${mean.toFixed(0)} key equivalents a head on average`,
      constants: used(
        surveys[at],
        groups.map(({ plan }) => plan),
      ),
      // A stream is exact as long as its window holds everything, and what came before is not at hand.
      ...(linear.length > 0 && !site.causal && { exactUpTo: Math.round(mean) }),
    };
  });
  return { plans, reasons };
}

/** Only the constants that some head of the layer reads, for all of its heads: hands can move heads between them. */
function used({ site, constants }: SiteSurvey, plans: readonly Plan[]): SitePlan['constants'] {
  const names = plans.flatMap((plan) => constantNames(site, plan));
  return Object.fromEntries(Object.entries(constants).filter(([name]) => names.includes(name)));
}

function explain(
  candidates: readonly Plan[],
  costs: readonly number[],
  shares: readonly number[],
  { plan, exact }: { plan: number; exact: number },
): string {
  const share = (p: number) => `${(100 * Math.sqrt(shares[p])).toPrecision(2)} %`;
  if (plan !== exact) {
    return `errs by ${share(plan)} of what the layer adds, for ${costs[plan].toFixed(0)} key equivalents instead of ${costs[exact]}`;
  }
  const best = shares.reduce((least, s, p) => (p !== exact && s < shares[least] ? p : least), 0);
  return `exact: the best linear plan, ${formatPlan(candidates[best])}, errs by ${share(best)} of what the layer adds`;
}
