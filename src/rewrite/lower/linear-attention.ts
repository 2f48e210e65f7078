/**
 * Causal attention with positive features in the one operator that onnxruntime has for it, com.microsoft.LinearAttention (1.29 and
 * later): the sums of features-causal.ts without a window, in the same state.
 *
 *   S_t = S_{t−1} + e^{A_t − m} [v_t | 1]ᵀ   [M,E + 1]     A = Ω_k y − ½|y|² + 2b   [M]
 *   o_t = e^{U_t + m − c_t} S_t, its columns over the last one     U = Ω_q x − ½|x|²   [M], c_t = max(U_t + m)
 *
 * m is a feature's greatest A so far, that of the whole call: one call needs one. What stands more than some 80 e-folds below that
 * at its time is lost, where features-causal loses nothing; a call of one token loses nothing either.
 *
 * Cost in key equivalents: 2M. Bytes of state a head: 4 M (E + 1).
 */
import type { Builder } from '../../onnx/build.js';
import { optionsOf } from '../plan-options.js';
import { withoutScale } from './balanced.js';
import { reduceOver, scaledQueries, sumOver } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { drawnBy, type GainedSides, gainedSides, keyLogits, queryLogits } from './feature-sides.js';
import { featureShapes } from './features-constants.js';
import { excluded } from './key-set.js';
import { type Inputs, numberOption } from './lowering.js';
import { nothing } from './prefix-scan.js';
import { type Given, notInStream, type StreamLowering } from './stream-attention.js';

/** m is at least this, far above the A of masked keys and of none: against it they are of no mass. */
const least = excluded / 2;
/** What a query's features are divided by at least: one that sees no key gets zeros. */
const leastMass = 1e-37;

export const linearAttention: StreamLowering = {
  summary: 'positive features by onnxruntime’s own operator (1.29 and later), for causal models trained with them',
  ...optionsOf('linear-attention'),
  declines: (site) => notInStream(site) ?? withoutScale(site),
  keyEquivalents: (options) => 2 * numberOption(options, 'm'),
  constants: (site, options) => featureShapes(site, drawnBy(options)),
  stateShape: ({ valueDim: E }, heads, options) => ({
    keys: [0],
    values: [0],
    globals: [0],
    sums: [heads, numberOption(options, 'm'), E + 1],
  }),
  lower: (build, inputs, options, constants) =>
    linearAttention.attendStream(build, inputs, { options, constants, streams: new Map() }).context,
  attendStream(build, inputs, given) {
    const { valueDim: E } = inputs.site;
    const sides = gainedSides(build, inputs, given);
    const keys = maskedLogits(build, inputs, sides);
    const fresh = reduceOver(build, 'ReduceMax', keys, 3);
    const past = given.state && columns(build, given.state.sums, E);
    const log = past && build.op('Add', [past.last, begins(build, given)]);
    const most = build.op('Max', [...(log ? [log] : []), fresh, build.float([least], [])]);
    const [y, sums] = build.ops(
      'LinearAttention',
      [
        byToken(build, queryFeatures(build, inputs, sides, most)),
        byToken(build, build.op('Transpose', [mass(build, keys, most)], { perm: [0, 1, 3, 2] })),
        byToken(build, withOne(build, inputs.v)),
        ...(past && log ? [build.op('Mul', [mass(build, log, most), withOne(build, past.values)])] : []),
      ],
      2,
      {
        q_num_heads: inputs.heads.length,
        kv_num_heads: inputs.heads.length,
        update_rule: 'linear',
        // 0 would mean 1/√M.
        scale: { float: 1 },
      },
      'com.microsoft',
    );
    const rows = build.op('Reshape', [y, build.int64([0, 0, inputs.heads.length, E + 1])]);
    const { values } = divided(build, build.op('Transpose', [rows], { perm: [0, 2, 1, 3] }), E);
    return {
      context: values,
      state: { keys: '', values: '', globals: '', sums: inLogs(build, sums, most, E) },
      length: lengthAfter(build, inputs, given),
    };
  },
};

/** A [B,H,M,S], of masked keys far below what counts as some mass. */
function maskedLogits(build: Builder, { kT, keyBias }: Inputs, sides: GainedSides): string {
  const bias = sides.bias ?? build.float([-Math.log(sides.m)], []);
  const logits = keyLogits(build, kT(), { ...sides, bias }, 2);
  return keyBias ? build.op('Add', [logits, keyBias]) : logits;
}

/** e^{U + m − c} [B,H,N,M] */
function queryFeatures(build: Builder, inputs: Inputs, sides: GainedSides, most: string): string {
  const own = queryLogits(build, scaledQueries(build, inputs), sides, 3);
  const logits = build.op('Add', [own, build.op('Transpose', [most], { perm: [0, 1, 3, 2] })]);
  return build.op('Exp', [build.op('Sub', [logits, reduceOver(build, 'ReduceMax', logits, 3)])]);
}

/** e^{log − most} */
function mass(build: Builder, log: string, most: string): string {
  return build.op('Exp', [build.op('Sub', [log, most])]);
}

/** [.,.,.,E] → [.,.,.,E + 1] */
function withOne(build: Builder, rows: string): string {
  return build.op('Pad', [rows, build.int64([0, 0, 0, 0, 0, 0, 0, 1]), build.float([1], [])]);
}

function columns(build: Builder, rows: string, width: number): { values: string; last: string } {
  const slice = (from: number, to: number) =>
    build.op('Slice', [rows, build.int64([from]), build.int64([to]), build.int64([3])]);
  return { values: slice(0, width), last: slice(width, width + 1) };
}

/** Columns over the last one, and it. */
function divided(build: Builder, rows: string, width: number): { values: string; last: string } {
  const { values, last } = columns(build, rows, width);
  const safe = build.op('Max', [last, build.float([leastMass], [])]);
  return { values: build.op('Div', [values, safe]), last: safe };
}

/** S as the state has it: [KV | L]. */
function inLogs(build: Builder, sums: string, most: string, width: number): string {
  const { values, last } = divided(build, sums, width);
  return build.op('Concat', [values, build.op('Add', [most, build.op('Log', [last])])], { axis: 3 });
}

/** [B,H,X,W] → [B,X,H·W] */
function byToken(build: Builder, rows: string): string {
  return build.op('Reshape', [build.op('Transpose', [rows], { perm: [0, 2, 1, 3] }), build.int64([0, 0, -1])]);
}

/** What makes the zeros of a state that has seen no token no mass [B,1,1,1]. */
function begins(build: Builder, { before = '' }: Given): string {
  const none = build.op('Equal', [before, build.int64([0])]);
  const log = build.op('Where', [none, build.float([nothing]), build.float([0])]);
  return build.op('Reshape', [log, build.int64([-1, 1, 1, 1])]);
}

/** Tokens there were until then, int64 [B,1]. */
function lengthAfter(build: Builder, { q, visible }: Inputs, { before }: Given): string {
  const here = visible
    ? sumOver(build, build.op('Reshape', [visible, build.int64([0, -1])]), [1])
    : build.op('Reshape', [sizeOf(build, q, 2), build.int64([1, 1])]);
  return before ? build.op('Add', [before, here]) : here;
}
