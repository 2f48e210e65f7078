import type { Dim } from './dims.js';

/** What is proven of a value. Absent fields are unknown. */
export interface ValueType {
  /** ONNX element type; 0 unknown. */
  readonly elemType: number;
  readonly shape?: readonly Dim[];
  /** Elements, row-major, of small tensors that are computed from shapes and constants. */
  readonly data?: readonly (Dim | undefined)[];
}
