/**
 * Runs the refit of the last MLP matrices (refit.ts) through a model, layer after layer: each is fitted on the stream as
 * it is behind the layers patched and refitted before, towards the original's stream behind the layer.
 */
import { inferShapes } from '../../onnx/shapes.js';
import { applyPlans } from '../../rewrite/apply.js';
import { countsTokens } from '../../rewrite/correction.js';
import { type Correction, fallback, type SitePlan } from '../../rewrite/plan.js';
import type { Site } from '../../rewrite/site.js';
import { spread } from '../survey.js';
import type { HealContext, Healed } from './context.js';
import { lastMlpProduct, type MlpProduct } from './mlp-product.js';
import { addMoments, leftOver, lowRank, mixed, type RowMoments, refit } from './refit.js';
import { momentsOf } from './refit-moments.js';
import { openStream } from './stream.js';

/** Relative to the mean power of a feature: lighter ones memorise the inputs (QUALITY 6). */
const ridges = [1, 10];
/** Of what a refit does to its features, by a rank of so much at most. */
const keptShare = 0.99;
const mostRank = 128;
/** Mixtures of the residuals that the ridge is chosen by. */
const mixtures = 32;
/** Rows of a matrix at most: its moments are squares. */
const mostRows = 4096;
const mostInputs = 64;
/** Bytes of moments kept for a fit on more inputs, at most. Beyond it the first inputs are run again with the others. */
const memory = 256 * 2 ** 20;

/** What an earlier fit chose and, if that was not too much, what it was made from. */
interface Fitted {
  readonly ridges: ReadonlyMap<Site, number>;
  readonly moments: ReadonlyMap<Site, RowMoments>;
}

export function refitLayers(plans: readonly SitePlan[], context: HealContext): Promise<Healed> {
  return refitBeside(plans, context);
}

/**
 * With `fitted`, on the inputs of an earlier fit too, by its ridges. Its moments are of the stream behind the corrections that it made, and
 * stand for those behind the ones made here: most of a fit's cost is runs of the model.
 */
async function refitBeside(plans: readonly SitePlan[], context: HealContext, fitted?: Fitted): Promise<Healed> {
  const { model, createSession, onStep } = context;
  const inputs = spread(context.inputs, mostInputs);
  const scope = { graph: model.graph, shapes: inferShapes(model) };
  const streams = { original: openStream(inputs, createSession), patched: openStream(inputs, createSession) };
  const healed = [...plans];
  const left: string[] = [];
  const [chosen, kept] = [new Map<Site, number>(), new Map<Site, RowMoments>()];
  let bytes = 0;
  let before: readonly string[] = [];
  for (const [layer, plan] of plans.entries()) {
    const { site } = plan;
    onStep(`refit layer ${layer}`);
    const product = lastMlpProduct(scope, site);
    const linear = plan.groups.some((group) => group.plan.name !== fallback);
    if (linear && ('refused' in product || product.rows > mostRows)) {
      const why = 'refused' in product ? product.refused : `its matrix has ${product.rows} rows, more than ${mostRows}`;
      left.push(`layer ${layer}: ${why}`);
    } else if (linear && !('refused' in product) && (!fitted || fitted.ridges.has(site))) {
      const [seen, unseen] = await momentsOf({
        original: { model: model.proto, stream: streams.original },
        patched: { model: applyPlans(model, healed.slice(0, layer + 1)).proto, stream: streams.patched },
        site,
        product,
        // What counts tokens elsewhere than at the product needs the stream before the attention.
        keep: countsTokens(scope, site, product) ? product.read : before,
        createSession,
      });
      const ridge = fitted ? fitted.ridges.get(site) : chooseRidge(seen, unseen);
      addMoments(seen, unseen);
      const earlier = fitted?.moments.get(site);
      if (earlier) addMoments(seen, earlier);
      if (ridge === undefined) left.push(`layer ${layer}: no refit improves inputs that it was not fitted on`);
      else {
        healed[layer] = { ...plan, corrections: [...(plan.corrections ?? []), correctionOf(product, seen, ridge)] };
        chosen.set(site, ridge);
        bytes += seen.gram.byteLength + seen.cross.byteLength;
        if (bytes <= memory) kept.set(site, seen);
        else kept.clear();
      }
    }
    if ('stream' in product) before = product.stream;
  }
  const more: Healed['more'] = (plans, { inputs: added, ...context }) =>
    refitBeside(
      plans,
      { ...context, inputs: kept.size === chosen.size ? added : [...inputs, ...added] },
      { ridges: chosen, moments: kept },
    );
  return { plans: healed, left, more };
}

/** The ridge that does best on `unseen` after a fit on `seen`; undefined where none improves it. */
export function chooseRidge(seen: RowMoments, unseen: RowMoments): number | undefined {
  const few = (of: RowMoments) => (of.residuals.length > mixtures ? mixed(of, mixtures, 0) : of);
  const [seenFew, unseenFew] = [few(seen), few(unseen)];
  const tried = ridges.map((ridge) => ({ ridge, left: leftOver(unseenFew, refit(seenFew, ridge)) }));
  const best = tried.reduce((a, b) => (b.left < a.left ? b : a));
  return best.left < 1 ? best.ridge : undefined;
}

/** The fit as what a plan keeps. */
export function correctionOf(
  { value, scale }: Pick<MlpProduct, 'value' | 'scale'>,
  moments: RowMoments,
  ridge: number,
): Correction {
  const whole = refit(moments, ridge);
  const { bias } = whole;
  const { rank, down, up } = lowRank(moments, whole, keptShare, mostRank);
  // What was fitted is behind the layer scale; what is corrected is before it.
  const M = bias.length;
  const unscale = (x: number, i: number) => {
    const factor = scale?.[i % M] ?? 1;
    return factor === 0 ? 0 : x / factor;
  };
  return { product: value, rank, down, up: up.map(unscale), bias: Float32Array.from(bias, unscale) };
}
