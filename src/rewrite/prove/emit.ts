/** A term that depends on batch and key alone, as an expression [B or 1, 1, 1, S or 1] in float32. */
import { type Dim, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import type { Reader } from './rule.js';
import { numberOf, type Term } from './term.js';

const [float, bool] = [1, 9];
const number = (value: number): Expr => ({ constant: { type: 'float', dims: [], data: [value] } });
const ints = (data: readonly number[]): Expr => ({ constant: { type: 'int64', dims: [data.length], data } });
const cast = (input: Expr, to: number): Expr => ({ op: 'Cast', inputs: [input], attributes: { to } });
const zero: Expr = { constant: { type: 'int64', dims: [], data: [0] } };
const reshaped = (input: Expr, shape: readonly number[]): Expr => ({ op: 'Reshape', inputs: [input, ints(shape)] });

/** The truth of a number: of a comparison the comparison itself. */
function truth(expr: Expr): Expr {
  const [source] = 'op' in expr && expr.op === 'Cast' ? expr.inputs : [];
  return source && 'op' in source && comparisons.has(source.op) ? source : cast(expr, bool);
}

const comparisons = new Set(['Less', 'Equal']);

/** Truth as a number: And, Or and Not on 1 and 0. */
const asNumbers: Readonly<Record<string, (x: Expr, y: Expr) => Expr>> = {
  And: (x, y) => ({ op: 'Mul', inputs: [x, y] }),
  Or: (x, y) => ({ op: 'Max', inputs: [x, y] }),
  Not: (x) => ({ op: 'Sub', inputs: [number(1), x] }),
  Bool: (x) => cast(cast(x, bool), float),
  CumSum: (x) => ({ op: 'CumSum', inputs: [x, { constant: { type: 'int64', dims: [], data: [3] } }] }),
};
const asTheyAre = new Set([
  'Add',
  'Mul',
  'Div',
  'Pow',
  'Max',
  'Min',
  'Abs',
  'Exp',
  'Log',
  'Sqrt',
  'Floor',
  'Ceil',
  'Sign',
  'Reciprocal',
]);

/** @param keys a tensor whose axis `axis` is the keys: where positions are needed, they are counted along it */
export function emitTerm(
  reader: Reader,
  term: Term,
  keys: { readonly expr: Expr; readonly axis: number },
): Expr | undefined {
  const made = new Map<Term, Expr | undefined>();
  /** What was int64 before it was read as a number. */
  const int64s = new Map<Expr, Expr>();

  function visit(at: Term): Expr | undefined {
    if (!made.has(at)) made.set(at, make(at));
    return made.get(at);
  }

  function make(at: Term): Expr | undefined {
    const value = numberOf(at);
    if (value !== undefined) return number(value);
    const known = reader.keyValue(at);
    if (known !== undefined) return known;
    if ('poly' in at) return ramp(at);
    if ('leaf' in at) return element(at);
    if ('atLeast0' in at) return undefined;
    const inputs = at.inputs.map(visit);
    if (!inputs.every((input) => input !== undefined)) return undefined;
    if (at.op === 'Where') return { op: 'Where', inputs: [truth(inputs[0] ?? number(0)), ...inputs.slice(1)] };
    const [whole] = (at.op === 'Bool' && asInt64s(inputs)) || [];
    if (whole) return cast({ op: 'Less', inputs: [zero, { op: 'Abs', inputs: [whole] }] }, float);
    if (comparisons.has(at.op)) return cast({ op: at.op, inputs: asInt64s(inputs) ?? inputs }, float);
    if (asTheyAre.has(at.op)) return { op: at.op, inputs };
    return asNumbers[at.op]?.(inputs[0] ?? number(0), inputs[1] ?? number(0));
  }

  /** slope · j + offset */
  function ramp({ poly }: { readonly poly: Dim }): Expr | undefined {
    const slope = poly.terms.get('@j') ?? 0;
    const offset = poly.terms.get('') ?? 0;
    if (poly.terms.size > (slope === 0 ? 0 : 1) + (offset === 0 ? 0 : 1)) return undefined;
    const scalar = (n: number): Expr => ({ constant: { type: 'int64', dims: [], data: [n] } });
    const length: Expr = {
      op: 'Gather',
      inputs: [{ op: 'Shape', inputs: [keys.expr] }, scalar(keys.axis)],
      attributes: { axis: 0 },
    };
    const positions = cast({ op: 'Range', inputs: [scalar(0), length, scalar(1)] }, float);
    const scaled: Expr = { op: 'Mul', inputs: [reshaped(positions, [1, 1, 1, -1]), number(slope)] };
    return { op: 'Add', inputs: [scaled, number(offset)] };
  }

  /** A value read at [b, j] in some order, its other axes at fixed places. */
  function element({ leaf, at }: Extract<Term, { leaf: string }>): Expr | undefined {
    let value = reader.source(leaf);
    const order: string[] = [];
    for (const [axis, place] of [...at.entries()].reverse()) {
      const fixed = toNumber(place);
      if (fixed !== undefined) {
        value = {
          op: 'Gather',
          inputs: [value, { constant: { type: 'int64', dims: [], data: [fixed] } }],
          attributes: { axis },
        };
      } else if (place.key === '1*@b' || place.key === '1*@j') order.unshift(place.key);
      else return undefined;
    }
    const [first, second] = order;
    if (order.length > 2 || (first === second && first !== undefined)) return undefined;
    if (first === '1*@j' && second) value = { op: 'Transpose', inputs: [value], attributes: { perm: [1, 0] } };
    const shape = second ? [0, 1, 1, -1] : first === '1*@b' ? [-1, 1, 1, 1] : [1, 1, 1, -1];
    const placed = reshaped(value, shape);
    const read = cast(placed, float);
    if (reader.isInt64(value)) int64s.set(read, placed);
    return read;
  }

  /** Whole numbers are compared as such: onnxruntime does it on the CPU, where masks come from and tables of them are made. */
  function asInt64s(sides: readonly Expr[]): Expr[] | undefined {
    const whole = sides.map((side) => {
      if (!('constant' in side)) return int64s.get(side);
      const { data, dims } = side.constant;
      return data.every(Number.isSafeInteger) ? { constant: { type: 'int64' as const, dims, data } } : undefined;
    });
    return whole.every((side) => side !== undefined) ? whole : undefined;
  }

  return visit(term);
}
