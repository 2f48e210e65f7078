/** One causal attention site as a whole model, with or without a key cache, and a way to run it in pieces. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Builder, builder, constantPool } from '../src/onnx/build.js';
import { concat, encode } from '../src/onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../src/onnx/message.js';
import { halfBits, halfValue } from './half.js';
import type { Attention } from './oracle/attention.js';

export interface CausalForm {
  readonly heads: number;
  /** Fewer than heads: each is repeated for its group. */
  readonly kvHeads?: number;
  readonly headDim: number;
  readonly valueDim?: number;
  readonly cache?: boolean;
  /** `mask` [B,S] int64. */
  readonly mask?: boolean;
  /** Keys a query sees before its own; absent, all. */
  readonly left?: number;
  /** All in float16. */
  readonly half?: boolean;
  readonly opset?: number;
}

const lowest = -3.4028234663852886e38;

/** q [B,H,N,D], k [B,G,N,D], v [B,G,N,E], mask, past_key_values.0.* → context [B,H,N,E], present.0.*. */
export function causalModel(form: CausalForm): Uint8Array {
  const { heads, kvHeads = heads, headDim, valueDim = headDim, cache, mask, left, half, opset = 17 } = form;
  const elemType = half ? 10 : 1;
  const pool = constantPool('t/');
  const build = builder(opset, 't/', pool);
  const join = (past: string, fresh: string, present: string) => {
    if (!cache) return fresh;
    build.rename(build.op('Concat', [past, fresh], { axis: 2 }), present);
    return present;
  };
  const keys = join('past_key_values.0.key', 'k', 'present.0.key');
  const values = join('past_key_values.0.value', 'v', 'present.0.value');
  const typed = (value: string) => (half ? build.op('Cast', [value], { to: elemType }) : value);
  const scores = build.op('Mul', [
    build.op('MatMul', ['q', build.op('Transpose', [repeat(build, keys, form, headDim)], { perm: [0, 1, 3, 2] })]),
    typed(build.float([headDim ** -0.5], [])),
  ]);
  const size = (value: string, axis: number) =>
    build.op('Gather', [build.op('Shape', [value]), build.int64([axis], [])], { axis: 0 });
  const [count, total] = [size('q', 2), size(keys, 2)];
  const range = (from: string, to: string) => build.op('Range', [from, to, build.int64([1], [])]);
  const places = build.op('Reshape', [range(build.op('Sub', [total, count]), total), build.int64([-1, 1])]);
  const keyPlaces = range(build.int64([0], []), total);
  const later = build.op('Less', [places, keyPlaces]);
  const tooEarly = () => build.op('Less', [keyPlaces, build.op('Sub', [places, build.int64([left ?? 0])])]);
  const hidden = left === undefined ? later : build.op('Or', [later, tooEarly()]);
  const causal = build.op('Where', [hidden, build.float([half ? -65504 : lowest], []), build.float([0], [])]);
  const masked = build.op('Add', [scores, typed(causal)]);
  const weights = build.op('Softmax', [mask ? hide(build, masked) : masked], { axis: -1 });
  build.rename(build.op('MatMul', [weights, repeat(build, values, form, valueDim)]), 'context');
  const cached = (name: string, width: number, length: string) =>
    makeValueInfo(name, elemType, ['batch', kvHeads, length, width]);
  const graph = makeGraph({
    name: 'causal',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [
      makeValueInfo('q', elemType, ['batch', heads, 'tokens', headDim]),
      makeValueInfo('k', elemType, ['batch', kvHeads, 'tokens', headDim]),
      makeValueInfo('v', elemType, ['batch', kvHeads, 'tokens', valueDim]),
      ...(mask ? [makeValueInfo('mask', 7, ['batch', cache ? 'past + tokens' : 'tokens'])] : []),
      ...(cache
        ? [cached('past_key_values.0.key', headDim, 'past'), cached('past_key_values.0.value', valueDim, 'past')]
        : []),
    ],
    output: [
      makeValueInfo('context', elemType, ['batch', heads, 'tokens', valueDim]),
      ...(cache
        ? [cached('present.0.key', headDim, 'past + tokens'), cached('present.0.value', valueDim, 'past + tokens')]
        : []),
    ],
  });
  return concat(encode(makeModel(graph, opset)));
}

function hide(build: Builder, scores: string): string {
  const keys = build.op('Cast', [build.op('Reshape', ['mask', build.int64([0, 1, 1, -1])])], { to: 1 });
  const hidden = build.op('Sub', [build.float([1], []), keys]);
  return build.op('Add', [scores, build.op('Mul', [hidden, build.float([lowest], [])])]);
}

/** [B,G,S,W] → [B,H,S,W] as repeat_kv does it. */
function repeat(build: Builder, value: string, { heads, kvHeads = heads }: CausalForm, width: number): string {
  if (kvHeads === heads) return value;
  const size = (axis: number) => build.op('Gather', [build.op('Shape', [value]), build.int64([axis])], { axis: 0 });
  const shape = build.op('Concat', [size(0), build.int64([kvHeads, heads / kvHeads]), size(2), build.int64([width])], {
    axis: 0,
  });
  const wide = build.op('Expand', [build.op('Reshape', [value, build.int64([0, kvHeads, 1, -1, width])]), shape]);
  const flat = build.op('Concat', [size(0), build.int64([heads]), size(2), build.int64([width])], { axis: 0 });
  return build.op('Reshape', [wide, flat]);
}

