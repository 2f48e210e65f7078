import { nearest, PerformersError } from '../errors.js';
import type { Builder } from '../onnx/build.js';
import { besideEach } from './branches.js';
import type { Constants, Lowering } from './lower/lowering.js';
import { type LoweringName, lowerings as registry } from './lower/registry.js';
import { isStreamLowering } from './lower/stream-attention.js';
import type { Site } from './site.js';

/** The registry, with the optional parts of a lowering in view. */
const lowerings: Readonly<Record<LoweringName, Lowering>> = registry;

/** What replaces one site: the name of a lowering with its options filled in and checked. */
export interface Plan {
  readonly name: LoweringName;
  readonly options: Readonly<Record<string, number | string | readonly number[]>>;
}

/** A plan a caller writes: `'window'`, `'features:m=64,seed=1'`, or `{ name: 'window', window: 64, globals: 4 }`. */
export type PlanInput = string | ({ readonly name: string } & Readonly<Record<string, unknown>>);

/** Heads of one site that share a plan; together the groups of a site name every head once. */
export interface HeadGroup {
  readonly heads: readonly number[];
  readonly plan: Plan;
}

/** Calibrated constants of a site by name, each for all of its heads: [H, …], rows of one head together. */
export type SiteConstants = Readonly<Record<string, Float32Array>>;

/** What healing adds to the constant matrix [K,M] of a product, a matrix of rank r, and to its result (correction.ts). */
export interface Correction {
  /** The value that the product computes, in the main graph. */
  readonly product: string;
  /** r */
  readonly rank: number;
  /** D [K,r] */
  readonly down: Float32Array;
  /** U [r,M] */
  readonly up: Float32Array;
  /** b [M] */
  readonly bias: Float32Array;
}

/** A site with the plan of each of its heads, and why. */
export interface SitePlan {
  readonly site: Site;
  readonly groups: readonly HeadGroup[];
  readonly why: string;
  /** What the plans need of calibration, and `gain` [H] and `bias` [H,E] where healing set them. */
  readonly constants?: SiteConstants;
  /** Weights behind the attention that healing changes. */
  readonly corrections?: readonly Correction[];
  /** Inputs of this many tokens or fewer are attended exactly: linear plans cost more there, and err for nothing. */
  readonly exactUpTo?: number;
  /** Makes the node of a group of heads that kernels compute, not the graph. The core carries kernel-nodes.ts only where it is given. */
  readonly spliced?: SpliceHeads;
}

/** @returns the context [B,H,N,E] */
export type SpliceHeads = (build: Builder, plan: SitePlan, group: HeadGroup, constants: Constants) => string;

/**
 * Which plan goes where. `layers` are indices into the sites in graph order; later rules win over earlier ones.
 * A rule with `heads` applies to those heads only.
 */
export interface LayerRule {
  readonly layers: number | readonly number[];
  readonly heads?: readonly number[];
  readonly plan: PlanInput;
}

/** Reads one plan. @throws PerformersError PF201 (unknown name, the near one offered), PF202 (bad option) */
export function readPlan(input: PlanInput): Plan {
  const { name, ...given } = typeof input === 'string' ? parsePlan(input) : input;
  if (!isLowering(name)) {
    const near = nearest(name, Object.keys(lowerings));
    throw new PerformersError('PF201', `unknown plan '${name}'${near ? `; did you mean '${near}'?` : ''}`, {
      at: 'plan',
      mend: `use one of ${Object.keys(lowerings).join(', ')}, or auto`,
    });
  }
  return { name, options: lowerings[name].readOptions(given) };
}

function isLowering(name: string): name is LoweringName {
  return Object.hasOwn(lowerings, name);
}

/** `features:m=64,seed=1` → { name, m: 64, seed: 1 }; lists are written `globals=0+1+2`. */
function parsePlan(text: string): { name: string } & Record<string, unknown> {
  const [name = '', rest] = text.split(/:(.*)/s);
  const plan: { name: string } & Record<string, unknown> = { name: name.trim() };
  for (const part of rest?.split(',') ?? []) {
    const [key, value, ...more] = part.split('=').map((piece) => piece.trim());
    if (!key || value === undefined || value === '' || more.length > 0) {
      throw new PerformersError('PF202', `'${part}' in the plan '${text}' is not of the form option=value`, {
        at: 'plan',
        mend: "write plans like 'features:m=64,seed=1'",
      });
    }
    plan[key] = readValue(value);
  }
  return plan;
}

function readValue(text: string): number | string | number[] {
  const numbers = text.split('+').map((piece) => (piece === '' ? Number.NaN : Number(piece)));
  // A + is part of some names, such as favor+.
  if (numbers.some(Number.isNaN)) return text;
  return numbers.length > 1 ? numbers : numbers[0];
}

/** The plan as one would write it: `features:m=64,seed=1`. */
export function formatPlan(plan: Plan): string {
  const options = Object.entries(plan.options).map(
    ([key, value]) => `${key}=${Array.isArray(value) ? value.join('+') : value}`,
  );
  return options.length > 0 ? `${plan.name}:${options.join(',')}` : plan.name;
}

