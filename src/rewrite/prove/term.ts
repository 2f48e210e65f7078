/**
 * One element of a tensor as a function of its indices: a polynomial where it is one, a case distinction where the
 * graph makes one, and what nothing is known of as a leaf. Terms fold as they are made, and equal terms are one object.
 */
import { add, constant, type Dim, multiply, symbolsOf, toNumber } from '../../onnx/dims.js';
import { isIndex, type Ranges, signOf } from './affine.js';

export type Term =
  | (Head & { readonly poly: Dim })
  /** 1 where the polynomial, whole for whole indices, is at least 0. */
  | (Head & { readonly atLeast0: Dim })
  /** An element of a value that nothing is known of; `logical` where the value is boolean. */
  | (Head & { readonly leaf: string; readonly at: readonly Dim[]; readonly logical: boolean })
  | (Head & { readonly op: string; readonly inputs: readonly Term[] });

interface Head {
  readonly id: number;
  /** Index variables it depends on. */
  readonly uses: ReadonlySet<string>;
}

/** Operators on numbers; truth is 1 and 0. */
const numeric: Readonly<Record<string, (...x: number[]) => number>> = {
  Add: (x, y) => x + y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y,
  Pow: (x, y) => x ** y,
  Max: Math.max,
  Min: Math.min,
  And: (x, y) => Number(x && y),
  Or: (x, y) => Number(x || y),
  Xor: (x, y) => Number(!x !== !y),
  Not: (x) => Number(!x),
  Less: (x, y) => Number(x < y),
  Equal: (x, y) => Number(x === y),
  Where: (c, x, y) => (c ? x : y),
  Bool: (x) => Number(x !== 0),
  Abs: Math.abs,
  Exp: Math.exp,
  Log: Math.log,
  Sqrt: Math.sqrt,
  Floor: Math.floor,
  Ceil: Math.ceil,
  Sign: Math.sign,
  Reciprocal: (x) => 1 / x,
};
const logical = new Set(['And', 'Or', 'Xor', 'Not', 'Less', 'Equal', 'Bool']);

/** What the other operators are in terms of these. */
const derived: Readonly<Record<string, (t: Terms, ...x: Term[]) => Term>> = {
  Sub: (t, x, y) => t.apply('Add', x, t.apply('Mul', t.number(-1), y)),
  Neg: (t, x) => t.apply('Mul', t.number(-1), x),
  Greater: (t, x, y) => t.apply('Less', y, x),
  LessOrEqual: (t, x, y) => t.apply('Not', t.apply('Less', y, x)),
  GreaterOrEqual: (t, x, y) => t.apply('Not', t.apply('Less', x, y)),
  Sum: (t, ...x) => x.reduce((a, b) => t.apply('Add', a, b)),
};

export interface Terms {
  readonly ranges: Ranges;
  number(value: number): Term;
  poly(dim: Dim): Term;
  leaf(value: string, at: readonly Dim[], logical: boolean): Term;
  /** An elementwise operator of the standard set, or one of this file; others stay as they are. */
  apply(op: string, ...inputs: Term[]): Term;
  /** The term with what is assumed of its conditions put in, by their ids. */
  assume(term: Term, truth: ReadonlyMap<number, boolean>): Term;
}

/** True for an operator that is given as many inputs as it takes; a damaged graph may give it fewer. */
export function knows(op: string, inputs: number): boolean {
  if (Object.hasOwn(derived, op)) return inputs >= Math.max(1, derived[op].length - 1);
  return Object.hasOwn(numeric, op) && inputs >= numeric[op].length;
}

export function numberOf(term: Term): number | undefined {
  return 'poly' in term ? toNumber(term.poly) : undefined;
}

function isLogical(term: Term): boolean {
  const value = numberOf(term);
  if (value !== undefined) return value === 0 || value === 1;
  return 'atLeast0' in term || ('leaf' in term && term.logical) || ('op' in term && logical.has(term.op));
}

