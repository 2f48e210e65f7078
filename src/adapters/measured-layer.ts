/** Layers of attention that measureSplice() times: a sequence, and where a plan is of images, patches. Their numbers are drawn. */
import { PerformersError } from '../errors.js';
import { gaussians } from '../features/rng.js';
import { type Builder, builder, constantPool } from '../onnx/build.js';
import { decode } from '../onnx/decode.js';
import { concat, encode } from '../onnx/encode.js';
import { openModel } from '../onnx/graph.js';
import { makeGraph, makeModel, makeValueInfo } from '../onnx/message.js';
import { declined } from '../rewrite/assign-plans.js';
import { findAttention } from '../rewrite/find.js';
import type { Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import type { Plan } from '../rewrite/plan.js';
import { type SavedPlan, savePlan } from '../rewrite/saved-plan.js';

export interface MeasuredLayer {
  readonly bytes: Uint8Array;
  /** The plan on all heads. Its constants are drawn, too: what they hold decides the answer, hardly the time. */
  readonly saved: SavedPlan;
  /** Shapes of the inputs for about so many tokens, and how many those are. */
  readonly inputs: (tokens: number) => { readonly shapes: Readonly<Record<string, number[]>>; readonly tokens: number };
}

interface Heads {
  readonly heads: number;
  readonly headDim: number;
}

/** The layer that a plan is timed on. @throws PerformersError PF202 for a plan that takes neither a sequence nor patches */
export function measuredLayer(plan: Plan, heads: Heads): MeasuredLayer {
  for (const { bytes, inputs } of [sequenceLayer(heads), patchLayer(heads)]) {
    const { sites } = findAttention(openModel(decode(bytes)));
    const [site] = sites;
    if (!site) throw new TypeError('the layer is attention');
    const lowering: Lowering = lowerings[plan.name];
    const normal = gaussians(1);
    const constants = Object.fromEntries(
      Object.entries(lowering.constants?.(site, plan.options) ?? {}).map(([name, dims]) => {
        const length = dims.reduce((product, dim) => product * dim, site.heads);
        return [name, Float32Array.from({ length }, normal)];
      }),
    );
    if (declined(plan, site, constants)) continue;
    const all = Array.from({ length: site.heads }, (_, head) => head);
    const why = 'timed by itself';
    return { bytes, inputs, saved: savePlan([{ site, groups: [{ heads: all, plan }], why, constants }]) };
  }
  throw new PerformersError('PF202', `measureSplice() has no layer that takes the plan ${plan.name}`, {
    at: 'plans',
    mend: 'name plans of bidirectional attention, such as hybrid or hybrid-2d',
  });
}

/** q, k, v [B,H,N,D] → the mean of the context. */
function sequenceLayer({ heads, headDim }: Heads) {
  const names = ['q', 'k', 'v'];
  return {
    bytes: layer(names, ['batch', heads, 'tokens', headDim], headDim, () => names),
    inputs: (tokens: number) => {
      const shape = [1, heads, tokens, headDim];
      return { shapes: Object.fromEntries(names.map((name) => [name, shape])), tokens };
    },
  };
}

/** patches [B, 3·H·D, R, C] → the same: cut as a vision model cuts its image, by a convolution, here of single pixels and channels. */
function patchLayer({ heads, headDim }: Heads) {
  const channels = 3 * heads * headDim;
  const split = (build: Builder) => {
    const ones = build.float(new Float32Array(channels).fill(1), [channels, 1, 1, 1]);
    const cut = { kernel_shape: [1, 1], strides: [1, 1], group: channels };
    const flat = build.op('Reshape', [build.op('Conv', ['patches', ones], cut), build.int64([0, channels, -1])]);
    const tokens = build.op('Transpose', [flat], { perm: [0, 2, 1] });
    const width = heads * headDim;
    const parts = build.ops('Split', [tokens, build.int64([width, width, width])], 3, { axis: 2 });
    return parts.map((part) => {
      const apart = build.op('Reshape', [part, build.int64([0, 0, heads, headDim])]);
      return build.op('Transpose', [apart], { perm: [0, 2, 1, 3] });
    });
  };
  return {
    bytes: layer(['patches'], ['batch', channels, 'rows', 'columns'], headDim, split),
    inputs: (tokens: number) => {
      const rows = Math.floor(Math.sqrt(tokens));
      const columns = Math.floor(tokens / rows);
      return { shapes: { patches: [1, channels, rows, columns] }, tokens: rows * columns };
    },
  };
}

/** A model that gives one number, the mean of softmax(q·kᵀ/√D)·v, so that what comes back to the CPU is the same in all forms. */
function layer(
  names: readonly string[],
  dims: readonly (number | string)[],
  headDim: number,
  project: (build: Builder) => readonly string[],
): Uint8Array {
  const opset = 17;
  const pool = constantPool('m/');
  const build = builder(opset, 'm/', pool);
  const [q, k, v] = project(build);
  const keys = build.op('Transpose', [k], { perm: [0, 1, 3, 2] });
  const scores = build.op('Mul', [build.op('MatMul', [q, keys]), build.float([headDim ** -0.5], [])]);
  const context = build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), v]);
  const mean = build.op('ReduceMean', [context], { axes: [0, 1, 2, 3], keepdims: 0 });
  const graph = makeGraph({
    name: 'layer',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: names.map((name) => makeValueInfo(name, 1, dims)),
    output: [makeValueInfo(mean, 1, [])],
  });
  return concat(encode(makeModel(graph, opset)));
}
