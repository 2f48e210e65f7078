import type { Dim } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
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

/** Elements of values as terms, and what was learnt on the way. */
export interface Reader {
  readonly terms: Terms;
  /** The element of a value, or of an expression over values, at some indices, one an axis. */
  element(of: Expr, at: readonly Dim[]): Term;
  shape(of: Expr): readonly Dim[] | undefined;
  /** Whether it is known to be int64. */
  isInt64(of: Expr): boolean;
  /** What a leaf's name stands for. */
  source(leaf: string): Expr;
  /** What is laid out [B or 1,1,1,S] already and holds a term that depends on the key alone. */
  keyValue(term: Term): Expr | undefined;
  /**
   * Reads, notes what sizes are broadcast against each other and so are one, and reads once more where that tells
   * something new. `more` are equations of the caller's, made after the first reading.
   */
  settle(read: () => Term, more: () => readonly Dim[]): Term;
  /** A size by what it is known to equal. */
  replaced(size: Dim): Dim;
}
