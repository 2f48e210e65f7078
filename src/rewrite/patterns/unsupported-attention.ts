/** Operators that hold attention but are left alone, each with the reason. */
import { operatorName } from '../../onnx/graph.js';
import { definePattern } from './pattern.js';

const packed = 'sequences of a batch are packed without padding, by offsets that only a GPU kernel reads';
const quantised = 'scores are computed on integers within the operator';
const sparse = 'every query looks at blocks of keys chosen by the operator: not softmax over all keys';
const linear = 'already linear: no softmax over keys';

const reasons: Readonly<Record<string, string>> = {
  PackedAttention: packed,
  PackedMultiHeadAttention: packed,
  PagedAttention: 'keys lie in pages that a block table points at',
  QAttention: quantised,
  QOrderedAttention: quantised,
  QOrderedLongformerAttention: quantised,
  LongformerAttention: 'a window and global tokens with projections of their own, within the operator',
  SparseAttention: sparse,
  DynamicSparseAttention: sparse,
  CompressedSparseAttention: sparse,
  LinearAttention: linear,
  DecoderAttention: 'cache and kind of attention are chosen by flags that are known when the model runs only',
  DecoderMaskedSelfAttention: 'one step of a GPU decoder that shares its cache between beams',
};

export const unsupportedAttention = definePattern<never>({
  summary: 'operators that are left alone: packed, paged, sparse, quantised, linear',
  anchors: Object.keys(reasons).map((op) => `com.microsoft.${op}`),
  pattern: (node) => ({ refused: `${node.opType}: ${reasons[operatorName(node).split('.').pop() ?? '']}` }),
  check: () => ({ unrelated: true }),
});
