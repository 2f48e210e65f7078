/** Which sites are left to kernels: those that a kernel serves and the caller chooses, in a graph that can be cut there. */
import { type Model, openModel } from '../onnx/graph.js';
import { applyPlans } from './apply.js';
import { beyondKernels } from './kernel-nodes.js';
import type { SitePlan } from './plan.js';
import { cutAtKernels } from './segments.js';

/** Where the attention of a site is computed: by kernels between the segments of a graph, or by its nodes; and why. */
export interface Placement {
  readonly as: 'splice' | 'in-graph';
  readonly why: string;
}

/** The caller's choice for a site that kernels serve. */
export type PlaceKernels = (plan: SitePlan, layer: number) => Placement;

/** The plans with `spliced` set where kernels compute, and the placement of each. */
export function placeKernels(
  model: Model,
  plans: readonly SitePlan[],
  choose: PlaceKernels,
): { plans: readonly SitePlan[]; placements: readonly Placement[] } {
  const inGraph = (why: string): Placement => ({ as: 'in-graph', why });
  const placements = plans.map((plan, layer) => {
    const reason = beyondKernels(plan);
    return reason ? inGraph(reason) : choose(plan, layer);
  });
  const spliced = plans.map((plan, layer) => (placements[layer].as === 'splice' ? { ...plan, spliced: true } : plan));
  if (spliced.every((plan) => !plan.spliced)) return { plans, placements };
  const cut = cutAtKernels(openModel(applyPlans(model, spliced).proto));
  if (!('uncut' in cut)) return { plans: spliced, placements };
  return {
    plans,
    placements: placements.map((placement) => (placement.as === 'splice' ? inGraph(cut.uncut) : placement)),
  };
}
