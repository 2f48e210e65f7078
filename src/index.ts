/*
 * What a page loads with this entry is errors and metrics. What reads, rewrites and writes models comes with the first call that does,
 * so that a page which may rewrite a model does not wait for it (`npm run size` holds both).
 */
import type { Linearized, LinearizeOptions, Report } from './linearize.js';
import type { Findings } from './rewrite/site.js';

export { type ErrorCode, PerformersError } from './errors.js';
export type { Linearized, LinearizeOptions, Report, SiteReport } from './linearize.js';
export { compare, compareOutputs, correlation, type OutputError } from './metrics.js';
export type { Placement, PlaceSites } from './rewrite/place-kernels.js';
export type { LayerRule, PlanInput } from './rewrite/plan.js';
export type { SavedPlan } from './rewrite/saved-plan.js';
export type { Findings, NearMiss, Refusal, Site } from './rewrite/site.js';
export type { Feeds, Session, SessionFactory, TensorLike } from './session.js';

const rewriter = () => import('./linearize.js');

/** Attention sites of a model, near misses and refusals; runs nothing. @throws PerformersError PF101–PF103 */
export async function inspect(bytes: Uint8Array, options?: { readonly file?: string }): Promise<Findings> {
  return (await rewriter()).inspect(bytes, options);
}

/**
 * Rewrites the attention of an ONNX model: decode → find → plan → apply → encode. Pure: `bytes` is not changed.
 *
 * @throws PerformersError PF101–PF103 (bytes), PF201–PF204 (options), PF302 (the model fails on the sample)
 */
export async function linearize(bytes: Uint8Array, options?: LinearizeOptions): Promise<Linearized> {
  return (await rewriter()).linearize(bytes, options);
}

/** linearize() without the last copy: the file's chunks in order, weights being views of `bytes`. */
export async function linearizeChunks(
  bytes: Uint8Array,
  options?: LinearizeOptions,
): Promise<{ chunks: readonly Uint8Array[]; report: Report }> {
  return (await rewriter()).linearizeChunks(bytes, options);
}

/** The original of a rewritten model, from the report that linearize returned. @throws PerformersError PF205 */
export async function restore(bytes: Uint8Array, report: Pick<Report, 'undo'>): Promise<Uint8Array> {
  return (await rewriter()).restore(bytes, report);
}
