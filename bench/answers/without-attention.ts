/** A model whose attention passes its values on: what everything else costs. Queries and keys are not even projected. */
import { concat, encode } from '../../src/onnx/encode.js';
import type { Model } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import type { Lowering } from '../../src/rewrite/lower/lowering.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import type { PlanName } from '../../src/rewrite/plan-options.js';

const deleted: Lowering = {
  summary: 'the values as they are',
  defaults: {},
  readOptions: () => ({}),
  keyEquivalents: () => 0,
  // A node of its own, which takes the name of the context.
  lower: (build, { v }) => build.op('Identity', [v]),
};

export function withoutAttention(model: Model): Uint8Array {
  // No plan of the library: it stands in the place of one for as long as this takes.
  const registry: Record<PlanName, Lowering> = lowerings;
  const name = 'exact';
  const { exact } = registry;
  registry[name] = deleted;
  try {
    const plans = findAttention(model).sites.map((site) => {
      const heads = Array.from({ length: site.heads }, (_, head) => head);
      return { site, groups: [{ heads, plan: { name, options: {} } as const }], why: 'deleted' };
    });
    return concat(encode(applyPlans(model, plans).proto));
  } finally {
    registry[name] = exact;
  }
}
