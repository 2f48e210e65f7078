/**
 * softmax(gain · q·kᵀ + bias) · v once more: the identity plan. A model rewritten with it must give its own outputs;
 * where it does not, the surgery is wrong, whatever the approximation.
 *
 * Cost O(N·S) time and memory. A fully masked row gives zeros, as in every lowering.
 */
import type { Builder } from '../../onnx/build.js';
import { type Inputs, type Lowering, optionReader } from './lowering.js';
import { unmaskedValues } from './masked.js';

export const exact: Lowering = {
  summary: 'softmax again: proves the rewrite, changes nothing',
  defaults: {},
  readOptions: optionReader('exact', {}),
  keyEquivalents: (_, tokens) => tokens,
  lower(build, inputs) {
    return attend(build, inputs, inputs.q, inputs.kT(), unmaskedValues(build, inputs));
  },
};

/** q [B,H,n,D], any block of the queries, kT [B,H,D,S], v [B,H,S,E] → [B,H,n,E] */
export function attend(build: Builder, { gain, keyBias, site }: Inputs, q: string, kT: string, v: string): string {
  const { rounding } = site.operands;
  const product = build.op('MatMul', [q, kT]);
  if (rounding) {
    const probabilities = build.op('Softmax', [build.emit(rounding.scores, product)], { axis: -1 });
    return build.op('MatMul', [build.emit(rounding.probabilities, probabilities), v]);
  }
  const scaled = gain === 1 ? product : build.op('Mul', [product, build.float([gain], [])]);
  const scores = keyBias ? build.op('Add', [scaled, keyBias]) : scaled;
  return build.op('MatMul', [build.op('Softmax', [scores], { axis: -1 }), v]);
}
