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

/** An operator on expressions; names of graph values and whole numbers (as int64 scalars) may stand for themselves. */
export function call(
  op: string,
  inputs: readonly (Expr | string | number | undefined)[],
  attributes?: Readonly<Record<string, AttributeValue>>,
  domain?: string,
): Expr {
  const read = (input: Expr | string | number | undefined): Expr | undefined => {
    if (typeof input === 'string') return { value: input };
    return typeof input === 'number' ? ints([input], []) : input;
  };
  return { op, inputs: inputs.map(read), attributes, domain };
}

export function ints(data: readonly number[], dims: readonly number[] = [data.length]): Expr {
  return { constant: { type: 'int64', dims, data } };
}

export function float(value: number): Expr {
  return { constant: { type: 'float', dims: [], data: [value] } };
}
