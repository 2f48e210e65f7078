/**
 * What becomes of the keys that leave a stream's window where features stand for them (features-causal.ts): a log-mass L and a mean
 * value KV a feature, as they are before each block and after the last.
 *
 * Of each block alone they are a logsumexp and a softmax over its keys. Two neighbouring runs of blocks join as
 *   L = ln(e^{L₁ − decay · blocks of the second} + e^{L₂}),   KV = e^{L₁ − decay… − L} KV₁ + e^{L₂ − L} KV₂      (METHODS F.5)
 * which is associative: all prefixes are made at once (prefix-scan.ts). Means of means, with no sum that grows.
 */
import type { Builder } from '../../onnx/build.js';
import { reduceOver, unsqueeze } from './blocks.js';
import { keyLogits } from './feature-sides.js';
import type { Inputs } from './lowering.js';
import { nothing, type Places, prefixScan } from './prefix-scan.js';
import { rowsAt } from './stream.js';
import { type Blocked, flip } from './stream-attention.js';
import type { State } from './stream-state.js';
import { unlessIdle } from './unless-idle.js';

/** The key side of a map. */
export interface KeyFeatures {
  readonly keyOmega: string; // [H,1,M,D]
  /** −½ of what |k|² is to be taken times. */
  readonly keyNorm: number;
  /** 2b: [H,1,M,1] or []. */
  readonly bias: string;
  /** Of the mass, from one block to the next [H,1,1,1]; none without. */
  readonly decay?: string;
  readonly m: number;
}

interface Given extends KeyFeatures {
  readonly inputs: Inputs;
  readonly state?: State;
}

export interface Stages {
  /** Of every block, what stands for the keys behind its window: L [B,H,n,M,1] and KV [B,H,n,M,E]. */
  readonly mass: string;
  readonly values: string;
  /** What the call leaves, [KV | L] of every feature [B,H,M,E + 1]. */
  readonly sums: string;
}

export function featureStages(build: Builder, blocked: Blocked, given: Given): Stages {
  const { stream } = blocked;
  const { inputs, m } = given;
  const width = inputs.site.valueDim + 1;
  const all = stagesOf(build, blocked, given);
  const mine = build.op('Slice', [all, build.int64([0]), stream.count, build.int64([2])]);
  const column = (from: number, to: number) =>
    build.op('Slice', [mine, build.int64([from]), build.int64([to]), build.int64([4])]);
  const left = rowsAt(build, all, stream.ended, m * width);
  return {
    mass: column(width - 1, width),
    values: column(0, width - 1),
    sums: build.op('Reshape', [left, build.int64([0, 0, m, width])]),
  };
}

/** [KV | L] before the call and after each of its blocks [B,H,stages,M,E + 1]; an idle call goes on with what the state holds. */
function stagesOf(build: Builder, blocked: Blocked, given: Given): string {
  const { stream } = blocked;
  const { inputs, state, m } = given;
  const [heads, width] = [inputs.heads.length, inputs.site.valueDim + 1];
  const none = build.float(
    Float32Array.from({ length: width }, (_, i) => (i === width - 1 ? nothing : 0)),
    [width],
  );
  if (!state) {
    const lead = build.op('Slice', [build.op('Shape', [stream.evicted]), build.int64([0]), build.int64([2])]);
    const shape = build.op('Concat', [lead, build.int64([1, m, width])], { axis: 0 });
    return evolve(build, blocked, { ...given, before: build.op('Expand', [none, shape]) });
  }
  const begun = unsqueeze(
    build,
    build.op('Add', [state.sums, stream.once(`none ${width}`, () => build.op('Mul', [stream.begins, none]))]),
    2,
  );
  const [stages] = unlessIdle(
    build,
    stream,
    { heads, rows: [m], width },
    {
      idle: (body) => [body.op('Identity', [begun])],
      evict: (body) => [evolve(body, blocked, { ...given, before: begun })],
    },
  );
  return stages;
}

/** Every prefix of [B,H,1,M,E + 1] and what each block evicts. */
function evolve(build: Builder, { stream, recent }: Blocked, given: Given & { readonly before: string }): string {
  const { inputs, before, decay, m } = given;
  const { headDim: D, valueDim: E } = inputs.site;
  const byBlock = (rows: string, width: number) => {
    const shape = build.op('Concat', [build.int64([0, 0]), stream.count, build.int64([-1, width])], { axis: 0 });
    return build.op('Reshape', [rows, shape]);
  };
  const keys = byBlock(rowsAt(build, recent.keys, stream.evicted, D), D);
  const values = byBlock(rowsAt(build, recent.values, stream.evicted, E), E);
  // Of a width of 1: what `flip` would make of it, which onnxruntime does to truth values on the CPU alone.
  const rows = build.op('Concat', [build.int64([0, 0]), stream.count, build.int64([1, -1])], { axis: 0 });
  const present = build.op('Reshape', [stream.present, rows]);
  const logits = build.op('Where', [
    present,
    keyLogits(build, flip(build, keys), given, 3),
    build.float([nothing], []),
  ]);
  const means = build.op('MatMul', [build.op('Softmax', [logits], { axis: -1 }), values]);
  const fresh = build.op('Concat', [means, reduceOver(build, 'ReduceLogSumExp', logits, 4)], { axis: 4 });
  const [stages] = prefixScan(build, [{ value: build.op('Concat', [before, fresh], { axis: 2 }), dims: [m, E + 1] }], {
    runs: stream.runs(),
    join: ([runs], places) => [joinRuns(build, runs, { places, decay, width: E + 1 })],
  });
  return stages;
}

/** What runs of blocks [B,H,X,k,M,E + 1] are together, each decayed by how far it lies behind: [B,H,X,p,M,E + 1]. */
function joinRuns(
  build: Builder,
  runs: string,
  { places, decay, width }: { places: Places; decay?: string; width: number },
): string {
  const byFeature = build.op('Transpose', [runs], { perm: [0, 1, 2, 4, 3, 5] });
  const column = (from: number, to: number) =>
    build.op('Slice', [byFeature, build.int64([from]), build.int64([to]), build.int64([5])]);
  const mass = build.op('Transpose', [column(width - 1, width)], { perm: [0, 1, 2, 3, 5, 4] });
  const lost = decay && build.op('Mul', [unsqueeze(build, decay, 1), places.distance()]);
  const left = lost ? build.op('Sub', [mass, lost]) : mass;
  const logits = build.op('Add', [left, places.hidden]);
  const means = build.op('MatMul', [build.op('Softmax', [logits], { axis: -1 }), column(0, width - 1)]);
  const joined = build.op('Concat', [means, reduceOver(build, 'ReduceLogSumExp', logits, 5)], { axis: 5 });
  return build.op('Transpose', [joined], { perm: [0, 1, 2, 4, 3, 5] });
}
