/** Which sites are left to kernels: those that a kernel serves and the caller chooses, in a graph that can be cut there. */
import { type Model, openModel } from '../onnx/graph.js';
import { applyPlans } from './apply.js';
import { beyondKernels, kernelNode } from './kernel-nodes.js';
import type { SitePlan } from './plan.js';
import { cutAtKernels } from './segments.js';

/** Where the attention of a site is computed: by kernels between the segments of a graph, or by its nodes; and why. */
export interface Placement {
  readonly as: 'splice' | 'in-graph';
  readonly why: string;
}

/** The plans, those of sites that kernels compute being `spliced`, and the placement of each. */
export type PlaceSites = (
  model: Model,
  plans: readonly SitePlan[],
) => { readonly plans: readonly SitePlan[]; readonly placements: readonly Placement[] };

/** The caller's choice for a site that kernels serve. */
export type ChoosePlacement = (plan: SitePlan) => Placement;

export function placeKernels(choose: ChoosePlacement): PlaceSites {
  return (model, plans) => {
    const inGraph = (why: string): Placement => ({ as: 'in-graph', why });
    const placements = plans.map((plan) => {
      const reason = beyondKernels(plan);
      return reason ? inGraph(reason) : choose(plan);
    });
    if (placements.every(({ as }) => as === 'in-graph')) return { plans, placements };
    const spliced = plans.map((plan, i) => (placements[i].as === 'splice' ? { ...plan, spliced: kernelNode } : plan));
    const cut = cutAtKernels(openModel(applyPlans(model, spliced).proto));
    if (!('uncut' in cut)) return { plans: spliced, placements };
    return { plans, placements: placements.map((one) => (one.as === 'splice' ? inGraph(cut.uncut) : one)) };
  };
}
