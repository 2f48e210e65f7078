/**
 * From a model and some inputs to a plan for every head: record → measure → choose → heal → check.
 *
 * A third of the inputs is held out: constants and healing are fitted on the rest, every choice is made by what was
 * measured on inputs that had no part in them, and a healing that does not improve those is dropped.
 */
import { PerformersError } from '../errors.js';
import { compareOutputs } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { concat, encode } from '../onnx/encode.js';
import type { ModelProto } from '../onnx/gen/onnx.js';
import { openModel } from '../onnx/graph.js';
import { applyPlans } from '../rewrite/apply.js';
import { findAttention } from '../rewrite/find.js';
import type { Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { assignPlans, fallback, formatPlan, type Plan, readPlan, type SitePlan } from '../rewrite/plan.js';
import { type SavedPlan, savePlan } from '../rewrite/saved-plan.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, Session, SessionFactory } from '../session.js';
import { linearCandidates } from './candidates.js';
import { type Choice, choose, type LayerChoice, paretoCurve } from './choose.js';
import { healLayers } from './heal-layers.js';
import { type SiteSurvey, spread, surveySites } from './survey.js';

export interface CalibrateOptions {
  /** Mean key equivalents a head. Default 176 when no `maxError` is given. */
  readonly budget?: number;
  /** Largest predicted relative RMS error of the first output. */
  readonly maxError?: number;
  /** Largest share of heads that may stay exact, 0 to 1. Default .1. */
  readonly keep?: number;
  /** Fit a gain and a bias a head, and keep them if they improve held-out inputs. Default true. */
  readonly heal?: boolean;
  /** What a head of a site may get beside exact attention. Default: linearCandidates (candidates.ts). */
  readonly candidates?: (site: Site) => readonly Plan[];
  /** Default 0. */
  readonly seed?: number;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly what: string }) => void;
}

export interface Calibrated {
  readonly plan: SavedPlan;
  readonly cost: number;
  readonly exactHeads: number;
  /** Cost and predicted error of the choices there were. */
  readonly curve: readonly Pick<Choice, 'cost' | 'error' | 'exactHeads'>[];
  /** Relative RMS error of the first output: predicted, and measured on held-out inputs before and after healing. */
  readonly error: { readonly predicted: number; readonly chosen: number; readonly healed?: number };
  readonly healing: 'kept' | 'dropped' | 'not asked for';
}

const leastInputs = 3;
const defaultBudget = 176;
/** Held-out inputs that the effect of a layer is measured on: of one photo it may be several times that of another. */
const probed = 4;

/**
 * Chooses, and fits the constants of, a plan for every head of a model. `linearize(bytes, { saved: plan })` then applies
 * it, to this model or to one of the same graph.
 *
 * @param bytes the ONNX model; not changed
 * @param inputs what the model will be used on: 8 to 64 inputs, 3 at least, of the length it will be used at
 * @throws PerformersError PF101–PF103 (bytes), PF501 (fewer than 3 inputs), PF503 (no choice meets the limits; says the
 * nearest that does), PF504 (activations that are not finite), PF302 (the model does not run on an input)
 */
export async function calibrate(
  bytes: Uint8Array,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
  options: CalibrateOptions = {},
): Promise<Calibrated> {
  const { heal = true, seed = 0, keep = 0.1, candidates = linearCandidates } = options;
  const model = openModel(decode(bytes));
  const { sites } = findAttention(model);
  checkInputs(inputs);
  const held = inputs.filter((_, i) => i % 3 === 2);
  const fit = inputs.filter((_, i) => i % 3 !== 2);
  const usable = sites.filter((site) => site.subgraph === '' && candidates(site).some((plan) => canTake(plan, site)));
  const progress = counter(options.onProgress, fit.length + 2 * usable.length + (heal ? usable.length : 0) + 4);

  const surveys = await surveySites(model, usable, createSession, {
    fit,
    held,
    plansFor: candidates,
    seed,
    onStep: progress,
  });
  const original = await openModelSession(model.proto, createSession);
  try {
    const outputs: Awaited<ReturnType<Session['run']>>[] = [];
    for (const feeds of held) outputs.push(await original.run(feeds));
    const errorOf = async (chosen: readonly SitePlan[], count: number) =>
      outputError(applyPlans(model, chosen).proto, spread(held, count), spread(outputs, count), createSession);

    const layers: LayerChoice[] = [];
    for (const survey of surveys) {
      layers.push(await layerChoice(survey, (plan) => errorOf([plan], probed)));
      progress(`effect of layer ${sites.indexOf(survey.site)}`);
    }
    const choice = chooseOrExplain(layers, { ...options, keep });
    const chosen = withOthers(sites, surveys, layers, choice);
    const error = { predicted: choice.error, chosen: await errorOf(chosen.plans, held.length) };
    progress('check on held-out inputs');
    const result = {
      cost: choice.cost,
      exactHeads: choice.exactHeads,
      curve: paretoCurve(layers, keep).map(({ cost, error, exactHeads }) => ({ cost, error, exactHeads })),
    };
    if (!heal) return { ...result, plan: savePlan(chosen.plans, chosen.reasons), error, healing: 'not asked for' };
    const healedPlans = await healLayers(model, chosen.plans, {
      surveys,
      inputs: fit,
      createSession,
      onStep: progress,
    });
    const healed = await errorOf(healedPlans, held.length);
    const kept = healed < error.chosen;
    return {
      ...result,
      plan: savePlan(kept ? healedPlans : chosen.plans, chosen.reasons),
      error: { ...error, healed },
      healing: kept ? 'kept' : 'dropped',
    };
  } finally {
    await original.release();
  }
}

