/**
 * Runs the refit of the last MLP matrices (refit.ts) through a model, layer after layer: each is fitted on the stream as
 * it is behind the layers patched and refitted before, towards the original's stream behind the layer.
 */
import type { Builder } from '../onnx/build.js';
import type { ModelProto } from '../onnx/gen/onnx.js';
import { makeValueInfo } from '../onnx/message.js';
import { inferShapes } from '../onnx/shapes.js';
import { applyPlans } from '../rewrite/apply.js';
import { bindInputs } from '../rewrite/bind.js';
import { sumOver } from '../rewrite/lower/blocks.js';
import { type Correction, fallback, type SitePlan } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, TensorLike } from '../session.js';
import { type Extended, extend } from './extend.js';
import type { HealContext, Healed } from './heal-context.js';
import { lastMlpProduct, type MlpProduct } from './mlp-product.js';
import { addMoments, emptyMoments, leftOver, lowRank, mixed, type RowMoments, refit } from './refit.js';
import { type LayerStream, openStream } from './stream.js';
import { spread } from './survey.js';

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

export async function refitLayers(plans: readonly SitePlan[], options: HealContext): Promise<Healed> {
  const { model, createSession, onStep } = options;
  const inputs = spread(options.inputs, mostInputs);
  const scope = { graph: model.graph, shapes: inferShapes(model) };
  const streams = { original: openStream(inputs, createSession), patched: openStream(inputs, createSession) };
  const healed = [...plans];
  const left: string[] = [];
  let before: readonly string[] = [];
  for (const [layer, plan] of plans.entries()) {
    onStep(`refit layer ${layer}`);
    const product = lastMlpProduct(scope, plan.site);
    if (plan.groups.some((group) => group.plan.name !== fallback)) {
      if ('refused' in product || product.rows > mostRows) {
        const why =
          'refused' in product ? product.refused : `its matrix has ${product.rows} rows, more than ${mostRows}`;
        left.push(`layer ${layer}: ${why}`);
      } else {
        const patched = applyPlans(model, healed.slice(0, layer + 1)).proto;
        const [seen, unseen] = await momentsOf({
          original: { model: model.proto, stream: streams.original },
          patched: { model: patched, stream: streams.patched },
          site: plan.site,
          product,
          before,
        });
        const correction = fitCorrection(product, seen, unseen);
        if (!correction) left.push(`layer ${layer}: no refit improves inputs that it was not fitted on`);
        else healed[layer] = { ...plan, corrections: [...(plan.corrections ?? []), correction] };
      }
    }
    if ('stream' in product) before = product.stream;
  }
  return { plans: healed, left };
}

/** The ridge that does best on `unseen` after a fit on `seen`; then the fit on both. Undefined where none improves it. */
export function fitCorrection(
  { value, scale }: Pick<MlpProduct, 'value' | 'scale'>,
  seen: RowMoments,
  unseen: RowMoments,
): Correction | undefined {
  const few = (of: RowMoments) => (of.residuals.length > mixtures ? mixed(of, mixtures, 0) : of);
  const [seenFew, unseenFew] = [few(seen), few(unseen)];
  const tried = ridges.map((ridge) => ({ ridge, left: leftOver(unseenFew, refit(seenFew, ridge)) }));
  const best = tried.reduce((a, b) => (b.left < a.left ? b : a));
  if (!(best.left < 1)) return undefined;
  addMoments(seen, unseen);
  const whole = refit(seen, best.ridge);
  const { bias } = whole;
  const { rank, down, up } = lowRank(seen, whole, keptShare, mostRank);
  // What was fitted is behind the layer scale; what is corrected is before it.
  const M = bias.length;
  const unscale = (x: number, i: number) => {
    const factor = scale?.[i % M] ?? 1;
    return factor === 0 ? 0 : x / factor;
  };
  return { product: value, rank, down, up: up.map(unscale), bias: Float32Array.from(bias, unscale) };
}

interface Running {
  readonly model: ModelProto;
  readonly stream: LayerStream;
}

interface Recording {
  readonly original: Running;
  readonly patched: Running;
  readonly site: Site;
  readonly product: MlpProduct;
  /** The stream before the layer. */
  readonly before: readonly string[];
}