export function makeTerms(ranges: Ranges): Terms {
  const made = new Map<string, Term>();
  const intern = (key: string, uses: Iterable<string>, make: (head: Head) => Term): Term => {
    const known = made.get(key);
    if (known) return known;
    const term = make({ id: made.size, uses: new Set(uses) });
    made.set(key, term);
    return term;
  };
  const usesOf = (dims: readonly Dim[]) => dims.flatMap((dim) => symbolsOf(dim).filter(isIndex));

  const terms: Terms = {
    ranges,
    number: (value) => terms.poly(constant(value)),
    poly: (dim) => intern(`p${dim.key}`, usesOf([dim]), (head) => ({ ...head, poly: dim })),
    leaf: (value, at, isBool) =>
      intern(`l${value}[${at.map(({ key }) => key)}]`, usesOf(at), (head) => ({
        ...head,
        leaf: value,
        at,
        logical: isBool,
      })),
    apply(op, ...inputs) {
      const other = derived[op];
      if (other) return other(terms, ...inputs);
      return simplify(op, inputs) ?? operation(op, inputs);
    },
    assume(term, truth) {
      const seen = new Map<Term, Term>();
      const visit = (at: Term): Term => {
        const given = truth.get(at.id);
        if (given !== undefined) return terms.number(Number(given));
        if (!('op' in at)) return at;
        const known = seen.get(at) ?? terms.apply(at.op, ...at.inputs.map(visit));
        seen.set(at, known);
        return known;
      };
      return visit(term);
    },
  };

  const operation = (op: string, inputs: readonly Term[]) =>
    intern(
      `${op}(${inputs.map(({ id }) => id)})`,
      inputs.flatMap(({ uses }) => [...uses]),
      (head) => ({
        ...head,
        op,
        inputs,
      }),
    );

  /** dim ≥ 0, written so that equal conditions and their opposites share one term. */
  function condition(dim: Dim): Term {
    const sign = signOf(dim, ranges);
    if (sign !== undefined) return terms.number(Number(sign));
    const first = [...dim.terms].sort(([a], [b]) => (a < b ? -1 : 1)).find(([monomial]) => monomial !== '');
    const flip = (first?.[1] ?? 1) < 0;
    // −dim − 1 ≥ 0 is the opposite, dim being whole.
    const kept = flip ? add(constant(-1), dim, -1) : dim;
    const atom = intern(`c${kept.key}`, usesOf([kept]), (head) => ({ ...head, atLeast0: kept }));
    return flip ? terms.apply('Not', atom) : atom;
  }

  function simplify(op: string, inputs: readonly Term[]): Term | undefined {
    const numbers = inputs.map(numberOf);
    const compute = Object.hasOwn(numeric, op) ? numeric[op] : undefined;
    if (compute && numbers.every((x) => x !== undefined)) return terms.number(compute(...numbers));
    const [a, b, c] = inputs;
    if (!a) return undefined;
    if (!b) return unary(op, a);
    const [x, y] = numbers;
    const [p, q] = [polynomial(a), polynomial(b)];
    if (compute && op !== 'Where' && (p || q)) {
      // What is done to every branch of a case distinction folds there.
      const [of, spread] = p ? [b, (x: Term) => terms.apply(op, a, x)] : [a, (x: Term) => terms.apply(op, x, b)];
      const [test, then, otherwise] = isBranching(of) || (isChoice(of) && (x ?? y) !== undefined) ? of.inputs : [];
      if (test && then && otherwise) return terms.apply('Where', test, spread(then), spread(otherwise));
    }
    switch (op) {
      case 'Add':
        return x === 0 ? b : y === 0 ? a : p && q ? terms.poly(add(p, q)) : undefined;
      case 'Mul':
        if (x === 0 || y === 0) return terms.number(0);
        return x === 1 ? b : y === 1 ? a : p && q ? terms.poly(multiply(p, q)) : undefined;
      case 'Less':
        return p && q && isWhole(p) && isWhole(q) ? condition(add(add(q, p, -1), constant(-1))) : undefined;
      case 'Equal': {
        if (a === b) return terms.number(1);
        const difference = p && q && isWhole(p) && isWhole(q) ? add(p, q, -1) : undefined;
        if (!difference) return undefined;
        return terms.apply('And', condition(difference), condition(add(constant(0), difference, -1)));
      }
      case 'And':
        return x === 0 || y === 0 ? terms.number(0) : x !== undefined ? b : y !== undefined || a === b ? a : undefined;
      case 'Or':
        return x || y ? terms.number(1) : x === 0 ? b : y === 0 || a === b ? a : undefined;
      case 'Max':
      case 'Min':
        return a === b ? a : undefined;
      case 'Where':
        if (x !== undefined || b === c) return x === 0 ? c : b;
        if (!isLogical(a) || !c || y === undefined) return undefined;
        return y === 1 && numberOf(c) === 0 ? a : y === 0 && numberOf(c) === 1 ? terms.apply('Not', a) : undefined;
    }
    return undefined;
  }

  function unary(op: string, a: Term): Term | undefined {
    if (Object.hasOwn(numeric, op) && op !== 'Not' && (isBranching(a) || isChoice(a))) {
      const [test = a, then = a, otherwise = a] = a.inputs;
      return terms.apply('Where', test, terms.apply(op, then), terms.apply(op, otherwise));
    }
    if (op === 'Not' && 'op' in a && a.op === 'Not') return a.inputs[0];
    if (op === 'Bool') return isLogical(a) ? a : undefined;
    const p = polynomial(a);
    if (op !== 'Abs' || !p || !isWhole(p)) return undefined;
    return terms.apply('Where', condition(p), a, terms.apply('Neg', a));
  }

  return terms;
}

