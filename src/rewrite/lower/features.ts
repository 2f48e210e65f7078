/**
 * Linear attention with positive random features in the double-softmax form (METHODS 0.3):
 *
 *   A  = Ω y − ½|y|² + 2b + bias   [B,H,M,S]      L = logsumexpₛ A  [B,H,M,1]      KV = softmaxₛ(A) v  [B,H,M,E]
 *   O  = softmaxₘ(x Ωᵀ + Lᵀ) KV                   x = √s q, y = √s k (balanced.ts)
 *
 * It equals Σφ(x)φ(y)v / Σφ(x)φ(y) with φ(x)ᵣ = exp(ωᵣ·x − ½|x|² + bᵣ) and needs neither epsilon nor overflow guard. Every positive map
 * is this operator with constants of its own (features-constants.ts): Ω drawn from a seed, one draw a head, or fitted to the moments
 * of queries and keys by calibration; for ADERF an Ω for x, another for y, and |Gy|² in place of |y|². A b that is the same for all
 * features cancels and is left out. Masked keys get a very low bias in A.
 *
 * Cost 2M key equivalents. What it costs in accuracy is another matter: on pre-trained heads it is another model.
 */
import { optionsOf } from '../plan-options.js';
import { balanceFactors, beyondFeatures } from './balanced.js';
import { reduceOver, sumOver } from './blocks.js';
import { drawnBy, sidesOf } from './feature-sides.js';
import { featureShapes } from './features-constants.js';
import { type Lowering, numberOption } from './lowering.js';
import { unmaskedValues } from './masked.js';

export const features: Lowering = {
  summary: 'positive random features (FAVOR+ and its kin): linear time; for models trained with them',
  ...optionsOf('features'),
  declines: beyondFeatures,
  keyEquivalents: (options) => 2 * numberOption(options, 'm'),
  constants: (site, options) => featureShapes(site, drawnBy(options)),
  lower(build, inputs, options, constants) {
    const { queryOmega, keyOmega, keyBasis, bias } = sidesOf(build, inputs, { options, constants });
    const kT = inputs.kT();
    const own = keyBasis ? build.op('MatMul', [keyBasis, kT]) : undefined;
    // A key that is stored untransposed is summed along its rows, and its Transpose is left to fuse with the product.
    const squares =
      own || inputs.site.operands.k.layout === 'bhdn'
        ? squareSum(own ?? kT, 2)
        : build.op('Transpose', [squareSum(inputs.k, 3)], { perm: [0, 1, 3, 2] });
    const [, toY] = balanceFactors(inputs.site);
    const norms = build.op('Mul', [squares, build.float([-0.5 * toY * toY], [])]);
    const offset = inputs.keyBias ? build.op('Add', [norms, inputs.keyBias]) : norms;
    const logits = build.op('Add', [build.op('MatMul', [keyOmega, kT]), offset]);
    const keys = bias ? build.op('Add', [logits, build.op('Add', [bias, bias])]) : logits;
    const mass = reduceOver(build, 'ReduceLogSumExp', keys, 3);
    const summaries = build.op('MatMul', [build.op('Softmax', [keys], { axis: -1 }), unmaskedValues(build, inputs)]);
    const queries = build.op('Add', [
      build.op('MatMul', [inputs.q, queryOmega]),
      build.op('Transpose', [mass], { perm: [0, 1, 3, 2] }),
    ]);
    return build.op('MatMul', [build.op('Softmax', [queries], { axis: -1 }), summaries]);

    function squareSum(value: string, axis: number): string {
      return sumOver(build, build.op('Mul', [value, value]), [axis]);
    }
  },
};
