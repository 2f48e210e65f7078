/**
 * What the heads of a model see: q, k and v of chosen sites, as the lowerings read them, while the model runs.
 *
 * The model itself is made to show them: the nodes that bring a site's tensors to [B,H,N,D] (bind.ts) are added to its
 * graph, and what they compute becomes an output. q carries the factor that the site applies to the product, so that
 * the score is q·k.
 */
import { type Builder, builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import { extractValues } from '../onnx/expose.js';
import type { ModelProto, NodeProto } from '../onnx/gen/onnx.js';
import type { Model } from '../onnx/graph.js';
import { bindInputs } from '../rewrite/bind.js';
import { scaledQueries } from '../rewrite/lower/blocks.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, SessionFactory, TensorLike } from '../session.js';
import { type OutputWeight, outputWeight } from './output-weight.js';

/** Float32 data with its shape. */
export interface Array4 {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Keys with a lower bias are masked. */
export const masked = -1000;

/** One site on one input. */
export interface HeadInputs {
  /** [B,H,N,D], [B,H,S,D], [B,H,S,E]; score = q·k. */
  readonly q: Array4;
  readonly k: Array4;
  readonly v: Array4;
  /** [B or 1,1,1,S], added to the scores. */
  readonly keyBias?: Array4;
  /** Rows and columns of patches, where the tokens are those of an image. */
  readonly grid?: readonly [number, number];
}

export interface Recorder {
  /** In the order of the sites asked for. */
  run(feeds: Feeds): Promise<HeadInputs[]>;
  /** The matrices behind the sites' heads [H,E,Dm], where the graph has them in plain sight. */
  outputWeights(feeds: Feeds): Promise<(Array4 | undefined)[]>;
  release(): Promise<void>;
}

/** Opens a session that records `sites`, all of which lie in the main graph. */
export async function openRecorder(
  model: Model,
  sites: readonly Site[],
  createSession: SessionFactory,
): Promise<Recorder> {
  const pool = constantPool('record/');
  const build = builder(model.opsets.get('') ?? 1, 'record/', pool);
  const names = sites.map((site) => showInputs(build, site));
  const weights = sites.map((site) => outputWeight(model, site));
  const unpacked: NodeProto[] = [];
  const shownWeights = weights.map((weight, i) => {
    if (!weight?.operator) return weight && showWeight(build, weight);
    const { heads, valueDim, operands } = sites[i];
    if (operands.elemType !== 1) return undefined;
    const node = { ...weight.operator, name: build.fresh('weight'), output: [build.fresh('weight')] };
    node.input = [identity(build, heads * valueDim, operands.elemType), ...weight.operator.input.slice(1)];
    unpacked.push(node);
    return node.output[0];
  });
  const { graph } = model.proto;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const extended: ModelProto = {
    ...model.proto,
    graph: {
      ...graph,
      node: [...graph.node, ...build.nodes, ...unpacked],
      initializer: [...graph.initializer, ...pool.initializers.map(({ bytes }) => bytes)],
    },
  };
  const open = (wanted: readonly string[]) => createSession(concat(encode(extractValues(extended, wanted))));
  const session = await open(names.flatMap((site) => Object.values(site)));
  return {
    async run(feeds) {
      const outputs = await session.run(feedsOf(feeds, session.inputNames));
      return names.map((site) => readInputs(outputs, site));
    },
    async outputWeights(feeds) {
      const wanted = shownWeights.filter((name) => name !== undefined);
      if (wanted.length === 0) return weights.map(() => undefined);
      const once = await open(wanted);
      try {
        const outputs = await once.run(feedsOf(feeds, once.inputNames));
        return shownWeights.map((name, i) => {
          const weight = weights[i];
          return name && weight ? headRows(read(outputs[name]), weight, sites[i]) : undefined;
        });
      } finally {
        await once.release();
      }
    },
    release: () => session.release(),
  };
}

/** Names of the values that show what a site sees. */
export type ShownInputs = Readonly<Record<'q' | 'k' | 'v', string>> &
  Readonly<Partial<Record<'keyBias' | 'grid', string>>>;

/** Nodes that show what a site sees. */
export function showInputs(build: Builder, site: Site): ShownInputs {
  const heads = Array.from({ length: site.heads }, (_, head) => head);
  const inputs = bindInputs(build, site, heads);
  // Identity: what is asked for may be an input of the graph, or be asked for twice.
  const show = (value: string) => build.op('Identity', [value]);
  return {
    q: show(scaledQueries(build, inputs)),
    k: show(inputs.k),
    v: show(inputs.v),
    ...(inputs.keyBias && { keyBias: show(inputs.keyBias) }),
    ...(site.operands.grid && { grid: build.op('Shape', [site.operands.grid.value]) }),
  };
}

export function readInputs(outputs: Feeds, { q, k, v, keyBias, grid }: ShownInputs): HeadInputs {
  return {
    q: read(outputs[q]),
    k: read(outputs[k]),
    v: read(outputs[v]),
    ...(keyBias && { keyBias: read(outputs[keyBias]) }),
    ...(grid && { grid: rowsAndColumns(outputs[grid]) }),
  };
}

/** The weight as float32, an Identity between, for a weight may be what the file holds. */
function showWeight(build: Builder, { value, zeroPoint }: OutputWeight): string {
  const float = (name: string) => build.op('Cast', [build.op('Identity', [name])], { to: 1 });
  return zeroPoint ? build.op('Sub', [float(value), float(zeroPoint)]) : float(value);
}

/** The identity matrix [n,n]. */
function identity(build: Builder, n: number, elemType: number): string {
  const places = build.int64(Array.from({ length: n }, (_, i) => i));
  const same = build.op('Equal', [build.op('Reshape', [places, build.int64([-1, 1])]), places]);
  return build.op('Cast', [same], { to: elemType });
}

/** Those of the feeds that a part of the model reads. */
export function feedsOf(feeds: Feeds, names: readonly string[]): Feeds {
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => names.includes(name)));
}

function read(tensor: TensorLike | undefined): Array4 {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('a recorded value is not float32');
  return { data: tensor.data, dims: tensor.dims };
}

function rowsAndColumns(shape: TensorLike | undefined): [number, number] {
  const [rows = 0, columns = 0] = Array.from<number | bigint | string, number>(shape?.data ?? [], Number).slice(-2);
  return [rows, columns];
}

/** [H·E,Dm], or its transpose, as [H,E,Dm]. */
function headRows({ data, dims }: Array4, { transposed }: OutputWeight, site: Site | undefined): Array4 | undefined {
  const [rows = 0, columns = 0] = transposed ? [dims[1], dims[0]] : dims;
  if (!site || dims.length !== 2 || rows !== site.heads * site.valueDim) return undefined;
  const shape = [site.heads, site.valueDim, columns];
  if (!transposed) return { data, dims: shape };
  const turned = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[i * columns + j] = data[j * rows + i];
  return { data: turned, dims: shape };
}
