/**
 * What of a model calibration runs. Of a decoder merged into one If (rewrite/branches.ts) that is the branch that begins a text, by
 * itself: a passage is read there in one piece, and its sites lie in the main graph, where every value can be had. Plans chosen there
 * are then those of both branches, which keep one state. Any other model is run as it is.
 */
import { onlyBranch } from '../onnx/branch.js';
import { allGraphs, type Model, openModel } from '../onnx/graph.js';
import { assignPlans } from '../rewrite/assign-plans.js';
import { besideEach } from '../rewrite/branches.js';
import { findAttention } from '../rewrite/find.js';
import { readPlan, type SitePlan } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';

export interface Beginning {
  readonly model: Model;
  readonly sites: readonly Site[];
  /** The sites of the whole model that one of `sites` decides on. */
  readonly decides: (site: Site) => readonly Site[];
  /** Plans of `sites` as plans of all sites of the whole model, with what was said of their heads. */
  readonly forAll: (plans: readonly SitePlan[], reasons: readonly (readonly string[])[]) => WholePlans;
  readonly merged: boolean;
}

interface WholePlans {
  readonly plans: readonly SitePlan[];
  readonly reasons: readonly (readonly string[])[];
}

export function beginningOf(whole: Model): Beginning {
  const all = findAttention(whole).sites;
  const path = all.find(({ operands }) => operands.cache?.begins)?.subgraph;
  const branch = allGraphs(whole.graph).find((graph) => path && graph.path === path && graph.outer === whole.graph);
  if (!branch) {
    const forAll: Beginning['forAll'] = (plans, reasons) => ({ plans, reasons });
    return { model: whole, sites: all, decides: (site) => [site], forAll, merged: false };
  }
  const model = openModel(onlyBranch(whole, branch));
  const { sites } = findAttention(model);
  const beside = besideEach(all);
  const decides = ({ output }: Site) => {
    const own = all.filter((site) => site.output === output && (site.subgraph === path || site.subgraph === ''));
    return own.flatMap((site) => [site, ...beside(site)]);
  };
  return { model, sites, decides, merged: true, forAll: (plans, reasons) => forBoth(all, { plans, reasons }, decides) };
}

function forBoth(
  all: readonly Site[],
  { plans, reasons }: WholePlans,
  decides: Beginning['decides'],
): { plans: SitePlan[]; reasons: (readonly string[])[] } {
  const decided = new Map(plans.flatMap((plan, at) => decides(plan.site).map((site) => [site, at] as const)));
  const found = all.map((site) => {
    const at = decided.get(site);
    if (at !== undefined) return { plan: { ...plans[at], site }, said: reasons[at] };
    const plan = passedOver(site);
    return { plan, said: new Array<string>(site.heads).fill(plan.why) };
  });
  return { plans: found.map(({ plan }) => plan), reasons: found.map(({ said }) => said) };
}

/** What a site gets that nothing was measured of, with the reason. */
export function passedOver(site: Site): SitePlan {
  const [plan] = assignPlans([site], () => readPlan(site.causal ? 'hybrid-causal' : 'hybrid'));
  return plan;
}
