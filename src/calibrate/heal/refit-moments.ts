/**
 * What a refit (refit.ts) needs of a layer: sums over some tokens of each input. The original and the patched model give the rows, a small graph
 * of its own sums those of several inputs at once: a sum of squares is larger than the rows of one input.
 */
import { uniforms } from '../../features/rng.js';
import { type Builder, builder, constantPool } from '../../onnx/build.js';
import { concat, encode } from '../../onnx/encode.js';
import type { ModelProto } from '../../onnx/gen/onnx.js';
import { makeGraph, makeModel, makeValueInfo } from '../../onnx/message.js';
import { bindInputs } from '../../rewrite/bind.js';
import { sumOver } from '../../rewrite/lower/blocks.js';
import type { Site } from '../../rewrite/site.js';
import type { Feeds, Session, SessionFactory, TensorLike } from '../../session.js';
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
/** Rows that are summed at once, at least, but for the last. */
const rowsAtOnce = 1024;

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
  readonly createSession: SessionFactory;
}

/** Moments of the inputs that the ridge is fitted on, and of every third, that it is chosen by. */
export async function momentsOf({
  original,
  patched,
  site,
  product,
  keep,
  createSession,
}: Recording): Promise<[RowMoments, RowMoments]> {
  const targets: Feeds[] = [];
  const target = targetModel(original.model, site, product);
  await original.stream.run(target.model, {
    wanted: target.wanted,
    keep: product.stream,
    use(outputs, i) {
      targets.push(targetFeeds(numbers(outputs[names.want]), outputs[names.keyBias], { M: product.columns, seed: i }));
    },
  });
  const session = await createSession(sumModel(product));
  try {
    const sides = [openSums(session, product), openSums(session, product)];
    const rows = rowModel(patched.model, product);
    await patched.stream.run(rows.model, {
      wanted: rows.wanted,
      keep,
      beside: (i) => targets[i],
      use: (outputs, i) => sides[i % 3 === 1 ? 1 : 0].add(outputs),
    });
    return [await sides[0].total(), await sides[1].total()];
  } finally {
    await session.release();
  }
}

/** Sums over the rows that come, a few inputs of them at once. */
function openSums(session: Session, { rows: K, columns: M }: MlpProduct) {
  const moments = emptyMoments(K, M);
  let waiting: Feeds[] = [];
  const count = () => waiting.reduce((sum, rows) => sum + rows[names.features].dims[0], 0);
  const flush = async () => {
    const rows = count();
    if (rows === 0) return;
    const joined = (name: string, width: number): TensorLike => {
      const data = new Float32Array(rows * width);
      let at = 0;
      for (const part of waiting) {
        data.set(numbers(part[name]), at);
        at += part[name].data.length;
      }
      return { type: 'float32', dims: [rows, width], data };
    };
    const feeds = { [names.features]: joined(names.features, K), [names.residuals]: joined(names.residuals, M) };
    waiting = [];
    const found = await session.run(feeds);
    const of = (name: string) => numbers(found[name]);
    addMoments(moments, {
      rows,
      energy: of(sums.energy)[0],
      features: of(sums.featureSum),
      residuals: of(sums.residualSum),
      gram: of(sums.gram),
      cross: of(sums.cross),
    });
  };
  return {
    async add(rows: Feeds) {
      waiting.push(rows);
      if (count() >= rowsAtOnce) await flush();
    },
    async total() {
      await flush();
      return moments;
    },
  };
}

const prefix = 'refit/';
const named = <Name extends string>(...all: Name[]) =>
  Object.fromEntries(all.map((name) => [name, `${prefix}${name}`])) as Record<Name, string>;
const names = named('want', 'tokens', 'keyBias', 'features', 'residuals');
const sums = named('energy', 'featureSum', 'residualSum', 'gram', 'cross');

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

/** The patched model up to the stream behind a layer: features and residuals of some tokens. */
function rowModel(patched: ModelProto, { data, rows: K, sum, columns: M }: MlpProduct): Extended {
  const inputs = [makeValueInfo(names.want, float32, [undefined, M]), makeValueInfo(names.tokens, 7, [undefined])];
  const add = (build: Builder) => {
    const some = (rows: string) => build.op('Gather', [rows, names.tokens]);
    build.rename(some(build.op('Reshape', [asFloat(build, data), build.int64([-1, K])])), names.features);
    build.rename(build.op('Sub', [names.want, some(streamRows(build, sum, M))]), names.residuals);
    return [names.features, names.residuals];
  };
  return extend(patched, prefix, add, inputs);
}

const [float32, opset] = [1, 13];

/** Rows [n,K] and [n,M] to their sums. */
function sumModel({ rows: K, columns: M }: MlpProduct): Uint8Array {
  const pool = constantPool(prefix);
  const build = builder(opset, prefix, pool);
  const featuresT = build.op('Transpose', [names.features], { perm: [1, 0] });
  const energy = build.op('Mul', [names.residuals, names.residuals]);
  build.rename(build.op('ReduceSum', [energy], { keepdims: 0 }), sums.energy);
  build.rename(sumOver(build, names.features, [0]), sums.featureSum);
  build.rename(sumOver(build, names.residuals, [0]), sums.residualSum);
  build.rename(build.op('MatMul', [featuresT, names.features]), sums.gram);
  build.rename(build.op('MatMul', [featuresT, names.residuals]), sums.cross);
  const matrix = (name: string, width: number) => makeValueInfo(name, float32, [undefined, width]);
  const graph = makeGraph({
    name: 'sums',
    node: [...build.nodes],
    input: [matrix(names.features, K), matrix(names.residuals, M)],
    output: [
      makeValueInfo(sums.energy, float32, []),
      matrix(sums.featureSum, K),
      matrix(sums.residualSum, M),
      matrix(sums.gram, K),
      matrix(sums.cross, M),
    ],
    initializer: pool.initializers.map(({ bytes }) => bytes),
  });
  return concat(encode(makeModel(graph, opset)));
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
