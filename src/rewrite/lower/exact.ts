/**
 * softmax(gain · q·kᵀ + bias) · v once more: the identity plan. A model rewritten with it must give its own outputs;
 * where it does not, the surgery is wrong, whatever the approximation.
 *
 * Cost O(N·S) time and memory. A fully masked row gives zeros, as in every lowering, where the mask depends on the key
 * alone; a bias that is added whole gives what it gives in the original.
 */

import type { Builder } from '../../onnx/build.js';
import { optionsOf } from '../plan-options.js';
import type { Inputs, Lowering } from './lowering.js';
import { unmaskedValues } from './masked.js';

export const exact: Lowering = {
  summary: 'softmax again: proves the rewrite, changes nothing',
  ...optionsOf('exact'),
  keyEquivalents: (_, tokens) => tokens,
  lower(build, inputs) {
    return attend(build, inputs, { q: inputs.q, kT: inputs.kT(), v: unmaskedValues(build, inputs) });
  },
};

/** Operands of one block of queries: q [B,H,n,D], kT [B,H,D,S], v [B,H,S,E], and which queries they are (all, if left out). */
export interface QueryBlock {
  readonly q: string;
  readonly kT: string;
  readonly v: string;
  readonly rows?: string;
}

/** → [B,H,n,E] */
export function attend(build: Builder, inputs: Inputs, { q, kT, v, rows }: QueryBlock): string {
  return weigh(build, inputs, build.op('MatMul', [q, kT]), { v, rows });
}

/** The same from products q·kᵀ. */
export function weigh(
  build: Builder,
  { gain, site, bias: whole, keyBias }: Pick<Inputs, 'gain' | 'site' | 'bias' | 'keyBias'>,
  product: string,
  { v, rows }: Pick<QueryBlock, 'v' | 'rows'>,
): string {
  const { rounding, guarded } = site.operands;
  if (rounding) {
    const probabilities = build.op('Softmax', [build.emit(rounding.scores, product)], { axis: -1 });
    return build.op('MatMul', [build.emit(rounding.probabilities, probabilities), v]);
  }
  const scaled = gain === 1 ? product : build.op('Mul', [product, build.float([gain], [])]);
  const bias = whole ? whole(build, rows) : keyBias;
  const scores = bias ? build.op('Add', [scaled, bias]) : scaled;
  const weights = build.op('Softmax', [scores], { axis: -1 });
  const kept = guarded ? build.op('Where', [build.op('IsNaN', [weights]), build.float([0], []), weights]) : weights;
  return build.op('MatMul', [kept, v]);
}
