import type { Dim } from '../../onnx/dims.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import type { Term, Terms } from './term.js';

/** What a rule sees of a node. */
export interface View {
  readonly node: NodeProto;
  /** Which of the node's outputs is asked for. */
  readonly which: number;
  readonly terms: Terms;
  readonly output: readonly Dim[] | undefined;
  shape(input: number): readonly Dim[] | undefined;
  /** Known elements of a small integer tensor. */
  data(input: number): readonly (Dim | undefined)[] | undefined;
  int(name: string, fallback: number): number;
  has(input: number): boolean;
  read(input: number, at: readonly Dim[]): Term;
  /** Notes that two sizes are one. */
  equate(a: Dim, b: Dim): void;
  /** As broadcasting reads an input: the last axes, and the first element of axes of size 1. */
  broadcast(input: number, at: readonly Dim[]): Term | undefined;
}

export type Rule = (view: View, at: readonly Dim[]) => Term | undefined;
