import type { InferenceSession, Tensor } from 'onnxruntime-common';

export type SessionOptions = InferenceSession.SessionOptions;

/**
 * What is used of an onnxruntime module. Written out, because the types of two releases of onnxruntime-common are
 * not assignable to each other, while every release from 1.17 on has this much.
 */
export interface OnnxRuntime {
  readonly InferenceSession: { create(model: Uint8Array, options?: SessionOptions): Promise<OrtSession> };
  readonly Tensor: new (type: Tensor.Type, data: Tensor.DataType, dims?: readonly number[]) => OrtTensor;
  readonly env?: { readonly versions: { readonly node?: string } };
}

export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: Tensor.DataType;
  readonly location: string;
  /** Downloads the data when they lie on the GPU. */
  getData(): Promise<Tensor.DataType>;
}
