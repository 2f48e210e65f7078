import { PerformersError } from './errors.js';
import { compareOutputs } from './metrics.js';
import { concat, encode } from './onnx/encode.js';
import type { ModelProto } from './onnx/gen/onnx.js';
import type { Model } from './onnx/graph.js';
import { applyPlans } from './rewrite/apply.js';
import { assignPlans, declined } from './rewrite/assign-plans.js';
import { lowerings } from './rewrite/lower/registry.js';
import { fallback, formatPlan, type LayerRule, layersOf, type Plan, readPlan, type SitePlan } from './rewrite/plan.js';
import type { Site } from './rewrite/site.js';
import type { Feeds, SessionFactory, TensorLike } from './session.js';

/** Linear plans that `auto` tries, with default options: whatever costs less than exact at long lengths. */
const longLength = 65536;
function candidates(): Plan[] {
  return Object.keys(lowerings)
    .map((name) => readPlan(name))
    .map((plan) => ({ plan, cost: lowerings[plan.name].keyEquivalents(plan.options, longLength) }))
    .filter(({ cost }) => cost < longLength)
    .sort((a, b) => a.cost - b.cost)
    .map(({ plan }) => plan);
}

export interface AutoOptions {
  /** Exceptions by layer and head, applied in order. `auto` leaves the layers they name alone. */
  readonly rules?: readonly LayerRule[];
  /** Inputs that `auto` measures on. */
  readonly sample?: Feeds;
  /** Runs models for `auto`. */
  readonly createSession?: SessionFactory;
  /** Largest relative RMS error of any output that `auto` accepts. Default .05. */
  readonly maxError?: number;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly what: string }) => void;
}

/**
 * Chooses by measurement on the caller's sample. Every linear plan is tried on every layer alone; then as many layers
 * as possible, best first, get their best plan while the whole model's error stays under `maxError`. The rest is
 * exact in linear memory. Runs the model L·P + log₂L times.
 *
 * @throws PerformersError PF204 without a sample or a session factory, PF302 when the model does not run on the sample
 */
export async function choosePlans(model: Model, sites: readonly Site[], options: AutoOptions): Promise<SitePlan[]> {
  const { sample, createSession, maxError = 0.05, rules = [] } = options;
  if (!sample || !createSession) {
    throw new PerformersError(
      'PF204',
      `plan 'auto' measures, and has no ${sample ? 'session factory' : 'sample input'}`,
      {
        at: 'plan',
        mend: "pass sample and createSession (performers.js/onnxruntime), or name a plan such as 'exact-blocked'",
      },
    );
  }
  const exactPlan = readPlan(fallback);
  const tried = candidates();
  const total = sites.length * tried.length + Math.ceil(Math.log2(sites.length + 1)) + 1;
  let done = 0;
  const measure = async (proto: ModelProto, what: string): Promise<Record<string, TensorLike>> => {
    const outputs = await runOnce(concat(encode(proto)), sample, createSession);
    done += 1;
    options.onProgress?.({ done, total, what });
    return outputs;
  };
  const original = await measure(model.proto, 'original');
  const errorWith = async (plans: readonly SitePlan[], what: string) => {
    const errors = compareOutputs(await measure(applyPlans(model, plans).proto, what), original);
    return Math.max(0, ...errors.map(({ relRMS }) => relRMS));
  };

  const asked = new Set(rules.flatMap(layersOf));
  const best: { layer: number; plan: Plan; error: number }[] = [];
  for (const [layer, site] of sites.entries()) {
    if (asked.has(layer)) continue;
    const errors: { layer: number; plan: Plan; error: number }[] = [];
    for (const plan of tried.filter((candidate) => !declined(candidate, site))) {
      const alone = assignPlans([site], () => plan);
      // A state is kept in all branches of an If, or in none: a branch alone cannot be measured.
      if (alone[0]?.groups[0]?.plan.name !== plan.name) continue;
      errors.push({ layer, plan, error: await errorWith(alone, `layer ${layer}, ${formatPlan(plan)}`) });
    }
    // The cheapest that is small beside the budget, else the most accurate.
    const share = maxError / Math.sqrt(sites.length);
    const [first] = errors.filter(({ error }) => error <= share).concat([...errors].sort((a, b) => a.error - b.error));
    if (first) best.push(first);
  }
  best.sort((a, b) => a.error - b.error);

  const plansFor = (count: number) => {
    const linear = new Map(best.slice(0, count).map(({ layer, plan }) => [layer, plan]));
    return assignPlans(sites, (layer) => linear.get(layer) ?? exactPlan, rules);
  };
  const count = await largestUnder(best.length, maxError, (n) =>
    errorWith(plansFor(n), `${n} of ${sites.length} layers linear`),
  );
  const held = new Set(best.slice(0, count).map(({ layer }) => layer));
  return plansFor(count).map((plan, layer) => {
    const measured = best.find((entry) => entry.layer === layer);
    return asked.has(layer) ? plan : { ...plan, why: explain(measured, held.has(layer), maxError) };
  });
}

function explain(measured: { plan: Plan; error: number } | undefined, held: boolean, maxError: number): string {
  if (!measured) return 'exact in linear memory: no linear plan is possible here';
  const alone = `${formatPlan(measured.plan)} alone changes the output by ${percent(measured.error)}`;
  if (held) return `${alone}; within ${percent(maxError)} together with the other linear layers`;
  return `exact in linear memory: ${alone}, too much beside the other layers for ${percent(maxError)}`;
}

/** Largest n ≤ most with error(n) ≤ limit, by bisection: the error grows with the number of layers replaced. */
async function largestUnder(most: number, limit: number, error: (n: number) => Promise<number>): Promise<number> {
  if (most === 0 || (await error(most)) <= limit) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if ((await error(middle)) <= limit) low = middle;
    else high = middle;
  }
  return low;
}

/** Outputs of a model in a session of its own, which is released whatever happens. */
export async function runOnce(
  bytes: Uint8Array,
  feeds: Feeds,
  createSession: SessionFactory,
): Promise<Record<string, TensorLike>> {
  const session = await createSession(bytes);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const percent = (share: number) => `${(100 * share).toPrecision(2)} %`;
