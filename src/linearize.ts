import { type AutoOptions, choosePlans, runOnce } from './auto.js';
import { compareOutputs, type OutputError } from './metrics.js';
import { decode } from './onnx/decode.js';
import { concat, encode } from './onnx/encode.js';
import { openModel } from './onnx/graph.js';
import { applyPlans } from './rewrite/apply.js';
import { findAttention } from './rewrite/find.js';
import { assignPlans, formatPlan, type PlanInput, readPlan } from './rewrite/plan.js';
import type { Findings, NearMiss, Refusal, Site } from './rewrite/site.js';
import { type Undo, undoRewrite } from './rewrite/undo.js';
import type { Feeds, SessionFactory } from './session.js';

export interface LinearizeOptions extends AutoOptions {
  /** Plan of every site, or 'auto'. Default: 'auto' with a sample, 'exact-blocked' without. */
  readonly plan?: PlanInput;
  /** Name used in errors and in the report. Default 'model'. */
  readonly file?: string;
}

export interface SiteReport extends Omit<Site, 'operands'> {
  readonly layer: number;
  /** Plan per group of heads, as formatPlan writes it. */
  readonly plans: readonly { readonly heads: readonly number[]; readonly plan: string }[];
  readonly why: string;
}

export interface Report {
  readonly schema: 'performers.report/1';
  readonly file: string;
  readonly sites: readonly SiteReport[];
  readonly nearMisses: readonly NearMiss[];
  readonly refusals: readonly Refusal[];
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

/** linearize() without the last copy: the file's chunks in order, weights being views of `bytes`. */
export async function linearizeChunks(
  bytes: Uint8Array,
  options: LinearizeOptions = {},
): Promise<{ chunks: readonly Uint8Array[]; report: Report }> {
  const { file = 'model', sample, createSession, rules } = options;
  const input = options.plan ?? (sample && createSession ? 'auto' : 'exact-blocked');
  const given = input === 'auto' ? undefined : readPlan(input);
  const model = openModel(decode(bytes, file));
  const findings = findAttention(model);
  const plans = given
    ? assignPlans(findings.sites, () => given, rules)
    : await choosePlans(model, findings.sites, options);
  const { proto, undo } = applyPlans(model, plans);
  const chunks = encode(proto);
  const report: Report = {
    schema: 'performers.report/1',
    file,
    sites: plans.map(({ site: { operands: _, ...site }, groups, why }, layer) => ({
      ...site,
      layer,
      plans: groups.map(({ heads, plan }) => ({ heads, plan: formatPlan(plan) })),
      why,
    })),
    nearMisses: findings.nearMisses,
    refusals: findings.refusals,
    ...(sample && createSession && { measured: await measure(bytes, concat(chunks), sample, createSession) }),
    undo,
  };
  return { chunks, report };
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
