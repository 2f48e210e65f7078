export { type ErrorCode, PerformersError } from './errors.js';
export {
  inspect,
  type Linearized,
  type LinearizeOptions,
  linearize,
  linearizeChunks,
  type Report,
  restore,
  type SiteReport,
} from './linearize.js';
export { compare, compareOutputs, correlation, type OutputError } from './metrics.js';
export { lowerings } from './rewrite/lower/registry.js';
export type { Placement, PlaceSites } from './rewrite/place-kernels.js';
export type { LayerRule, PlanInput } from './rewrite/plan.js';
export type { SavedPlan } from './rewrite/saved-plan.js';
export type { Findings, NearMiss, Refusal, Site } from './rewrite/site.js';
export type { Feeds, Session, SessionFactory, TensorLike } from './session.js';
