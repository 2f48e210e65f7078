/**
 * All that is measured of a model before anything is chosen: what every candidate does to every head, and what such errors
 * of a layer do to the model's output. A third of the inputs is held out for both.
 */
import { PerformersError } from '../errors.js';
import type { DescentCheckpoint } from '../learn/descend.js';
import { compareOutputs } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { concat, encode } from '../onnx/encode.js';
import type { ModelProto } from '../onnx/gen/onnx.js';
import { openModel } from '../onnx/graph.js';
import { applyPlans } from '../rewrite/apply.js';
import type { Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { fallback, formatPlan, type Plan, type SitePlan } from '../rewrite/plan.js';
import { learned } from '../rewrite/plan-options.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, Session, SessionFactory } from '../session.js';
import { type Beginning, beginningOf } from './beginning.js';
import { blockCandidates, linearCandidates } from './candidates.js';
import { type SiteSurvey, spread, surveySites } from './survey.js';

export interface SurveyedLayer extends SiteSurvey {
  /** Squared relative error of the model's output for a share of 1 (choose.ts). */
  readonly effect: number;
}

/** What is kept of a layer between an interrupted run and the next one; its plans as formatPlan writes them. */
export interface LayerRecord extends Omit<SurveyedLayer, 'site' | 'plans'> {
  readonly plans: readonly string[];
}

/** Where layers are kept, and the training that heals them. What it gives back must be of the same model, inputs and seed. */
export interface Checkpoint {
  load(layer: number): Promise<LayerRecord | undefined>;
  save(layer: number, record: LayerRecord): Promise<void>;
  /** `task` says all that a training depends on beside those: what is kept of another one is no use. */
  training(task: string): DescentCheckpoint;
}

export interface SurveyModelOptions {
  /**
   * What a head of a site may get beside exact attention; those that the site can't take are passed over. Default: linearCandidates
   * (candidates.ts), hybrids. Any linear plan will do: `features:map=oprf|sderf|aderf|shift` gets its constants here.
   */
  readonly candidates?: (site: Site) => readonly Plan[];
  /** Plans that find keys by 4-bit estimates, too (`blocks`): nearer, not linear; for sequences. Default false. */
  readonly blocks?: boolean;
  /** Largest codebook that may be chosen: smaller ones make smaller plan files. Default: any. */
  readonly maxCodes?: number;
  /** Default 0. */
  readonly seed?: number;
  readonly checkpoint?: Checkpoint;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly what: string }) => void;
}

export interface ModelSurvey extends Beginning {
  readonly layers: readonly SurveyedLayer[];
  /** Inputs that constants are fitted on, and those that choices are made by. */
  readonly fit: readonly Feeds[];
  readonly held: readonly Feeds[];
  /** Root mean square over the held-out inputs of the first output's relative error under these plans. */
  heldError(plans: readonly SitePlan[]): Promise<number>;
}

const leastInputs = 3;
/** Held-out inputs that the effect of a layer is measured on: of one photo it may be several times that of another. */
const probed = 4;
/** Relative error of float32 sums: less is none. */
const noise = 1e-7;

/** @throws PerformersError PF202 (a candidate that is exact, blocks without a sequence), and as calibrate() does, but PF503 */
export async function surveyModel(
  bytes: Uint8Array,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
  options: SurveyModelOptions = {},
): Promise<ModelSurvey> {
  return surveyBeginning(beginningOf(openModel(decode(bytes))), inputs, createSession, options);
}

/** The same for what was opened already. */
export async function surveyBeginning(
  beginning: Beginning,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
  options: SurveyModelOptions,
): Promise<ModelSurvey> {
  const { seed = 0, checkpoint, onProgress } = options;
  const { model, sites } = beginning;
  checkInputs(inputs);
  const held = inputs.filter((_, i) => i % 3 === 2);
  const fit = inputs.filter((_, i) => i % 3 !== 2);
  if (options.blocks) checkBlocks(sites);
  const candidates = (site: Site) => candidatesOf(site, options);
  const plansFor = (site: Site) =>
    candidates(site)
      .map(checkLinear)
      .filter((plan) => [site, ...beginning.decides(site)].every((each) => canTake(plan, each)));
  const usable = sites.filter((site) => site.subgraph === '' && plansFor(site).length > 0);
  if (usable.length === 0) throw nothingLinear(sites, candidates);
  const { step, expect } = counter(onProgress);
  const onPasses = (count: number) => expect(count * fit.length + 2 * usable.length);
  // The first site alone, and at best all others together.
  onPasses(Math.min(2, usable.length));
  const outputs = await runAll(model.proto, held, createSession);
  const errorsOf = async (plans: readonly SitePlan[], count: number) =>
    outputErrors(applyPlans(model, plans).proto, spread(held, count), spread(outputs, count), createSession);

  const layers = new Map<Site, SurveyedLayer>();
  for (const site of usable) {
    const record = await checkpoint?.load(sites.indexOf(site));
    const plans = plansFor(site);
    if (record && record.plans.join() === plans.map(formatPlan).join()) layers.set(site, { ...record, site, plans });
  }
  const known = new Map([...layers].map(([site, { recordedBytes }]) => [site, recordedBytes]));
  await surveySites(model, usable, createSession, {
    known,
    fit,
    held,
    plansFor,
    seed,
    onStep: step,
    onPasses,
    async onSite(survey) {
      const effect = await effectOf(survey, (plan) => errorsOf([plan], probed));
      layers.set(survey.site, { ...survey, effect });
      const { site, plans, ...record } = survey;
      await checkpoint?.save(sites.indexOf(site), { ...record, effect, plans: plans.map(formatPlan) });
      step(`effect of layer ${sites.indexOf(site)}`);
    },
  });
  const ordered = usable.flatMap((site) => layers.get(site) ?? []);
  const heldError = async (plans: readonly SitePlan[]) => {
    const errors = await errorsOf(plans, held.length);
    return Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length);
  };
  return { ...beginning, layers: ordered, fit, held, heldError };
}

