/** A bias case by case: what it is for each way its conditions on positions can turn out. */
import { add, constant, type Dim } from '../../onnx/dims.js';
import { signOf } from './affine.js';
import { boundsOf, factorOf, numberOf, type Term, type Terms } from './term.js';

/** Scores at or below this are meant as "not attended": exporters use -1e4, -3.4e38 (or -65504) and -Infinity. */
export const maskedBelow = -5000;

/** Added to numbers like this, what a mask or ALiBi adds is lost in rounding. */
const swallowing = -1e30;

/** Conditions on positions that one mask may have: 2ⁿ cases are looked at. */
const mostConditions = 8;

/** What the bias is where its conditions on positions are these. */
export interface Case {
  readonly conditions: readonly { readonly dim: Dim; readonly holds: boolean }[];
  readonly hidden: boolean;
  /** What it adds by position, as a polynomial, and the factor of positions counted along a mask. */
  readonly byPosition: Dim;
  readonly counted: number;
  /** What is left of it. */
  readonly rest: Term;
}

/** All cases that can occur, or undefined when there are too many. */
export function casesOf(terms: Terms, term: Term): Case[] | undefined {
  const conditions = conditionsOf(term);
  if (conditions.length > mostConditions) return undefined;
  const cases: Case[] = [];
  const visit = (chosen: readonly { id: number; dim: Dim; holds: boolean }[]) => {
    const next = conditions[chosen.length];
    if (!next) {
      const truth = new Map(chosen.map(({ id, holds }) => [id, holds]));
      cases.push({ conditions: chosen, ...splitBias(terms, terms.assume(term, truth)) });
      return;
    }
    for (const holds of [true, false]) {
      const own = literal(next.atLeast0, holds);
      const contradicts = chosen.some(
        (other) => signOf(add(own, literal(other.dim, other.holds)), terms.ranges) === false,
      );
      if (!contradicts) visit([...chosen, { id: next.id, dim: next.atLeast0, holds }]);
    }
  };
  visit([]);
  return cases;
}

/** At least 0 where the condition holds, or does not. */
const literal = (dim: Dim, holds: boolean) => (holds ? dim : add(constant(-1), dim, -1));

function conditionsOf(term: Term, seen = new Set<Term>()): (Term & { atLeast0: Dim })[] {
  if (seen.has(term)) return [];
  seen.add(term);
  if ('atLeast0' in term) return [term];
  return 'op' in term ? term.inputs.flatMap((input) => conditionsOf(input, seen)) : [];
}

/** Tells a bias apart: what is added by position, and the rest; hidden, where it is far below both. */
function splitBias(terms: Terms, bias: Term): Omit<Case, 'conditions'> {
  let byPosition = constant(0);
  let [counted, most] = [0, 0];
  const rest: Term[] = [];
  for (const addend of addendsOf(terms, bias)) {
    const [factor, base] = factorOf(addend);
    if ('poly' in addend) {
      // Of a polynomial, what is far below any position times slope is a mask.
      const fixed = addend.poly.terms.get('') ?? 0;
      most += addend.uses.size > 0 && fixed > -1e9 ? 0 : fixed;
      byPosition = add(byPosition, addend.poly);
    } else if (counts(base)) counted += factor;
    else {
      most += boundsOf(addend)[1];
      rest.push(addend);
    }
  }
  const sum = rest.reduce((a, b) => terms.apply('Add', a, b), terms.number(0));
  return { hidden: most <= maskedBelow, byPosition, counted, rest: sum };
}

/** Where(c, lowest, x) is Where(c, lowest, 0) + x: the lowest numbers there are swallow what is added to them. */
function addendsOf(terms: Terms, term: Term): Term[] {
  if (!('op' in term)) return [term];
  if (term.op === 'Add') return term.inputs.flatMap((input) => addendsOf(terms, input));
  const [test, ...branches] = term.op === 'Where' ? term.inputs : [];
  const low = branches.find((branch) => (numberOf(branch) ?? 0) <= swallowing);
  const other = branches.find((branch) => branch !== low && numberOf(branch) === undefined);
  if (!test || !low || !other) return [term];
  const zeroed = branches.map((branch) => (branch === low ? low : terms.number(0)));
  return [terms.apply('Where', test, ...zeroed), ...addendsOf(terms, other)];
}

/** Positions among the keys that are kept: a running sum of the padding mask, as BLOOM counts them. */
function counts(term: Term): boolean {
  if (!('op' in term) || term.uses.has('@i') || term.uses.has('@h')) return false;
  return term.op === 'CumSum' || (['Add', 'Mul'].includes(term.op) && term.inputs.some(counts));
}