type Choice = Extract<Term, { op: string }>;

/** A choice between two numbers. */
function isChoice(term: Term): term is Choice {
  return 'op' in term && term.op === 'Where' && term.inputs.slice(1).every((x) => numberOf(x) !== undefined);
}

/** A choice between polynomials, made by position alone. */
function isBranching(term: Term): term is Choice {
  if (!('op' in term) || term.op !== 'Where') return false;
  const [test, ...branches] = term.inputs;
  return test !== undefined && isPositional(test) && branches.every((x) => 'poly' in x || isBranching(x));
}

function isPositional(term: Term): boolean {
  return 'poly' in term || 'atLeast0' in term || ('op' in term && term.inputs.every(isPositional));
}

/** Sizes and positions are finite; infinities fold as numbers only. */
function polynomial(term: Term): Dim | undefined {
  return 'poly' in term && [...term.poly.terms.values()].every(Number.isFinite) ? term.poly : undefined;
}

const isWhole = (dim: Dim) => [...dim.terms.values()].every(Number.isInteger);

/** Bounds of a term whose leaves are masks: 0 to 1, or additive and not above 0. */
export function boundsOf(term: Term): readonly [number, number] {
  const value = numberOf(term);
  if (value !== undefined) return [value, value];
  if ('poly' in term) return [-Infinity, Infinity];
  if (isLogical(term) || 'leaf' in term) return [0, 1];
  if (!('op' in term)) return [-Infinity, Infinity];
  const inputs = term.inputs.map(boundsOf);
  const [a = [0, 0], b = [0, 0], c = [0, 0]] = inputs;
  switch (term.op) {
    case 'Add':
      return [a[0] + b[0], a[1] + b[1]];
    case 'Mul': {
      // 0 · ∞ is 0 here: the infinity is a bound, not a value.
      const ends = a.flatMap((x) => b.map((y) => (x === 0 || y === 0 ? 0 : x * y)));
      return [Math.min(...ends), Math.max(...ends)];
    }
    case 'Where':
      return [Math.min(b[0], c[0]), Math.max(b[1], c[1])];
    case 'Max':
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    case 'Min':
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  }
  return [-Infinity, Infinity];
}

/** A constant factor and what it multiplies. */
export function factorOf(term: Term): [number, Term] {
  if (!('op' in term) || term.op !== 'Mul') return [1, term];
  const [a, b] = term.inputs;
  const [x, y] = [a && numberOf(a), b && numberOf(b)];
  const [factor, rest] = x !== undefined ? [x, b] : [y, a];
  if (factor === undefined || !rest) return [1, term];
  const [inner, base] = factorOf(rest);
  return [factor * inner, base];
}
