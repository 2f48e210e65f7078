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

export function constant(value: number): Dim {
  return make(new Map([['', value]]));
}

/** An unknown size. `*` and `+` in names would be read as structure, so they are replaced. */
export function symbol(name: string): Dim {
  return make(new Map([[name.replaceAll('*', '×').replaceAll('+', '＋'), 1]]));
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
  const terms = new Map(a.terms);
  for (const [monomial, c] of b.terms) terms.set(monomial, (terms.get(monomial) ?? 0) + sign * c);
  return make(terms);
}

export function multiply(a: Dim, b: Dim): Dim {
  const terms = new Map<string, number>();
  for (const [m, c] of a.terms) {
    for (const [n, d] of b.terms) {
      const monomial = [...factors(m), ...factors(n)].sort().join('*');
      terms.set(monomial, (terms.get(monomial) ?? 0) + c * d);
    }
  }
  return make(terms);
}

const factors = (monomial: string) => (monomial ? monomial.split('*') : []);

/** a ÷ b when it comes out even for all values of the unknowns. */
export function divideExactly(a: Dim, b: Dim): Dim | undefined {
  const [divisor, ...more] = [...b.terms];
  if (!divisor || more.length > 0) return b.terms.size > 0 && a.key === b.key ? constant(1) : undefined;
  const [monomial, coefficient] = divisor;
  const terms = new Map<string, number>();
  for (const [m, c] of a.terms) {
    const left = factors(m);
    for (const factor of factors(monomial)) {
      const at = left.indexOf(factor);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    if (c % coefficient !== 0) return undefined;
    terms.set(left.join('*'), c / coefficient);
  }
  return make(terms);
}

/** ⌊a ÷ b⌋; an unknown of its own where it does not come out even. */
export function divide(a: Dim, b: Dim): Dim {
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== undefined && y !== undefined && y !== 0) return constant(Math.trunc(x / y));
  return divideExactly(a, b) ?? symbol(`⌊(${a.key})÷(${b.key})⌋`);
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