function nothingLinear(sites: readonly Site[], candidates: (site: Site) => readonly Plan[]): PerformersError {
  const reasons = sites.flatMap((site) => {
    if (site.subgraph) return [`it lies in the subgraph ${site.subgraph}`];
    const [plan] = candidates(site);
    const lowering: Lowering | undefined = plan && lowerings[plan.name];
    return lowering?.declines?.(site) ?? [];
  });
  const slides = sites.some(({ causal, operands: { sliding, cache } }) => causal && sliding && cache);
  return new PerformersError('PF503', 'no attention of this model can be made linear', {
    at: [...new Set(reasons)].join('; ') || 'no attention was found',
    mend: slides
      ? 'its own window slides: --plan window-causal keeps the keys in it alone, and its answers; it needs no data'
      : 'performers inspect says what there is; --plan exact-blocked makes any of it linear in memory',
  });
}

function checkInputs(inputs: readonly Feeds[]): void {
  if (inputs.length >= leastInputs) return;
  throw new PerformersError('PF501', `calibration needs at least ${leastInputs} inputs, got ${inputs.length}`, {
    at: 'calibration data',
    mend: 'give more, or longer, data: 8 to 64 inputs of the length you will use; a third of them is held out',
  });
}

function candidatesOf(site: Site, { candidates = linearCandidates, blocks, maxCodes }: SurveyModelOptions): Plan[] {
  const all = [...candidates(site), ...(blocks ? blockCandidates(site) : [])];
  return all.filter(({ options }) => Number(options.codes ?? 0) <= (maxCodes ?? Number.POSITIVE_INFINITY));
}

function checkBlocks(sites: readonly Site[]): void {
  if (sites.some((site) => blockCandidates(site).length > 0)) return;
  throw new PerformersError(
    'PF202',
    'keys are found by estimates in sequences that are seen whole: this model has none',
    {
      at: 'blocks',
      mend: 'leave it out: causal models keep exact heads instead (keep), images have tiles',
    },
  );
}

/** Every head may be exact as it is; a candidate that errs not at all would be no measure of what errors do. */
function checkLinear(plan: Plan): Plan {
  if (plan.options.map === learned) {
    throw new PerformersError('PF202', `${formatPlan(plan)} is no candidate: calibration learns no features`, {
      at: 'candidates',
      mend: 'take a map that calibration makes: map=oprf, sderf, aderf or shift',
    });
  }
  if (plan.name !== 'exact' && plan.name !== fallback) return plan;
  throw new PerformersError('PF202', `${plan.name} is no candidate: a head may be exact in any case`, {
    at: 'candidates',
    mend: 'leave it out; `keep` (--keep) says how many heads may stay exact',
  });
}

function canTake(plan: Plan, site: Site): boolean {
  const lowering: Lowering = lowerings[plan.name];
  return lowering.declines?.(site) === undefined;
}

/**
 * What a layer's share of error does to the output, by patching it alone with one plan on all heads: the geometric mean over
 * inputs, or the one input on which a layer errs most (a photo of almost nothing) would decide for all.
 */
async function effectOf(
  { site, plans, shares, constants }: SiteSurvey,
  errorsOf: (plan: SitePlan) => Promise<number[]>,
): Promise<number> {
  // Any plan will do as the probe; one from the middle has an error that is neither noise nor ruin.
  const probe = Math.floor(plans.length / 3);
  const heads = Array.from({ length: site.heads }, (_, head) => head);
  const share = shares.reduce((sum, row) => sum + row[probe], 0);
  if (share === 0) return 0;
  const errors = await errorsOf({ site, groups: [{ heads, plan: plans[probe] }], why: 'probe', constants });
  const mean = errors.reduce((sum, error) => sum + Math.log(Math.max(error, noise)), 0) / errors.length;
  return Math.exp(2 * mean) / share;
}

type Outputs = Awaited<ReturnType<Session['run']>>;

async function runAll(proto: ModelProto, inputs: readonly Feeds[], createSession: SessionFactory): Promise<Outputs[]> {
  const session = await createSession(concat(encode(proto)));
  try {
    const outputs: Outputs[] = [];
    for (const feeds of inputs) {
      const [name = ''] = session.outputNames;
      outputs.push({ [name]: (await session.run(feeds))[name] });
    }
    return outputs;
  } finally {
    await session.release();
  }
}

/** Relative error of the first output on every input. */
async function outputErrors(
  proto: ModelProto,
  inputs: readonly Feeds[],
  wanted: readonly Outputs[],
  createSession: SessionFactory,
): Promise<number[]> {
  const found = await runAll(proto, inputs, createSession);
  return found.map((got, i) => compareOutputs(got, wanted[i])[0]?.relRMS ?? Number.POSITIVE_INFINITY);
}

function counter(onProgress: SurveyModelOptions['onProgress']) {
  let [done, total] = [0, 0];
  return {
    step(what: string) {
      done += 1;
      onProgress?.({ done, total: Math.max(total, done), what });
    },
    expect(steps: number) {
      total = steps;
    },
  };
}