/**
 * One plan a layer, then the rules on top; what a site cannot take becomes the fallback, with the reason.
 *
 * @throws PerformersError PF203 when a rule names a layer or head that the model does not have
 */
export function assignPlans(
  sites: readonly Site[],
  base: (layer: number) => Plan,
  rules: readonly LayerRule[] = [],
): SitePlan[] {
  const perHead = sites.map((site, layer) => new Array<Plan>(site.heads).fill(base(layer)));
  for (const rule of rules) {
    const plan = readPlan(rule.plan);
    for (const layer of layersOf(rule)) {
      const heads = perHead[layer];
      if (!heads) throw outOfRange(`layer ${layer}`, 'the model', sites.length);
      for (const head of rule.heads ?? heads.keys()) {
        if (!(head in heads)) throw outOfRange(`head ${head}`, `layer ${layer}`, heads.length);
        heads[head] = plan;
      }
    }
  }
  const plans = sites.map((site, layer): SitePlan => {
    const reasons = new Set<string>();
    const plans = (perHead[layer] ?? []).map((plan) => {
      const reason = declined(plan, site);
      if (!reason) return plan;
      const { instead, what } = insteadOf(plan, site);
      reasons.add(`${what}: ${plan.name} is not possible (${reason})`);
      return instead;
    });
    return { site, groups: groupHeads(plans), why: [...reasons].join('; ') || 'as asked' };
  });
  const beside = besideEach(sites);
  const bySite = new Map(plans.map((plan) => [plan.site, plan]));
  return plans.map((plan) => {
    const { site } = plan;
    if (!site.subgraph || !keepsState(plan)) return plan;
    const others = beside(site).flatMap((other) => bySite.get(other) ?? []);
    if (others.length > 0 && others.every((other) => sameGroups(plan, other))) return plan;
    const why = 'exact in linear memory: the other branch of its If reads the same cache, and has another plan';
    return { site, groups: groupHeads(new Array<Plan>(site.heads).fill(readPlan(fallback))), why };
  });
}

/** What is exact where a plan can't be had: a plan with a state gives way to one that keeps all that a sliding mask lets it see. */
function insteadOf(plan: Plan, site: Site): { instead: Plan; what: string } {
  const { sliding, cache } = site.operands;
  const exact = { instead: readPlan(fallback), what: 'exact in linear memory' };
  if (!cache || !sliding || sliding.left >= 65536 || !isStreamLowering(lowerings[plan.name])) return exact;
  const instead = readPlan({ name: 'window-causal', window: sliding.left + 1, sinks: 0 });
  return declined(instead, site) ? exact : { instead, what: 'exact over the sliding window that the model has' };
}

/** True for a plan that keeps a state in the place of its site's key cache. */
export function keepsState({ site, groups }: Pick<SitePlan, 'site' | 'groups'>): boolean {
  return site.operands.cache !== undefined && groups.some(({ plan }) => isStreamLowering(lowerings[plan.name]));
}

/** True for sites whose heads have the same plans. */
export function sameGroups(a: Pick<SitePlan, 'groups'>, b: Pick<SitePlan, 'groups'>): boolean {
  return a.groups.map(formatGroup).join() === b.groups.map(formatGroup).join();
}

/** Which heads, and the plan they share. */
export const formatGroup = ({ heads, plan }: HeadGroup) => `${heads} ${formatPlan(plan)}`;

/** The layers a rule names. */
export function layersOf({ layers }: LayerRule): readonly number[] {
  return typeof layers === 'number' ? [layers] : layers;
}

/** Why a plan can't be had for a site, or undefined when it can. */
export function declined(plan: Plan, site: Site, constants: SiteConstants = {}): string | undefined {
  const lowering = lowerings[plan.name];
  const reason = lowering.declines?.(site);
  if (reason) return reason;
  const needed = Object.entries(lowering.constants?.(site, plan.options) ?? {});
  const missing = needed
    .filter(([name, dims]) => constants[name]?.length !== dims.reduce((a, b) => a * b, site.heads))
    .map(([name]) => name);
  return missing.length > 0 ? `it needs calibration, and there is no ${missing.join(', ')}` : undefined;
}

/** What a site gets when nothing else is possible: the same answer in linear memory. */
export const fallback = 'exact-blocked';

function outOfRange(what: string, where: string, count: number): PerformersError {
  return new PerformersError('PF203', `no ${what}: ${where} has ${count}`, {
    at: 'rules',
    mend: `count from 0 to ${count - 1}; performers inspect lists them`,
  });
}

function groupHeads(plans: readonly Plan[]): HeadGroup[] {
  const groups = new Map<string, { heads: number[]; plan: Plan }>();
  for (const [head, plan] of plans.entries()) {
    const group = groups.get(formatPlan(plan));
    if (group) group.heads.push(head);
    else groups.set(formatPlan(plan), { heads: [head], plan });
  }
  return [...groups.values()];
}
