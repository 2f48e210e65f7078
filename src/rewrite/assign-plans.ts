/** Which plan each head of each site gets, by what its lowering can take. */
import { PerformersError } from '../errors.js';
import { besideEach } from './branches.js';
import type { Lowering } from './lower/lowering.js';
import { lowerings as registry } from './lower/registry.js';
import { isStreamLowering } from './lower/stream-attention.js';
import {
  fallback,
  formatPlan,
  type HeadGroup,
  type LayerRule,
  layersOf,
  type Plan,
  readPlan,
  type SiteConstants,
  type SitePlan,
  sameGroups,
} from './plan.js';
import type { PlanName } from './plan-options.js';
import type { Site } from './site.js';

/** The registry, with the optional parts of a lowering in view. */
const lowerings: Readonly<Record<PlanName, Lowering>> = registry;

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
