/**
 * cosFormer features (Qin et al. 2022, arXiv 2202.08791): ReLU features that prefer near tokens,
 *   φ(x_i) = [relu(x) cos αᵢ, relu(x) sin αᵢ],  αᵢ = πi / 2L,  φ(q_i)·φ(k_j) = relu(q)·relu(k) cos(π(i − j) / 2L)
 * for positions i in 0…L − 1, L the longest length, so that every weight is ≥ 0 although features of far tokens may cancel.
 * Public code counts i from 1, which changes no difference. Not an estimate of softmax: a model is trained with it.
 * A row whose coordinates are all ≤ 0 has no weight at all: the normaliser needs a guard (public code: at least 1e-6).
 * METHODS A.18: read in code; the paper's equation number is not known to us. Verified here: the identity, to 1e-12.
 *
 * Shapes: x [N,d] → [N,2d], cosines then sines. Numerics: nothing grows. Cost: 2Nd flops, one sine and cosine a row, no bytes of constants.
 */
import { PerformersError } from '../errors.js';
import { type RowMap, type RowMapOptions, rowMap } from './row-map.js';

export interface CosformerOptions extends Pick<RowMapOptions, 'd'> {
  /** L, default 512. */
  readonly length?: number;
}

/** @throws PerformersError PF202 for d or length below 1; `phi` for positions outside 0…L − 1 */
export function cosformer({ d, length = 512 }: CosformerOptions): RowMap {
  if (!(Number.isInteger(length) && length >= 1)) {
    throw new PerformersError('PF202', `length must be an integer >= 1, got ${length}`, {
      at: 'features.length',
      mend: 'pass the longest sequence the model takes, such as 512',
    });
  }
  return rowMap(d, 2 * d, (row, into, position) => {
    if (!(position >= 0 && position < length)) {
      throw new PerformersError('PF202', `positions must be in 0…${length - 1}, got ${position}`, {
        at: 'features.length',
        mend: `make the map with length = ${position + 1} or more, or pass \`first\` >= 0`,
      });
    }
    const angle = (Math.PI * position) / (2 * length);
    for (let i = 0; i < d; i++) {
      into[i] = Math.max(0, row[i]) * Math.cos(angle);
      into[d + i] = Math.max(0, row[i]) * Math.sin(angle);
    }
  });
}
