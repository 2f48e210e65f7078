/**
 * What is known of the sign of a polynomial in sizes and index variables. A size is at least 0; an index variable, whose
 * name begins with '@', runs from 0 to below its range.
 */
import {
  add,
  constant,
  type Dim,
  divideExactly,
  divideWithRest,
  factors,
  isNonNegative,
  multiply,
  product,
  symbol,
  toNumber,
} from '../../onnx/dims.js';

/** How far each index variable runs. */
export type Ranges = ReadonlyMap<string, Dim>;

export const isIndex = (name: string) => name.startsWith('@');

export function index(name: string): Dim {
  return symbol(name);
}

/** The largest value over all indices (sign 1), or the least (sign −1), as a polynomial in sizes alone. */
function extreme(dim: Dim, ranges: Ranges, sign: 1 | -1): Dim | undefined {
  let sum = constant(0);
  for (const [monomial, coefficient] of dim.terms) {
    const names = factors(monomial);
    const indices = names.filter(isIndex);
    if (indices.length === 0) sum = add(sum, monomialOf(names, coefficient));
    else if (coefficient * sign > 0) {
      const tops = indices.map((name) => ranges.get(name));
      if (tops.some((top) => !top)) return undefined;
      const most = product(tops.map((top) => add(top ?? constant(0), constant(-1))));
      const rest = names.filter((name) => !isIndex(name));
      sum = add(sum, multiply(monomialOf(rest, coefficient), most));
    }
  }
  return sum;
}

function monomialOf(names: readonly string[], coefficient: number): Dim {
  return multiply(product(names.map(symbol)), constant(coefficient));
}

/** Whether dim ≥ 0 for all indices (true) or for none (false). */
export function signOf(dim: Dim, ranges: Ranges): boolean | undefined {
  const [bottom, top] = [extreme(dim, ranges, -1), extreme(dim, ranges, 1)];
  if (bottom && isNonNegative(bottom)) return true;
  return top && isNonNegative(add(constant(-1), top, -1)) ? false : undefined;
}

/**
 * index = quotient · size + remainder with 0 ≤ remainder < size. What is left of a row's index, a single index variable,
 * counts as less than the size of the axis that it walks along: beyond it the graph itself would read another row. An
 * index that is a single variable walks along more than the one axis.
 */
export function divideIndex(dim: Dim, size: Dim, ranges: Ranges): { quotient: Dim; remainder: Dim } | undefined {
  const { quotient, rest: remainder } = divideWithRest(dim, size);
  const within = signOf(add(add(size, constant(-1)), remainder, -1), ranges);
  const single = remainder.terms.size === 1 && remainder.key.startsWith('1*') && isIndex(remainder.key.slice(2));
  const lone = single && toNumber(quotient) !== 0;
  const isOpen = toNumber(size) === undefined || toNumber(ranges.get(remainder.key.slice(2))) === undefined;
  const fits =
    toNumber(remainder) === 0 ||
    (signOf(remainder, ranges) === true && (within === true || (lone && isOpen && within === undefined)));
  return fits ? { quotient, remainder } : undefined;
}

/**
 * The indices of an element before a reshape, from those after it. Axes are matched in groups of equal product, so that
 * what is not split or joined needs no division.
 */
export function reindex(
  at: readonly Dim[],
  to: readonly Dim[],
  from: readonly Dim[],
  ranges: Ranges,
): Dim[] | undefined {
  const result: Dim[] = from.map(() => constant(0));
  const wide = (dims: readonly Dim[]) => dims.flatMap((dim, axis) => (toNumber(dim) === 1 ? [] : [axis]));
  const size = (dims: readonly Dim[], axes: readonly number[]) =>
    product(axes.map((axis) => dims[axis] ?? constant(1)));
  const [left, right] = [wide(to), wide(from)];
  while (left.length > 0 || right.length > 0) {
    const [after, before]: [number[], number[]] = [left.splice(-1), right.splice(-1)];
    for (;;) {
      const [a, b] = [size(to, after), size(from, before)];
      if (a.key === b.key) break;
      const short = divideExactly(b, a) ? { axes: after, rest: left } : { axes: before, rest: right };
      const next = short.rest.pop();
      if (next === undefined) return undefined;
      short.axes.unshift(next);
    }
    let flat = constant(0);
    for (const axis of after) flat = add(multiply(flat, to[axis] ?? constant(1)), at[axis] ?? constant(0));
    const [outermost, ...inner] = before;
    for (const axis of inner.reverse()) {
      const split = divideIndex(flat, from[axis] ?? constant(1), ranges);
      if (!split) return undefined;
      result[axis] = split.remainder;
      flat = split.quotient;
    }
    if (outermost !== undefined) result[outermost] = flat;
  }
  return result;
}
