import type { Feeds, LinearizeOptions, SessionFactory, SiteReport } from '../../src/index.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
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
    const given = completed(bytes, inputs);
    const want = await recordHeads(bytes, undefined, given, createSession);
    const got = await recordHeads(bytes, plan, given, createSession);
    return { heads: headErrors(got, want) };
  } catch (error) {
    return { missing: error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error) };
  }
}

/** With what transformers.js adds to a text on its way into a decoder: positions, and caches that are empty. */
function completed(bytes: Uint8Array, inputs: Feeds): Feeds {
  const tokens = inputs.input_ids?.dims[1];
  if (tokens === undefined) return inputs;
  return { ...generateInputs(openModel(decode(bytes)), { tokens }).feeds, ...inputs };
}
