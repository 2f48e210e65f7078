/**
 * A tensor dimension, or an element of a small integer tensor: a polynomial with integer coefficients in the
 * graph's unknown sizes (batch, tokens …). Exporters rebuild shapes from Shape, Gather, Concat, Mul and Div;
 * polynomials in normal form make "the same number" decidable for all of these.
 */
export interface Dim {
  /** Normal form; equal keys mean equal dims. */
  readonly key: string;
  /** Coefficient by monomial; a monomial is its factors sorted and joined by '*', '' is the constant term. */
  readonly terms: ReadonlyMap<string, number>;
}

/** Beyond these no shape of a model goes; squaring an unknown 20 times does, and would never come to an end. */
const longest = { terms: 32, key: 1000 };
let beyond = 0;

function make(terms: Map<string, number>): Dim {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  const sorted = [...terms].sort(([a], [b]) => (a < b ? -1 : 1));
  const key = sorted.map(([monomial, c]) => `${c}${monomial && `*${monomial}`}`).join('+');
  // Integers that a double does not hold are equal to others that they are not.
  const inexact = sorted.some(([, c]) => Number.isInteger(c) && !Number.isSafeInteger(c) && c !== terms.get(''));
  if (inexact || terms.size > longest.terms || key.length > longest.key) return symbol(`?${beyond++}`);
  return { key: key || '0', terms };
}

const numbers = new Map<number, Dim>();

/** Numbers are many and few of them differ: small ones are made once. */
export function constant(value: number): Dim {
  const known = numbers.get(value);
  if (known) return known;
  const dim: Dim = { key: `${value}`, terms: value === 0 ? new Map() : new Map([['', value]]) };
  if (Number.isInteger(value) && Math.abs(value) < 1024) numbers.set(value, dim);
  return dim;
}

/** An unknown size. `*` and `+` in names would be read as structure, so they are replaced. */
export function symbol(name: string): Dim {
  return make(new Map([[name.replaceAll('*', '×').replaceAll('+', '＋'), 1]]));
}

/** A size as a graph input declares it: a name, or a sum of products of names and integers (`past + 1`). */
export function declared(text: string): Dim {
  const terms = text.split('+').map((term) =>
    product(
      term.split('*').map((factor) => {
        const name = factor.trim();
        return /^\d+$/.test(name) ? constant(Number(name)) : symbol(name);
      }),
    ),
  );
  return /^[\w.]+(\s*[+*]\s*[\w.]+)*$/.test(text.trim()) ? terms.reduce((a, b) => add(a, b)) : symbol(text);
}

/** The dim with other dims in the place of some symbols. */
export function substitute(dim: Dim, into: (name: string) => Dim | undefined): Dim {
  let changed = false;
  let sum = constant(0);
  for (const [monomial, coefficient] of dim.terms) {
    const parts = factors(monomial).map((name) => {
      const found = into(name);
      changed ||= found !== undefined;
      return found ?? symbol(name);
    });
    sum = add(sum, multiply(product(parts), constant(coefficient)));
  }
  return changed ? sum : dim;
}

/** The unknowns of a dim. */
export function symbolsOf(dim: Dim): string[] {
  return [...new Set([...dim.terms.keys()].flatMap(factors))];
}

/** The number, when the dim is one. */
export function toNumber(dim: Dim | undefined): number | undefined {
  if (!dim) return undefined;
  if (dim.terms.size === 0) return 0;
  return dim.terms.size === 1 ? dim.terms.get('') : undefined;
}

export function equal(a: Dim | undefined, b: Dim | undefined): boolean {
  return a !== undefined && b !== undefined && a.key === b.key;
}

export function add(a: Dim, b: Dim, sign: 1 | -1 = 1): Dim {
  if (b.terms.size === 0) return a;
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== undefined && y !== undefined) return constant(x + sign * y);
  const terms = new Map(a.terms);
  for (const [monomial, c] of b.terms) terms.set(monomial, (terms.get(monomial) ?? 0) + sign * c);
  return make(terms);
}

