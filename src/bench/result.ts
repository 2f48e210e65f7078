/**
 * A bench's result, `performers.bench/1`: docs/bench-json.md says what every field means, docs/bench.schema.json is its JSON
 * Schema. Times are in milliseconds, sizes in bytes.
 */
import type { Method } from './method.js';
import type { MethodName } from './methods.js';
import type { ShapeName } from './shape.js';

export interface BenchResult {
  readonly schema: 'performers.bench/1';
  /** Says where it was measured, and that no speed follows from it where that was software in the place of a GPU. */
  readonly title: string;
  readonly date: string;
  readonly machine: Machine;
  readonly shape: {
    readonly name: ShapeName;
    readonly heads: number;
    readonly width: number;
    readonly causal: boolean;
  };
  readonly settings: {
    readonly lengths: readonly number[];
    readonly repeats: number;
    readonly limitMs: number;
    readonly seed: number;
  };
  readonly methods: readonly {
    readonly name: MethodName;
    readonly kind: Method['kind'];
    readonly form: Method['form'];
    readonly what: string;
  }[];
  readonly backends: readonly BackendResult[];
  readonly cells: readonly Cell[];
  readonly summary: readonly Summary[];
}

export interface Machine {
  /** Processor, or what a browser says of itself. */
  readonly what: string;
  /** Logical processors. */
  readonly cores: number;
  /** Mean number of running processes over the last 15 minutes before the run, where the system tells. */
  readonly load?: number;
  /** By name: performers.js, onnxruntime, Node or the browser. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of performers.js, where it was run from a repository. */
  readonly commit?: string;
}

export interface BackendResult {
  readonly name: string;
  readonly what: string;
  readonly threads: number;
  /** What `peakBytes` counts. */
  readonly memory: string;
  readonly adapter?: Adapter;
  /** Measured on this device before anything else; absent where that failed, or where it would say nothing (software adapter). */
  readonly roofline?: Roofline;
}

export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** It computes on the processor: nothing about speed on a GPU follows. */
  readonly software: boolean;
}

export interface Roofline {
  /** Bytes read and written a millisecond by an elementwise negation. */
  readonly copyBytesPerMs: number;
  /** Of a product of two square matrices, float32. */
  readonly multiplyAddsPerMs: number;
}

interface CellKey {
  readonly backend: string;
  readonly method: MethodName;
  readonly n: number;
}

export type Cell = CellKey & (Measured | NotMeasured);

export interface Measured {
  readonly status: 'ok';
  readonly ms: { readonly median: number; readonly p20: number; readonly p80: number };
  readonly runs: number;
  readonly peakBytes?: number;
  /** Relative RMS error on 8 queries of all heads, against float64. */
  readonly error: number;
  /**
   * Of methods with features in few bits: the part of it that the bits make, relative RMS on the same queries of the first two heads against the
   * same features unrounded, in float64.
   */
  readonly quantisationError?: number;
  /** Shares of the roofline: multiply-adds of the method, and bytes of q, k, v and out, over what the device does in that time. */
  readonly share?: { readonly matmul: number; readonly copy: number };
}

/** `failed`: it broke. `limit`: it took, or was going to take, more time or memory than allowed. No greater length of the method was tried. */
export interface NotMeasured {
  readonly status: 'failed' | 'limit';
  readonly reason: string;
}

export interface Summary {
  readonly backend: string;
  readonly method: MethodName;
  /** Exponent of the growth of time over the last four lengths that ran. */
  readonly slope?: number;
  /** N*: from where on it is faster than every exact method of a model on this backend; of linear and low-bit methods. */
  readonly crossover?: number | 'always' | 'never';
  /** Greatest length that ran. */
  readonly longest?: number;
}
