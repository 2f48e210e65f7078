import { type AutoOptions, choosePlans, runOnce } from './auto.js';
import { compareOutputs, type OutputError } from './metrics.js';
import { decode } from './onnx/decode.js';
import { concat, encode } from './onnx/encode.js';
import { type Model, openModel } from './onnx/graph.js';
import { applyPlans } from './rewrite/apply.js';
import { assignPlans } from './rewrite/assign-plans.js';
import { checkCorrections, scopeOf, type TouchedParameter, touchedParameters } from './rewrite/correction.js';
import { findAttention } from './rewrite/find.js';
import type { Placement, PlaceSites } from './rewrite/place-kernels.js';
import { formatPlan, type Plan, type PlanInput, readPlan, type SitePlan } from './rewrite/plan.js';
import { applySavedPlan, type SavedPlan } from './rewrite/saved-plan.js';
import type { Findings, NearMiss, Refusal, Site } from './rewrite/site.js';
import { cacheSize, memorySize } from './rewrite/state-row.js';
import { type Undo, undoRewrite } from './rewrite/undo.js';
import type { Feeds, SessionFactory } from './session.js';

export interface LinearizeOptions extends AutoOptions {
  /** Plan of every site, or 'auto'. Default: 'auto' with a sample, 'exact-blocked' without. */
  readonly plan?: PlanInput;
  /** Plans of every head with their constants, from calibrate() or a plan file; takes the place of `plan` and `rules`. */
  readonly saved?: SavedPlan;
  /** Name used in errors and in the report. Default 'model'. */
  readonly file?: string;
  /**
   * Leaves attention to kernels on WebGPU, as nodes that onnxruntime does not have. `splice` of performers.js/onnxruntime and
   * performers.js/transformers sets it, and their sessions run such models. Default: none.
   */
  readonly place?: PlaceSites;
}

export interface SiteReport extends Omit<Site, 'operands'> {
  readonly layer: number;
  /** Plan per group of heads, as formatPlan writes it. */
  readonly plans: readonly { readonly heads: readonly number[]; readonly plan: string }[];
  readonly why: string;
  /** Whether kernels compute it or the graph, where `place` was given. */
  readonly placement?: Placement;
  /** Every parameter that healing has set or changed. */
  readonly healed?: readonly TouchedParameter[];
  /** Bytes between calls for one row of the batch, where there is a key cache in plain sight; `before` in the original. */
  readonly cache?: { readonly constant: number; readonly perToken: number; readonly perTokenBefore: number };
  /**
   * Of cross-attention that reads keys and values of its memory from a cache, which the first call fills and no plan changes: bytes
   * for each token of the memory, for one row of the batch.
   */
  readonly memory?: { readonly perToken: number };
}

export interface Report {
  readonly schema: 'performers.report/1';
  readonly file: string;
  readonly sites: readonly SiteReport[];
  readonly nearMisses: readonly NearMiss[];
  /** `plan`: the exact plan of a refused site that has one, where an exact plan was asked for. */
  readonly refusals: readonly (Omit<Refusal, 'site'> & { readonly plan?: string })[];
  /** Relative RMS error per output on the sample, when one was given. */
  readonly measured?: readonly OutputError[];
  /** What restore() needs to bring the original back. */
  readonly undo: Undo;
}

export interface Linearized {
  readonly bytes: Uint8Array;
  readonly report: Report;
}

/** Attention sites of a model, near misses and refusals; runs nothing. @throws PerformersError PF101–PF103 */
export function inspect(bytes: Uint8Array, options: { readonly file?: string } = {}): Findings {
  return findAttention(openModel(decode(bytes, options.file)));
}

/**
 * Rewrites the attention of an ONNX model: decode → find → plan → apply → encode. Pure: `bytes` is not changed.
 *
 * @throws PerformersError PF101–PF103 (bytes), PF201–PF204 (options), PF302 (the model fails on the sample)
 */
export async function linearize(bytes: Uint8Array, options: LinearizeOptions = {}): Promise<Linearized> {
  const { chunks, report } = await linearizeChunks(bytes, options);
  return { bytes: concat(chunks), report };
}

/** Plans that add whatever bias a site has: they take refused sites, too. */
const beyondProof: ReadonlySet<string> = new Set(['exact', 'exact-blocked']);

/** linearize() without the last copy: the file's chunks in order, weights being views of `bytes`. */
export async function linearizeChunks(
  bytes: Uint8Array,
  options: LinearizeOptions = {},
): Promise<{ chunks: readonly Uint8Array[]; report: Report }> {
  const { file = 'model', sample, createSession } = options;
  const input = options.plan ?? (sample && createSession ? 'auto' : 'exact-blocked');
  const given = input === 'auto' ? undefined : readPlan(input);
  const model = openModel(decode(bytes, file));
  const findings = findAttention(model);
  const chosen = await plansFor(model, findings.sites, { ...options, given });
  const { plans, placements } = options.place?.(model, chosen) ?? { plans: chosen, placements: [] };
  const exactPlan = given && !options.saved && beyondProof.has(given.name) ? given : undefined;
  const refused = exactPlan ? findings.refusals.flatMap(({ site }) => site ?? []) : [];
  const exactly = exactPlan ? assignPlans(refused, () => exactPlan) : [];
  const { proto, undo } = applyPlans(model, [...plans, ...exactly]);
  const chunks = encode(proto);
  const scope = scopeOf(model, plans);
  const report: Report = {
    schema: 'performers.report/1',
    file,
    sites: plans.map((plan, layer) => {
      const { operands: _, ...site } = plan.site;
      const cache = cacheSize(plan);
      const memory = memorySize(plan.site);
      const groups = plan.groups.map(({ heads, plan: own }) => ({ heads, plan: formatPlan(own) }));
      const placement = placements[layer];
      const healed = touchedParameters(scope, plan);
      return {
        ...site,
        layer,
        plans: groups,
        why: plan.why,
        ...(placement && { placement }),
        ...(healed.length > 0 && { healed }),
        ...(cache && { cache }),
        ...(memory && { memory }),
      };
    }),
    nearMisses: findings.nearMisses,
    refusals: findings.refusals.map(({ site, ...refusal }) => ({
      ...refusal,
      ...(site && exactPlan && { plan: formatPlan(exactPlan) }),
    })),
    ...(sample && createSession && { measured: await measure(bytes, concat(chunks), sample, createSession) }),
    undo,
  };
  return { chunks, report };
}

async function plansFor(
  model: Model,
  sites: readonly Site[],
  { given, saved, rules, ...options }: LinearizeOptions & { given?: Plan },
): Promise<SitePlan[]> {
  if (saved) {
    const plans = applySavedPlan(saved, sites);
    checkCorrections(model, plans);
    return plans;
  }
  return given ? assignPlans(sites, () => given, rules) : choosePlans(model, sites, { ...options, rules });
}

/** The original of a rewritten model, from the report that linearize returned. @throws PerformersError PF205 */
export function restore(bytes: Uint8Array, report: Pick<Report, 'undo'>): Uint8Array {
  return concat(restoreChunks(bytes, report));
}

/** restore() without the last copy: the file's chunks in order, weights being views of `bytes`. */
export function restoreChunks(bytes: Uint8Array, report: Pick<Report, 'undo'>): readonly Uint8Array[] {
  return encode(undoRewrite(decode(bytes), report.undo));
}

async function measure(
  original: Uint8Array,
  patched: Uint8Array,
  sample: Feeds,
  createSession: SessionFactory,
): Promise<OutputError[]> {
  const want = await runOnce(original, sample, createSession);
  return compareOutputs(await runOnce(patched, sample, createSession), want);
}
