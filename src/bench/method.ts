/** What a method of attention is to a bench. The registry of them is methods.ts. */
import type { Backend, Runnable } from './backend.js';
import type { LayerInputs, Part } from './reference.js';
import type { LayerShape } from './shape.js';

export interface OpenMethod {
  prepare(inputs: LayerInputs): Promise<Runnable>;
  release(): Promise<void>;
}

export interface Method {
  readonly what: string;
  /** `exact` gives softmax attention to rounding; `linear` costs O(N) and is an approximation; `low-bit` computes in few bits. */
  readonly kind: 'exact' | 'linear' | 'low-bit';
  /** A model runs wherever models do; kernels are this library's own, on WebGPU alone. */
  readonly form: 'model' | 'kernels';
  /** Whether there is a form of it for a layer like this; where there is none, no result has it. */
  takes(shape: LayerShape): boolean;
  /** Multiply-adds ÷ (N·H·(D + E)): exact attention costs the number of keys. */
  keyEquivalents(shape: LayerShape, n: number): number;
  /** @throws where the backend or the method does not take this shape */
  open(shape: LayerShape, backend: Backend): Promise<OpenMethod>;
  /**
   * What it would give without few bits, for some queries of the first heads, in float64: [rows,heads·D]. For low-bit methods that without them
   * are no exact attention, so that their error has two parts.
   */
  unrounded?(shape: LayerShape, inputs: LayerInputs, part: Part): Float64Array;
}

/** Every query sees all keys, or, in a causal layer, half of them on average. */
export function allKeys({ causal }: LayerShape, n: number): number {
  return causal ? (n + 1) / 2 : n;
}

/** Multiply-adds of a layer. */
export function products(method: Method, shape: LayerShape, n: number): number {
  return method.keyEquivalents(shape, n) * n * shape.heads * 2 * shape.width;
}
