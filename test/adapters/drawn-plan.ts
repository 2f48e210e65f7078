import { gaussians } from '../../src/features/rng.js';
import { inspect } from '../../src/linearize.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { type SavedPlan, savePlan } from '../../src/rewrite/saved-plan.js';

/** A saved plan of all sites of a model; of each constant so many numbers a head are drawn. */
export function drawnPlan(
  model: Uint8Array,
  plan: string,
  sizes: Readonly<Record<string, number>>,
  exactUpTo?: number,
): SavedPlan {
  const plans = inspect(model).sites.map((site) => {
    const constants = Object.fromEntries(
      Object.entries(sizes).map(([name, size], seed) => [
        name,
        Float32Array.from({ length: site.heads * size }, gaussians(seed)),
      ]),
    );
    const heads = Array.from({ length: site.heads }, (_, head) => head);
    return { site, groups: [{ heads, plan: readPlan(plan) }], why: 'drawn', constants, exactUpTo };
  });
  return savePlan(plans);
}
