/**
 * Nyström approximation of the softmax matrix by landmarks (Xiong et al. 2021, "Nyströmformer", equations 11 to 14):
 *
 *   q̃, k̃ = means of q and k over m segments of the sequence        segment of token i = ⌊i m / N⌋; masked tokens count for nothing
 *   F = softmax(q k̃ᵀ) [N,m]     A = softmax(q̃ k̃ᵀ) [m,m]     B = softmax(q̃ kᵀ) [m,S]
 *   O = F Z (B v),  Z ≈ A⁺ by six steps of Z ← ¼ Z (13 I − A Z (15 I − A Z (7 I − A Z))) from Aᵀ / (‖A‖₁ ‖A‖_∞)
 *
 * Not a mean of values: weights may be negative, and rows need not sum to 1. A landmark without a key is hidden. Numerics: Z of an
 * ill-conditioned A is what six steps make of it, in float32 to about 1e-4 of the output. Cost: m (4D + 2E) multiply-adds a token,
 * m³ once. On the heads of pre-trained encoders it is far behind the hybrids at the same cost (QUALITY 3.1).
 */
import type { Builder } from '../../onnx/build.js';
import { optionsOf } from '../plan-options.js';
import { reduceOver, scaledQueries, segmentsOf, sumOver } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { hide } from './key-set.js';
import { beyondKeyBias, type Inputs, type Lowering, numberOption } from './lowering.js';
import { keepMask, unmaskedValues } from './masked.js';

/** Of Z: what Xiong et al. take. */
const steps = 6;

export const nystrom: Lowering = {
  summary: 'Nyström by segment means (Nyströmformer): linear time; for models trained with it',
  ...optionsOf('nystrom'),
  declines: beyondKeyBias,
  keyEquivalents: (options) => 3 * numberOption(options, 'landmarks'),
  lower(build, inputs, options) {
    const m = numberOption(options, 'landmarks');
    const q = scaledQueries(build, inputs);
    const keep = inputs.keyBias && keepMask(build, inputs.keyBias);
    const keys = segmentMeans(build, { rows: inputs.k, keep, m });
    // Queries of padding are no landmarks; of others nothing is known but the keys.
    const queries = segmentMeans(build, { rows: q, keep: inputs.site.operands.aligned ? keep : undefined, m });
    const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
    const [landmarks, hidden] = [flip(keys.means), flip(keys.hidden)];
    const toLandmarks = (from: string) => {
      const logits = build.op('Add', [build.op('MatMul', [from, landmarks]), hidden]);
      return build.op('Softmax', [logits], { axis: -1 });
    };
    const logits = build.op('MatMul', [queries.means, inputs.kT()]);
    const all = build.op('Softmax', [inputs.keyBias ? build.op('Add', [logits, inputs.keyBias]) : logits], {
      axis: -1,
    });
    const summaries = build.op('MatMul', [all, unmaskedValues(build, inputs)]);
    const inverse = pseudoInverse(build, toLandmarks(queries.means), m);
    return build.op('MatMul', [toLandmarks(q), build.op('MatMul', [inverse, summaries])]);
  },
};

/** Means [B,H,m,D] of rows [B,H,N,D] over segments, and `excluded` for segments without a row that counts [B or 1,1,m,1]. */
function segmentMeans(
  build: Builder,
  { rows, keep, m }: { rows: string; keep?: Inputs['keyBias']; m: number },
): { means: string; hidden: string } {
  const members = segmentsOf(build, sizeOf(build, rows, 2), m);
  const weights = keep ? build.op('Mul', [members, keep]) : members;
  const count = sumOver(build, weights, [3]);
  const means = build.op('Div', [build.op('MatMul', [weights, rows]), build.op('Max', [count, build.float([1], [])])]);
  const empty = build.op('Less', [count, build.float([0.5], [])]);
  return { means, hidden: hide(build, empty) };
}

/** Z [B,H,m,m] of A [B,H,m,m], whose rows sum to 1, so that ‖A‖_∞ is 1. */
function pseudoInverse(build: Builder, A: string, m: number): string {
  const identity = (factor: number) =>
    build.float(
      Float32Array.from({ length: m * m }, (_, at) => (at % (m + 1) === 0 ? factor : 0)),
      [m, m],
    );
  const from = (factor: number, value: string) => build.op('Sub', [identity(factor), value]);
  const times = (a: string, b: string) => build.op('MatMul', [a, b]);
  const columns = sumOver(build, A, [2]);
  const largest = reduceOver(build, 'ReduceMax', columns, 3);
  let Z = build.op('Div', [build.op('Transpose', [A], { perm: [0, 1, 3, 2] }), largest]);
  for (let step = 0; step < steps; step++) {
    const AZ = times(A, Z);
    const inner = times(AZ, from(15, times(AZ, from(7, AZ))));
    Z = build.op('Mul', [times(Z, from(13, inner)), build.float([0.25], [])]);
  }
  return Z;
}