/** Columns [from, to) of an input's tokens, as the model's inputs; keys of the first head of each group. */
export function piece(input: Attention, { heads, kvHeads = heads, half }: CausalForm, from: number, to: number) {
  const { B, H, S, D, E, q, k, v, keyBias } = input;
  const take = (data: Float64Array, width: number, chosen: readonly number[]) => {
    const out = new Float32Array(B * chosen.length * (to - from) * width);
    for (let b = 0; b < B; b++)
      for (const [g, h] of chosen.entries()) {
        const rows = data.subarray(((b * H + h) * S + from) * width, ((b * H + h) * S + to) * width);
        out.set(rows, (b * chosen.length + g) * (to - from) * width);
      }
    return numbers(out, [B, chosen.length, to - from, width], half);
  };
  const all = Array.from({ length: heads }, (_, h) => h);
  const groups = Array.from({ length: kvHeads }, (_, g) => (g * heads) / kvHeads);
  const mask = BigInt64Array.from({ length: B * to }, (_, i) =>
    keyBias?.[Math.floor(i / to) * S + (i % to)] === -Infinity ? 0n : 1n,
  );
  return {
    q: take(q, D, all),
    k: take(k, D, groups),
    v: take(v, E, groups),
    ...(keyBias && { mask: new Tensor('int64', mask, [B, to]) }),
  };
}

function numbers(data: Float32Array, dims: readonly number[], half = false): Tensor {
  return half ? new Tensor('float16', Uint16Array.from(data, halfBits), dims) : new Tensor('float32', data, dims);
}

/** An input rounded to what float16 holds. */
export function inHalves(input: Attention): Attention {
  const round = (data: Float64Array) => data.map((x) => halfValue(halfBits(x)));
  return { ...input, q: round(input.q), k: round(input.k), v: round(input.v) };
}

/**
 * Runs an input in pieces that end at `ends`, each given what the one before left; contexts [B,H,N,E] joined. The first
 * piece may be another model's.
 */
export async function runInPieces(
  bytes: Uint8Array,
  input: Attention,
  form: CausalForm,
  ends: readonly number[],
  first = bytes,
): Promise<{ context: Float32Array; sizes: number[][] }> {
  const { B, H, S, E, D } = input;
  const { kvHeads = form.heads } = form;
  const sessions = await Promise.all(
    [first, bytes].map((model) => InferenceSession.create(model, { logSeverityLevel: 4 })),
  );
  const context = new Float32Array(B * H * S * E);
  let past: Record<string, Tensor> = form.cache
    ? {
        'past_key_values.0.key': numbers(new Float32Array(), [B, kvHeads, 0, D], form.half),
        'past_key_values.0.value': numbers(new Float32Array(), [B, kvHeads, 0, E], form.half),
      }
    : {};
  const sizes: number[][] = [];
  let from = 0;
  for (const to of ends) {
    const outputs = await sessions[from === 0 ? 0 : 1].run({ ...piece(input, form, from, to), ...past });
    const { data: given } = outputs.context;
    const data = given instanceof Float32Array ? given : Float32Array.from(given as Uint16Array, halfValue);
    for (let row = 0; row < B * H; row++)
      context.set(data.subarray(row * (to - from) * E, (row + 1) * (to - from) * E), (row * S + from) * E);
    past = Object.fromEntries(
      Object.keys(past).map((name) => [name, outputs[name.replace('past_key_values', 'present')]]),
    );
    sizes.push(...Object.values(past).map(({ dims }) => [...dims]));
    from = to;
  }
  await Promise.all(sessions.map((session) => session.release()));
  return { context, sizes };
}

/** Masks as many keys at the beginning of each row as were masked at its end. */
export function leftPadded(input: Attention): Attention {
  const { B, S, keyBias = new Float64Array(B * S) } = input;
  const rows = Array.from({ length: B }, (_, b) => keyBias.slice(b * S, (b + 1) * S).reverse());
  return { ...input, keyBias: Float64Array.from(rows.flatMap((row) => [...row])) };
}

/** Keys and values of every head are those of the first of its group. */
export function grouped(input: Attention, kvHeads: number): Attention {
  const { B, H, S, D, E } = input;
  const share = (data: Float64Array, width: number) => {
    const out = data.slice();
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++) {
        const first = Math.floor((h * kvHeads) / H) * (H / kvHeads);
        const from = (b * H + first) * S * width;
        out.set(data.subarray(from, from + S * width), (b * H + h) * S * width);
      }
    return out;
  };
  return { ...input, k: share(input.k, D), v: share(input.v, E) };
}

/** What a model has to be like for an input. */
export const formOf = ({ H, D, E, keyBias }: Attention): CausalForm => ({
  heads: H,
  headDim: D,
  valueDim: E,
  mask: Boolean(keyBias),
});

/** Only what queries that are tokens give. */
export function judged(got: Float32Array, want: Float64Array): [Float32Array, Float64Array] {
  const kept = Array.from(want.keys()).filter((i) => !Number.isNaN(want[i]));
  return [Float32Array.from(kept, (i) => got[i]), Float64Array.from(kept, (i) => want[i])];
}
