/** One fused operator in one of its forms, with the sizes to run it at, and tensors that such cases are made of. */
import type { Attributes } from '../../src/onnx/build.js';
import type { Site } from '../../src/rewrite/site.js';
import type { FusedModel, Input, Sizes } from '../fused-model.js';

export interface Case extends FusedModel {
  readonly name: string;
  readonly sizes: readonly Sizes[];
  readonly site: Partial<Site>;
  /** Attributes that must show; a scale 1 % off by default. */
  readonly mutant?: Attributes;
}

export const float = (...dims: Input['dims']): Input => ({ dims });
export const whole = (type: 'int32' | 'int64' | 'bool', dims: Input['dims'], data: Input['data']): Input => ({
  type,
  dims,
  data,
});
export const [H, D] = [4, 16];
export const W = H * D;
export const [none, padding] = [
  { mask: 'none', causal: false },
  { mask: 'padding', causal: false },
];
export const prompt = [
  { B: 1, N: 1 },
  { B: 2, N: 2 },
  { B: 2, N: 17 },
];
export const steps = prompt.flatMap((sizes) => [0, 5].map((P) => ({ ...sizes, P })));
/** Row b keeps all but its last b keys (at least one). */
const keptOf = (keys: number, b: number) => Math.max(1, keys - b);
export const rows = ({ B }: Sizes) => Array.from({ length: B }, (_, b) => b);
export const keep = (keys: (sizes: Sizes) => number) => (sizes: Sizes) =>
  rows(sizes).flatMap((b) => Array.from({ length: keys(sizes) }, (_, j) => Number(j < keptOf(keys(sizes), b))));
export const lengths =
  (keys: (sizes: Sizes) => number, less = 0) =>
  (sizes: Sizes) =>
    rows(sizes).map((b) => keptOf(keys(sizes), b) - less);
export const ofN = ({ N }: Sizes) => N;
export const ofAll = ({ N, P = 0 }: Sizes) => N + P;

export const qkv = [float('B', 'N', W), float('B', 'N', W), float('B', 'N', W)];
export const cache = [float('B', H, 'P', D), float('B', H, 'P', D)];
