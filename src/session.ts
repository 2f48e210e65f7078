/** A tensor as onnxruntime's Tensor has it; any object of this shape will do. */
export interface TensorLike {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayLike<number> | ArrayLike<bigint> | ArrayLike<string>;
}
export type Feeds = Readonly<Record<string, TensorLike>>;

/** What `auto` and `verify` need of a runtime; adapters/onnxruntime.ts makes one from an onnxruntime module. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Feeds): Promise<Record<string, TensorLike>>;
  release(): Promise<void>;
}
export type SessionFactory = (bytes: Uint8Array) => Promise<Session>;