/** Moments of the inputs that the ridge is fitted on, and of every third, that it is chosen by. */
async function momentsOf({ original, patched, site, product, before }: Recording): Promise<[RowMoments, RowMoments]> {
  const { rows: K, columns: M } = product;
  const targets: Feeds[] = [];
  const target = targetModel(original.model, site, product);
  await original.stream.run(target.model, {
    wanted: target.wanted,
    keep: product.stream,
    use: (outputs) => targets.push(targetFeeds(numbers(outputs[names.want]), outputs[names.keyBias], M)),
  });
  const [seen, unseen] = [emptyMoments(K, M), emptyMoments(K, M)];
  const moments = momentModel(patched.model, product);
  await patched.stream.run(moments.model, {
    wanted: moments.wanted,
    keep: before,
    beside: (i) => targets[i],
    use: (outputs, i) =>
      addMoments(i % 3 === 1 ? unseen : seen, {
        rows: numbers(outputs[names.rows])[0],
        energy: numbers(outputs[names.energy])[0],
        features: numbers(outputs[names.features]),
        residuals: numbers(outputs[names.residuals]),
        gram: numbers(outputs[names.gram]),
        cross: numbers(outputs[names.cross]),
      }),
  });
  return [seen, unseen];
}

const prefix = 'refit/';
const named = <Name extends string>(...all: Name[]) =>
  Object.fromEntries(all.map((name) => [name, `${prefix}${name}`])) as Record<Name, string>;
const names = named('want', 'weights', 'keyBias', 'rows', 'energy', 'features', 'residuals', 'gram', 'cross');

/** The original up to the stream behind a layer, and what says which tokens are padding. */
function targetModel(original: ModelProto, site: Site, { sum, columns }: MlpProduct): Extended {
  return extend(original, prefix, (build) => {
    build.rename(streamRows(build, sum, columns), names.want);
    const { keyBias } = bindInputs(build, site, [0]);
    if (!keyBias) return [names.want];
    build.rename(build.op('Identity', [keyBias]), names.keyBias);
    return [names.want, names.keyBias];
  });
}

/** The stream [n,M], and 1 for every row that is no padding [n,1]. */
function targetFeeds(want: Float32Array, keyBias: TensorLike | undefined, M: number): Feeds {
  const n = want.length / M;
  const bias = keyBias && numbers(keyBias);
  const weights = Float32Array.from({ length: n }, (_, i) => (bias && bias[i % bias.length] <= hidden ? 0 : 1));
  return {
    [names.want]: { type: 'float32', dims: [n, M], data: want },
    [names.weights]: { type: 'float32', dims: [n, 1], data: weights },
  };
}

/** Key biases below it hide a key. */
const hidden = -1000;

/** The patched model up to the stream behind a layer, with the sums that a refit needs of its features and residuals. */
function momentModel(patched: ModelProto, { data, rows: K, sum, columns: M }: MlpProduct): Extended {
  const inputs = [makeValueInfo(names.want, 1, [undefined, M]), makeValueInfo(names.weights, 1, [undefined, 1])];
  const add = (build: Builder) => {
    const features = build.op('Reshape', [asFloat(build, data), build.int64([-1, K])]);
    const kept = build.op('Mul', [features, names.weights]);
    const keptT = build.op('Transpose', [kept], { perm: [1, 0] });
    const missing = build.op('Sub', [names.want, streamRows(build, sum, M)]);
    const residuals = build.op('Mul', [missing, names.weights]);
    const all = (value: string) => build.op('ReduceSum', [value], { keepdims: 0 });
    build.rename(all(build.op('Identity', [names.weights])), names.rows);
    build.rename(all(build.op('Mul', [residuals, residuals])), names.energy);
    build.rename(sumOver(build, kept, [0]), names.features);
    build.rename(sumOver(build, residuals, [0]), names.residuals);
    build.rename(build.op('MatMul', [keptT, features]), names.gram);
    build.rename(build.op('MatMul', [keptT, residuals]), names.cross);
    const { want: _, weights: __, keyBias: ___, ...outputs } = names;
    return Object.values(outputs);
  };
  return extend(patched, prefix, add, inputs);
}

/** The sum of two values of the stream as rows [n,M]. */
function streamRows(build: Builder, [a, b]: MlpProduct['sum'], M: number): string {
  const stream = build.op('Add', [asFloat(build, a), asFloat(build, b)]);
  return build.op('Reshape', [stream, build.int64([-1, M])]);
}

function asFloat(build: Builder, value: string): string {
  return build.op('Cast', [value], { to: 1 });
}

function numbers(tensor: TensorLike | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new TypeError('what is recorded of a layer is not float32');
}
