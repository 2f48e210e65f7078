/** Every kernel by the name of its file. Tests and documentation iterate over it; code takes the kernel itself, so that one does not pull the others. */
import { addPartsKernel } from './gen/add-parts.js';
import { assignKernel } from './gen/assign.js';
import { attendKernel } from './gen/attend.js';
import { blockCodesKernel } from './gen/block-codes.js';
import { causalPairsKernel } from './gen/causal-pairs.js';
import { codeProductKernel } from './gen/code-product.js';
import { codeSumsKernel } from './gen/code-sums.js';
import { compactKernel } from './gen/compact.js';
import { cosineCodesKernel } from './gen/cosine-codes.js';
import { estimateKernel } from './gen/estimate.js';
import { hybridKernel } from './gen/hybrid.js';
import { keyBiasKernel } from './gen/key-bias.js';
import { mergeKernel } from './gen/merge.js';
import { moveKernel } from './gen/move.js';
import { quantizeKernel } from './gen/quantize.js';
import { topKeysKernel } from './gen/top-keys.js';
import type { Kernel } from './kernel.js';

export const kernels = {
  attend: attendKernel,
  merge: mergeKernel,
  move: moveKernel,
  key_bias: keyBiasKernel,
  hybrid: hybridKernel,
  top_keys: topKeysKernel,
  assign: assignKernel,
  code_sums: codeSumsKernel,
  add_parts: addPartsKernel,
  causal_pairs: causalPairsKernel,
  quantize: quantizeKernel,
  estimate: estimateKernel,
  compact: compactKernel,
  cosine_codes: cosineCodesKernel,
  block_codes: blockCodesKernel,
  code_product: codeProductKernel,
} satisfies Record<string, Kernel>;
