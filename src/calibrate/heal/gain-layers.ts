/** Runs the closed-form healing (gain.ts) through a model, layer after layer. */
import type { ModelProto } from '../../onnx/gen/onnx.js';
import { inferShapes } from '../../onnx/shapes.js';
import { applyPlans } from '../../rewrite/apply.js';
import { bindContext } from '../../rewrite/bind.js';
import { fallback, type SitePlan } from '../../rewrite/plan.js';
import type { Site } from '../../rewrite/site.js';
import type { Array4 } from '../record.js';
import { spread } from '../survey.js';
import type { HealContext } from './context.js';
import { extend } from './extend.js';
import { type ContextPair, fitHealing } from './gain.js';
import { lastMlpProduct } from './mlp-product.js';
import { type LayerStream, openStream } from './stream.js';

/** Inputs that healing is fitted on: more of them gain little and cost runs of the model. */
const mostInputs = 32;

export async function healLayers(plans: readonly SitePlan[], options: HealContext): Promise<SitePlan[]> {
  const { model, createSession } = options;
  const inputs = spread(options.inputs, mostInputs);
  const scope = { graph: model.graph, shapes: inferShapes(model) };
  const original = openStream(inputs, createSession);
  const patched = openStream(inputs, createSession);
  const healed = [...plans];
  let before: readonly string[] = [];
  for (const [layer, plan] of plans.entries()) {
    const { site } = plan;
    const product = lastMlpProduct(scope, site);
    // The original's layer changes no more once its context is read; the patched one's is healed first.
    const behind = 'stream' in product ? product.stream : before;
    if (plan.groups.some((group) => group.plan.name !== fallback)) {
      const { outputWeight } = options.surveys.find((survey) => survey.site === site) ?? {};
      const originals = await contexts(original, model.proto, site, behind);
      const now = await contexts(patched, applyPlans(model, healed.slice(0, layer + 1)).proto, site, before);
      const pairs = now.map((context, i): ContextPair => ({ patched: context, original: originals[i] }));
      const { gain, bias } = fitHealing(pairs, outputWeight);
      // Exact heads are not touched: they have nothing to heal but the stream they are fed with.
      healed[layer] = { ...plan, constants: { ...plan.constants, gain, bias } };
      options.onStep(`heal layer ${layer}`);
    }
    before = behind;
  }
  return healed;
}

/** The context of a site on every input, [B,H,N,E]; `keep` is what the next step goes on from. */
async function contexts(
  stream: LayerStream,
  proto: ModelProto,
  site: Site,
  keep: readonly string[],
): Promise<Array4[]> {
  const { model, wanted } = extend(proto, 'context/', (build) => [build.op('Identity', [bindContext(build, site)])]);
  const found: Array4[] = [];
  await stream.run(model, {
    wanted,
    keep,
    use(outputs) {
      const { data, dims } = outputs[wanted[0]];
      if (!(data instanceof Float32Array)) throw new TypeError('a context is not float32');
      found.push({ data, dims });
    },
  });
  return found;
}
