import type { Feeds, LinearizeOptions, SessionFactory, SiteReport } from '../../src/index.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { headErrors, recordHeads } from '../heads.js';
import type { HeadView } from './protocol.js';

/** Every head's plan with its reason, and its error where that was measured. */
export function headViews(sites: readonly SiteReport[], errors?: readonly (readonly number[])[]): HeadView[][] {
  return sites.map(({ heads, plans, why }, layer) =>
    Array.from({ length: heads }, (_, head): HeadView => {
      const plan = plans.find((group) => group.heads.includes(head))?.plan ?? '';
      const error = errors?.[layer]?.[head];
      return { plan, linear: isLinear(plan), why, ...(error !== undefined && { error }) };
    }),
  );
}

/** Its cost a token does not grow with their number. */
function isLinear(text: string): boolean {
  const { name, options } = readPlan(text);
  return !name.startsWith('exact') && lowerings[name].keyEquivalents(options, 1e6) < 1e6;
}

/** Errors of heads, or why they could not be had: a model runs without them. */
export async function headErrorsOf(
  bytes: Uint8Array,
  plan: LinearizeOptions,
  inputs: Feeds,
  createSession: SessionFactory,
): Promise<{ heads?: number[][]; missing?: string }> {
  try {
    const want = await recordHeads(bytes, undefined, inputs, createSession);
    const got = await recordHeads(bytes, plan, inputs, createSession);
    return { heads: headErrors(got, want) };
  } catch (error) {
    return { missing: error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error) };
  }
}
