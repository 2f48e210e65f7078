/**
 * A tensor of a graph, or one still to be computed from such tensors. Patterns describe what they found in these
 * terms and stay pure; a lowering turns them into nodes with Builder.emit().
 */
export type Expr =
  | { readonly value: string }
  | { readonly constant: Constant }
  | {
      readonly op: string;
      readonly domain?: string;
      readonly inputs: readonly (Expr | undefined)[];
      readonly attributes?: Readonly<Record<string, AttributeValue>>;
    };

export interface Constant {
  readonly type: 'float' | 'int64' | 'bool';
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** A number is an int when integral (ONNX ints dominate); floats are written { float }. */
export type AttributeValue = number | string | readonly number[] | { readonly float: number };

/** Value name that stands for a tensor filled in when an expression is emitted: Builder.emit(expr, filling). */
export const hole = '\0hole';
