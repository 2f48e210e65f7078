/**
 * What each plan does to each head, measured: the plan's own lowering is run on recorded q, k and v of held-out inputs
 * and compared with exact attention, through the weight W_o that the head's output goes through.
 *
 *   share of head h   s_h = Σ_n |(o_h,n − r_h,n) W_o,h|² / Σ_h Σ_n |r_h,n W_o,h|²        o the plan, r exact
 *
 * The lowering is the one that will be deployed, in a graph of its own whose constants are inputs, so that one session
 * serves every layer of a shape.
 */
import { type Builder, builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../onnx/message.js';
import { counting } from '../rewrite/lower/blocks.js';
import { sizeOf } from '../rewrite/lower/exact-blocked.js';
import { hideLater } from '../rewrite/lower/key-set.js';
import type { Inputs, Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { formatPlan, type Plan, readPlan, type SiteConstants } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';
import type { Session, SessionFactory, TensorLike } from '../session.js';
import type { KMeans } from './codebook.js';
import { lloydModel } from './lloyd.js';
import { type Array4, type HeadInputs, masked } from './record.js';

const opset = 17;

/** Squared errors and sizes of one site's heads on one input, through W_o: [H]. */
export interface HeadErrors {
  readonly error: Float64Array;
  readonly size: Float64Array;
}

export interface Bench {
  /** Exact attention of recorded inputs: [B,H,N,E]. */
  exact(site: Site, inputs: HeadInputs): Promise<Array4>;
  /** Adds up what `plan` does to every head on one input; `gram` [H,E,E] is W_o W_oᵀ by head. */
  compare(
    site: Site,
    plan: Plan,
    run: { inputs: HeadInputs; want: Array4; gram: Array4; constants: SiteConstants },
  ): Promise<HeadErrors>;
  /** k-means of all heads of a site (lloyd.ts). */
  readonly kMeans: KMeans;
  release(): Promise<void>;
}

/** Sessions kept open: each holds the memory of its largest run, some 40 MB for 512 tokens. */
const mostOpen = 4;

/** One call at a time: a session that is not among the last `mostOpen` used is released. */
export function openBench(createSession: SessionFactory): Bench {
  const sessions = new Map<string, Session>();
  const open = async (key: string, make: () => Uint8Array) => {
    const session = sessions.get(key) ?? (await createSession(make()));
    sessions.delete(key);
    sessions.set(key, session);
    for (const [oldest, idle] of sessions) {
      if (sessions.size <= mostOpen) break;
      sessions.delete(oldest);
      await idle.release();
    }
    return session;
  };
  const shape = ({ heads, headDim, valueDim, causal, operands }: Site, { keyBias }: HeadInputs) =>
    `${heads} ${headDim} ${valueDim} ${causal} ${Boolean(keyBias)} ${operands.grid?.prefix}`;
  return {
    async exact(site, inputs) {
      const session = await open(`exact ${shape(site, inputs)}`, () => exactGraph(site, Boolean(inputs.keyBias)));
      return floats((await session.run(feeds(inputs))).context);
    },
    async compare(site, plan, { inputs, want, gram, constants }) {
      const key = `${formatPlan(plan)} ${shape(site, inputs)}`;
      const session = await open(key, () => compareGraph(site, plan, Boolean(inputs.keyBias)));
      const needed = Object.entries(shapesOf(site, plan)).map(([name, dims]) => [
        name,
        tensor({ data: constants[name] ?? new Float32Array(), dims: [site.heads, ...dims] }),
      ]);
      const outputs = await session.run({
        ...feeds(inputs),
        ...Object.fromEntries(needed),
        want: tensor(want),
        gram: tensor(gram),
        rows: tensor(rowWeights(inputs)),
      });
      const read = (name: string) => Float64Array.from(floats(outputs[name]).data);
      return { error: read('error'), size: read('size') };
    },
    async kMeans(rows, start) {
      const width = rows.dims[2] ?? 0;
      const session = await open(`lloyd ${width}`, () => lloydModel(width));
      return floats((await session.run({ rows: tensor(rows), start: tensor(start) })).centres).data;
    },
    async release() {
      await Promise.all([...sessions.values()].map((session) => session.release()));
      sessions.clear();
    },
  };
}

function shapesOf(site: Site, plan: Plan): Readonly<Record<string, readonly number[]>> {
  const lowering: Lowering = lowerings[plan.name];
  return lowering.constants?.(site, plan.options) ?? {};
}

function exactGraph(site: Site, masked: boolean): Uint8Array {
  return siteModel(site, masked, {}, (build, inputs) => ({
    context: lower(build, inputs, readPlan('exact')),
  }));
}

function compareGraph(site: Site, plan: Plan, masked: boolean): Uint8Array {
  const constants = shapesOf(site, plan);
  const { heads, valueDim } = site;
  const extra = {
    ...Object.fromEntries(Object.entries(constants).map(([name, dims]) => [name, [heads, ...dims]])),
    want: [undefined, heads, undefined, valueDim],
    gram: [heads, valueDim, valueDim],
    rows: [undefined, 1, undefined, 1],
  };
  return siteModel(site, masked, extra, (build, inputs) => {
    const square = (value: string) => {
      const kept = build.op('Mul', [value, 'rows']);
      const energy = build.op('Mul', [build.op('MatMul', [kept, 'gram']), kept]);
      return build.op('ReduceSum', [energy, build.int64([0, 2, 3])], { keepdims: 0 });
    };
    return {
      error: square(build.op('Sub', [lower(build, inputs, plan), 'want'])),
      size: square('want'),
    };
  });
}

function lower(build: Builder, inputs: Inputs, plan: Plan): string {
  const lowering: Lowering = lowerings[plan.name];
  return lowering.lower(build, inputs, plan.options, (name) => name);
}

type Dims = readonly (number | undefined)[];

/** A model of one site's lowering, the site's tensors being its inputs. */
function siteModel(
  site: Site,
  masked: boolean,
  extra: Readonly<Record<string, Dims>>,
  make: (build: Builder, inputs: Inputs) => Readonly<Record<string, string>>,
): Uint8Array {
  const { heads, headDim, valueDim } = site;
  const pool = constantPool('bench/');
  const build = builder(opset, 'bench/', pool);
  // A site of its own: plain tensors in the one layout, the factor in q but for what k has of it, nothing of the model around it.
  const operand = (value: string) => ({ expr: { value }, layout: 'bhnd' }) as const;
  const plain: Site = {
    ...site,
    kvHeads: heads,
    operands: {
      q: operand('q'),
      k: operand('k'),
      v: operand('v'),
      gain: 1,
      scaled: { q: site.scale / site.operands.scaled.k, k: site.operands.scaled.k },
      aligned: site.operands.aligned,
      ...(site.operands.grid && { grid: { ...site.operands.grid, value: 'grid' } }),
      context: { value: 'context', layout: 'bhnd' },
      elemType: 1,
    },
  };
  let kT: string | undefined;
  const outputs = make(build, {
    q: 'q',
    k: 'k',
    v: 'v',
    kT: () => {
      kT ??= build.op('Transpose', ['k'], { perm: [0, 1, 3, 2] });
      return kT;
    },
    ...(masked && { keyBias: 'keyBias' }),
    ...(site.causal && { bias: (inner: Builder) => causalBias(inner, masked) }),
    gain: 1,
    site: plain,
    heads: Array.from({ length: heads }, (_, head) => head),
  });
  const inputs: Readonly<Record<string, Dims>> = {
    q: [undefined, heads, undefined, headDim],
    k: [undefined, heads, undefined, headDim],
    v: [undefined, heads, undefined, valueDim],
    ...(masked && { keyBias: [undefined, 1, 1, undefined] }),
    ...(site.operands.grid && { grid: [1, 1, undefined, undefined] }),
    ...extra,
  };
  for (const [name, value] of Object.entries(outputs)) build.rename(value, name);
  const graph = makeGraph({
    name: 'bench',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: Object.entries(inputs).map(([name, dims]) => makeValueInfo(name, 1, dims)),
    output: Object.keys(outputs).map((name) => ({ name, metadataProps: [] })),
  });
  return concat(encode(makeModel(graph, opset)));
}

/** Hides later keys [N,N], and what is padding [B,1,N,N]. */
function causalBias(build: Builder, masked: boolean): string {
  const length = sizeOf(build, 'k', 2);
  const bias = hideLater(build, counting(build, length), length);
  return masked ? build.op('Add', [bias, 'keyBias']) : bias;
}

function feeds({ q, k, v, keyBias, grid }: HeadInputs): Record<string, TensorLike> {
  return {
    q: tensor(q),
    k: tensor(k),
    v: tensor(v),
    ...(keyBias && { keyBias: tensor(keyBias) }),
    // Only the sizes of the grid are read.
    ...(grid && { grid: tensor({ data: new Float32Array(grid[0] * grid[1]), dims: [1, 1, ...grid] }) }),
  };
}

/** 1 for queries that count: of padded tokens nobody reads the result. [B or 1,1,N or 1,1] */
function rowWeights({ q, keyBias }: HeadInputs): Array4 {
  const [, , N = 0] = q.dims;
  const S = keyBias?.dims[3];
  if (!keyBias || S !== N) return { data: Float32Array.of(1), dims: [1, 1, 1, 1] };
  return { data: keyBias.data.map((bias) => (bias > masked ? 1 : 0)), dims: [keyBias.dims[0] ?? 1, 1, N, 1] };
}

function tensor({ data, dims }: Array4): TensorLike {
  return { type: 'float32', dims, data };
}

function floats(value: TensorLike | undefined): Array4 {
  if (!(value?.data instanceof Float32Array)) throw new TypeError('the bench gives float32');
  return { data: value.data, dims: value.dims };
}