function checkInputs(inputs: readonly Feeds[]): void {
  if (inputs.length >= leastInputs) return;
  throw new PerformersError('PF501', `calibration needs at least ${leastInputs} inputs, got ${inputs.length}`, {
    at: 'calibration data',
    mend: 'give more, or longer, data: 8 to 64 inputs of the length you will use; a third of them is held out',
  });
}

function canTake(plan: Plan, site: Site): boolean {
  const lowering: Lowering = lowerings[plan.name];
  return lowering.declines?.(site) === undefined;
}

function openModelSession(proto: ModelProto, createSession: SessionFactory): Promise<Session> {
  return createSession(concat(encode(proto)));
}

/** Root mean square over inputs of the first output's relative error. */
async function outputError(
  proto: ModelProto,
  inputs: readonly Feeds[],
  wanted: readonly Awaited<ReturnType<Session['run']>>[],
  createSession: SessionFactory,
): Promise<number> {
  const session = await openModelSession(proto, createSession);
  try {
    const [name = ''] = session.outputNames;
    let sum = 0;
    for (const [i, feeds] of inputs.entries()) {
      const want = wanted[i]?.[name];
      const got = (await session.run(feeds))[name];
      const [error] = want && got ? compareOutputs({ [name]: got }, { [name]: want }) : [];
      sum += (error?.relRMS ?? Number.POSITIVE_INFINITY) ** 2;
    }
    return Math.sqrt(sum / inputs.length);
  } finally {
    await session.release();
  }
}

/** Costs, shares and the effect of a layer, with exact attention as the last of the plans. */
async function layerChoice(
  { site, plans, shares, keys, constants }: SiteSurvey,
  errorOf: (plan: SitePlan) => Promise<number>,
): Promise<LayerChoice> {
  // Any plan will do as the probe; one from the middle has an error that is neither noise nor ruin.
  const probe = Math.floor(plans.length / 3);
  const heads = Array.from({ length: site.heads }, (_, head) => head);
  const alone = await errorOf({ site, groups: [{ heads, plan: plans[probe] }], why: 'probe', constants });
  const share = shares.reduce((sum, row) => sum + row[probe], 0);
  return {
    plans: [...plans, readPlan(fallback)],
    costs: [...plans.map((plan) => lowerings[plan.name].keyEquivalents(plan.options, keys)), keys],
    shares: shares.map((row) => [...row, 0]),
    effect: share > 0 ? alone ** 2 / share : 0,
    exact: plans.length,
  };
}

function chooseOrExplain(layers: readonly LayerChoice[], options: CalibrateOptions & { keep: number }): Choice {
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
      const [plan] = assignPlans([site], () => readPlan('hybrid'));
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
      ...(linear.length > 0 && { exactUpTo: Math.round(mean) }),
    };
  });
  return { plans, reasons };
}

/** Only the constants that some head of the layer reads, for all of its heads: hands can move heads between them. */
function used({ site, constants }: SiteSurvey, plans: readonly Plan[]): SitePlan['constants'] {
  const names = plans.flatMap((plan) => {
    const lowering: Lowering = lowerings[plan.name];
    return Object.keys(lowering.constants?.(site, plan.options) ?? {});
  });
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

function counter(onProgress: CalibrateOptions['onProgress'], total: number): (what: string) => void {
  let done = 0;
  return (what) => {
    done += 1;
    onProgress?.({ done, total: Math.max(total, done), what });
  };
}
