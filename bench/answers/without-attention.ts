/** A model whose attention passes its values on: what everything else costs, with the projections of queries and keys or without. */
import { concat, encode } from '../../src/onnx/encode.js';
import type { Model } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import type { Lowering } from '../../src/rewrite/lower/lowering.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import type { PlanName } from '../../src/rewrite/plan-options.js';

const valuesAsTheyAre = {
  summary: 'the values as they are',
  defaults: {},
  readOptions: () => ({}),
  keyEquivalents: () => 0,
};

/** Queries and keys are projected, and added to the values 0 times: what is not used would not be computed. */
const projected: Lowering = {
  ...valuesAsTheyAre,
  lower(build, { q, k, v }) {
    const nothing = build.op('Mul', [build.op('Add', [q, k]), build.float([0], [])]);
    return build.op('Add', [v, nothing]);
  },
};

const bare: Lowering = {
  ...valuesAsTheyAre,
  // A node of its own, which takes the name of the context.
  lower: (build, { v }) => build.op('Identity', [v]),
};

export function withoutAttention(model: Model, { projections }: { projections: boolean }): Uint8Array {
  // No plan of the library: it stands in the place of one for as long as this takes.
  const registry: Record<PlanName, Lowering> = lowerings;
  const name = 'exact';
  const { exact } = registry;
  registry[name] = projections ? projected : bare;
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
