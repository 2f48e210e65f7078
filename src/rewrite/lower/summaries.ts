/**
 * One softmax over summaries of all keys, and nothing exact: what the far field of the hybrid (hybrid.ts) is on its own.
 *
 *   logits = q·k̄_c + log n_c,  values v̄_c        n_c, k̄_c, v̄_c: how many keys a code has, and their means (far-field.ts)
 *   code of key j      segments   ⌊j codes / S⌋, by its position: no calibration
 *                      keys       the nearest of a calibrated codebook, by the key
 *                      pairs      the same, by key and value
 *
 * Exact to first order in the spread of q·k within a code, and exact where each code has one key. Rows are means of values. Cost in key
 * equivalents: 2 codes (sums 1, reading 1), ½ more for the assignment to a codebook, 1 with values. On heads of pre-trained models it is
 * far behind the hybrid at the same cost: what a query is close to is not in a mean (QUALITY 3.1; images: VISION).
 */
import type { Builder } from '../../onnx/build.js';
import { type Options, optionsOf } from '../plan-options.js';
import { scaledQueries, segmentsOf } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { momentsOf, nearestCodes, pseudoKeys } from './far-field.js';
import { codebook, farConstants, farCost } from './hybrid.js';
import { allKeys, type Keys } from './key-set.js';
import { beyondKeyBias, type Constants, type Inputs, type Lowering, numberOption } from './lowering.js';

export const summaries: Lowering = {
  summary:
    'one softmax over summaries of all keys, by segment or by calibrated codebook: linear time, nothing is exact',
  ...optionsOf('summaries'),
  declines: beyondKeyBias,
  constants: (site, options) => (bySegment(options) ? {} : farConstants(site, alone(options))),
  keyEquivalents: (options) => (bySegment(options) ? 2 * numberOption(options, 'codes') : farCost(alone(options))),
  lower(build, inputs, options, constants) {
    const all = allKeys(build, inputs);
    const codes = codesOf(build, inputs, { all, options, constants });
    const { keys, values, bias } = pseudoKeys(build, momentsOf(build, codes, all));
    const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
    const products = build.op('MatMul', [scaledQueries(build, inputs), flip(keys)]);
    const weights = build.op('Softmax', [build.op('Add', [products, flip(bias)])], { axis: -1 });
    return build.op('MatMul', [weights, values]);
  },
};

const bySegment = ({ assign }: Options) => assign === 'segments';

/** As options of a hybrid with nothing else in it. */
const alone = (options: Options): Options => ({ ...options, globals: 0, sinks: 0 });

/** One-hot rows [..,S,C]. */
function codesOf(
  build: Builder,
  inputs: Inputs,
  { all, options, constants }: { all: Keys; options: Options; constants: Constants },
): string {
  if (!bySegment(options)) return nearestCodes(build, inputs, all, codebook(alone(options), constants));
  const segments = segmentsOf(build, sizeOf(build, inputs.k, 2), numberOption(options, 'codes'));
  return build.op('Transpose', [segments], { perm: [0, 1, 3, 2] });
}
