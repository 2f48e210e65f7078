/** What a refit (refit.ts) needs of a layer: sums over some tokens of each input, made while the original and the patched model run. */
import { uniforms } from '../../features/rng.js';
import type { Builder } from '../../onnx/build.js';
import type { ModelProto } from '../../onnx/gen/onnx.js';
import { makeValueInfo } from '../../onnx/message.js';
import { bindInputs } from '../../rewrite/bind.js';
import { sumOver } from '../../rewrite/lower/blocks.js';
import type { Site } from '../../rewrite/site.js';
import type { Feeds, TensorLike } from '../../session.js';
import { masked } from '../record.js';
import { spreadOver } from '../statistics.js';
import { type Extended, extend } from './extend.js';
import type { MlpProduct } from './mlp-product.js';
import { addMoments, emptyMoments, type RowMoments } from './refit.js';
import type { LayerStream } from './stream.js';

/**
 * Of each input: the sample size of a fit is the number of inputs, and a token costs 2K(K + M) flops. Of 512 tokens of MiniLM, 256 heal to a
 * held-out error larger by .8 %, 128 by 1.7 %.
 */
const mostTokens = 256;

interface Running {
  readonly model: ModelProto;
  readonly stream: LayerStream;
}

interface Recording {
  readonly original: Running;
  readonly patched: Running;
  readonly site: Site;
  readonly product: MlpProduct;
  /** What of the patched stream the next layer goes on from. */
  readonly keep: readonly string[];
}

/** Moments of the inputs that the ridge is fitted on, and of every third, that it is chosen by. */
export async function momentsOf({
  original,
  patched,
  site,
  product,
  keep,
}: Recording): Promise<[RowMoments, RowMoments]> {
  const { rows: K, columns: M } = product;
  const targets: Feeds[] = [];
  const target = targetModel(original.model, site, product);
  await original.stream.run(target.model, {
    wanted: target.wanted,
    keep: product.stream,
    use: (outputs, i) =>
      targets.push(targetFeeds(numbers(outputs[names.want]), outputs[names.keyBias], { M, seed: i })),
  });
  const [seen, unseen] = [emptyMoments(K, M), emptyMoments(K, M)];
  const moments = momentModel(patched.model, product);
  await patched.stream.run(moments.model, {
    wanted: moments.wanted,
    keep,
    beside: (i) => targets[i],
    use: (outputs, i) =>
      addMoments(i % 3 === 1 ? unseen : seen, {
        rows: targets[i][names.tokens].data.length,
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
const names = named('want', 'tokens', 'keyBias', 'energy', 'features', 'residuals', 'gram', 'cross');

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

/** Which tokens, that are no padding, the moments are of, and the stream there. */
function targetFeeds(
  want: Float32Array,
  keyBias: TensorLike | undefined,
  { M, seed }: { readonly M: number; readonly seed: number },
): Feeds {
  const bias = keyBias && numbers(keyBias);
  const all = Array.from({ length: want.length / M }, (_, i) => i);
  const read = all.filter((i) => !bias || bias[i % bias.length] > masked);
  const tokens = spreadOver(read, mostTokens, uniforms(seed));
  const data = new Float32Array(tokens.length * M);
  for (const [i, token] of tokens.entries()) data.set(want.subarray(token * M, (token + 1) * M), i * M);
  return {
    [names.want]: { type: 'float32', dims: [tokens.length, M], data },
    [names.tokens]: { type: 'int64', dims: [tokens.length], data: BigInt64Array.from(tokens, BigInt) },
  };
}

/** The patched model up to the stream behind a layer, with the sums that a refit needs of features and residuals of some tokens. */
function momentModel(patched: ModelProto, { data, rows: K, sum, columns: M }: MlpProduct): Extended {
  const inputs = [makeValueInfo(names.want, 1, [undefined, M]), makeValueInfo(names.tokens, 7, [undefined])];
  const add = (build: Builder) => {
    const some = (rows: string) => build.op('Gather', [rows, names.tokens]);
    const features = some(build.op('Reshape', [asFloat(build, data), build.int64([-1, K])]));
    const featuresT = build.op('Transpose', [features], { perm: [1, 0] });
    const residuals = build.op('Sub', [names.want, some(streamRows(build, sum, M))]);
    const energy = build.op('Mul', [residuals, residuals]);
    build.rename(build.op('ReduceSum', [energy], { keepdims: 0 }), names.energy);
    build.rename(sumOver(build, features, [0]), names.features);
    build.rename(sumOver(build, residuals, [0]), names.residuals);
    build.rename(build.op('MatMul', [featuresT, features]), names.gram);
    build.rename(build.op('MatMul', [featuresT, residuals]), names.cross);
    const { want: _, tokens: __, keyBias: ___, ...outputs } = names;
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
