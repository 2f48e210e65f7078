/** Runs the closed-form healing (heal.ts) through a model, layer after layer. */
import { builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import { extractValues } from '../onnx/expose.js';
import type { ModelProto } from '../onnx/gen/onnx.js';
import { openModel } from '../onnx/graph.js';
import { applyPlans } from '../rewrite/apply.js';
import { bindContext } from '../rewrite/bind.js';
import { fallback, type SitePlan } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, SessionFactory } from '../session.js';
import { type ContextPair, fitHealing } from './heal.js';
import type { HealContext } from './heal-context.js';
import type { Array4 } from './record.js';
import { spread } from './survey.js';

/** Inputs that healing is fitted on: more of them gain little and cost a run of every layer each. */
const mostInputs = 32;

export async function healLayers(plans: readonly SitePlan[], options: HealContext): Promise<SitePlan[]> {
  const { model } = options;
  const inputs = spread(options.inputs, mostInputs);
  const healed = [...plans];
  for (const [layer, plan] of plans.entries()) {
    if (plan.groups.every((group) => group.plan.name === fallback)) continue;
    const { site } = plan;
    const { outputWeight } = options.surveys.find((survey) => survey.site === site) ?? {};
    const pairs: ContextPair[] = [];
    const patched = applyPlans(model, healed.slice(0, layer + 1)).proto;
    const originals = await contexts(model.proto, site, inputs, options.createSession);
    for (const [i, context] of (await contexts(patched, site, inputs, options.createSession)).entries())
      pairs.push({ patched: context, original: originals[i] });
    const { gain, bias } = fitHealing(pairs, outputWeight);
    // Exact heads are not touched: they have nothing to heal but the stream they are fed with.
    healed[layer] = { ...plan, constants: { ...plan.constants, gain, bias } };
    options.onStep(`heal layer ${layer}`);
  }
  return healed;
}

/** The context of a site on every input, [B,H,N,E]. */
async function contexts(
  proto: ModelProto,
  site: Site,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
): Promise<Array4[]> {
  const pool = constantPool('context/');
  const build = builder(openModel(proto).opsets.get('') ?? 1, 'context/', pool);
  const value = build.op('Identity', [bindContext(build, site)]);
  const { graph } = proto;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const initializer = [...graph.initializer, ...pool.initializers.map(({ bytes }) => bytes)];
  const extended = { ...proto, graph: { ...graph, node: [...graph.node, ...build.nodes], initializer } };
  const session = await createSession(concat(encode(extractValues(extended, [value]))));
  try {
    const found: Array4[] = [];
    for (const feeds of inputs) {
      const needed = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
      const output = (await session.run(Object.fromEntries(needed)))[value];
      if (!(output?.data instanceof Float32Array)) throw new TypeError('a context is not float32');
      found.push({ data: output.data, dims: output.dims });
    }
    return found;
  } finally {
    await session.release();
  }
}