export function multiply(a: Dim, b: Dim): Dim {
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== undefined && y !== undefined) return constant(x * y);
  if (x === 1) return b;
  if (y === 1) return a;
  const terms = new Map<string, number>();
  for (const [m, c] of a.terms) {
    for (const [n, d] of b.terms) {
      const monomial = [...factors(m), ...factors(n)].sort().join('*');
      terms.set(monomial, (terms.get(monomial) ?? 0) + c * d);
    }
  }
  return make(terms);
}

export const factors = (monomial: string) => (monomial ? monomial.split('*') : []);

/** a = quotient · b + rest, by long division with the leading term of b; nothing of the rest holds that term. */
export function divideWithRest(a: Dim, b: Dim): { quotient: Dim; rest: Dim } {
  const lead = leadingTerm(b);
  let [quotient, rest] = [constant(0), a];
  for (;;) {
    const step = lead && firstDefined(rest.terms, (term) => divideTerm(term, lead));
    if (!step) return { quotient, rest };
    const { part, of } = step;
    quotient = add(quotient, part);
    rest = add(rest, multiply(part, b), -1);
    // Numbers beyond what integers are exact for do not cancel.
    if (rest.terms.has(of)) return { quotient: constant(0), rest: a };
  }
}

function firstDefined<T, U>(items: Iterable<T>, find: (item: T) => U | undefined): U | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

type Monomial = readonly [monomial: string, coefficient: number];

function divideTerm([monomial, c]: Monomial, [by, d]: Monomial): { part: Dim; of: string } | undefined {
  const left = factors(monomial);
  for (const factor of factors(by)) {
    const at = left.indexOf(factor);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  return c % d === 0 ? { part: make(new Map([[left.join('*'), c / d]])), of: monomial } : undefined;
}

/** a ÷ b when it comes out even for all values of the unknowns. */
export function divideExactly(a: Dim, b: Dim): Dim | undefined {
  const { quotient, rest } = divideWithRest(a, b);
  return rest.terms.size === 0 && b.terms.size > 0 ? quotient : undefined;
}

/** The term of highest degree, the first by name among these. */
function leadingTerm({ terms }: Dim): [string, number] | undefined {
  let lead: [string, number] | undefined;
  for (const term of terms) {
    const [more, than] = [factors(term[0]).length, lead ? factors(lead[0]).length : -1];
    if (!lead || more > than || (more === than && term[0] < lead[0])) lead = term;
  }
  return lead;
}

/** Whether it is at least 0 whatever the sizes. */
export function isNonNegative(dim: Dim): boolean {
  return [...dim.terms.values()].every((c) => c >= 0);
}

/** ⌊a ÷ b⌋; an unknown of its own where it does not come out even. */
export function divide(a: Dim, b: Dim): Dim {
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== undefined && y !== undefined && y !== 0) return constant(Math.trunc(x / y));
  return divideExactly(a, b) ?? symbol(`⌊(${a.key})÷(${b.key})⌋`);
}

/** The lesser of two sizes; an unknown of its own where it is not known which that is. */
export function minimum(a: Dim, b: Dim): Dim {
  if (isNonNegative(add(b, a, -1))) return a;
  return isNonNegative(add(a, b, -1)) ? b : symbol(`min(${a.key},${b.key})`);
}

/** The size two dims broadcast to: the other one where one is 1, else the larger known, else the first. */
export function broadcast(a: Dim, b: Dim): Dim {
  if (toNumber(a) === 1) return b;
  if (toNumber(b) === 1 || equal(a, b)) return a;
  return toNumber(a) === undefined && toNumber(b) !== undefined ? b : a;
}

export function product(dims: readonly Dim[]): Dim {
  return dims.reduce(multiply, constant(1));
}
