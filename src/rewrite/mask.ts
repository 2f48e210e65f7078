/**
 * What a mask hides, proven. The addends of the scores are read as a function of batch, head, query and key
 * (prove/element.ts); its conditions on positions are taken true and false in turn, and in every case that can occur the
 * bias must be hidden (≤ −5000) or one and the same function of the key. Where it is not hidden tells the structure.
 */
import { add, constant, type Dim, equal, multiply, symbol, toNumber } from '../onnx/dims.js';
import type { Expr } from '../onnx/expr.js';
import type { Scope } from './patterns/pattern.js';
import { index } from './prove/affine.js';
import { type Case, casesOf } from './prove/cases.js';
import { aligned, makeReader } from './prove/element.js';
import { emitTerm } from './prove/emit.js';
import type { Reader } from './prove/rule.js';
import { numberOf, type Term } from './prove/term.js';
import type { Proof } from './site.js';

/** Something added to the scores, and the indices at which it is read for batch @b, head `head`, query @i and key @j. */
export interface Addend {
  readonly expr: Expr;
  at(head: Dim): readonly Dim[];
}

export interface MaskedScores {
  readonly heads: number;
  readonly queries: Dim | undefined;
  readonly keys: Dim | undefined;
  /** A tensor with the keys on one axis. */
  readonly keyTensor: { readonly expr: Expr; readonly axis: number };
  readonly addends: readonly Addend[];
}

/** The structure of a mask, or why it is none that is known. */
export function proveMask(scope: Scope, scores: MaskedScores): Proof {
  if (scores.addends.length === 0) return { found: { causal: false, mask: 'none' } };
  const { heads, queries, keys, addends } = scores;
  const read = addends.map(({ expr, at }) => [expr, at(index('@h')).map(({ key }) => key)]);
  const key = JSON.stringify([scope.graph.path, heads, queries?.key, keys?.key, read]);
  const known = scope.proofs.get(key);
  if (known) return known;
  const proof = prove(scope, scores);
  scope.proofs.set(key, proof);
  return proof;
}

function prove(scope: Scope, scores: MaskedScores): Proof {
  const reader = readerFor(scope, scores);
  const whole = reader.settle(
    () => readScores(reader, scores, index('@h')),
    () => sizesOf(reader, scores),
  );
  const { queries, keys } = scores;
  const offset = queries && keys && add(reader.replaced(keys), reader.replaced(queries), -1);
  const perHead = whole.uses.has('@h');
  const terms = perHead
    ? Array.from({ length: scores.heads }, (_, head) => readScores(reader, scores, constant(head)))
    : [whole];
  const unknown = { refused: refusal(reader, whole) };
  const heads = terms.map((term) => casesOf(reader.terms, term));
  const [cases] = heads;
  if (!cases || !heads.every((list) => list !== undefined)) return unknown;
  const range = rangeOf(cases, offset);
  const parts = heads.flatMap((list) => list.filter(({ hidden }) => !hidden));
  const [key] = parts.map(({ rest }) => rest);
  if (!range || !key || parts.some(({ rest }) => rest !== key)) return unknown;
  if (heads.some((list) => list.some(({ hidden }, i) => hidden !== cases[i]?.hidden))) return unknown;
  if ([...key.uses].some((name) => name !== '@b' && name !== '@j')) return unknown;
  const slopes = heads.map((list) => slopeOf(list, range, offset));
  if (!slopes.every((slope) => slope !== undefined)) return unknown;
  const isPadded = numberOf(key) === undefined;
  const keyBias = isPadded ? emitTerm(reader, key, scores.keyTensor) : undefined;
  if (isPadded && !keyBias) return unknown;
  const alibi = slopes.some((slope) => slope !== 0);
  const { left, right } = range;
  const causal = right === 0;
  const sliding = left !== undefined && right !== undefined ? { left, right } : undefined;
  const names = { alibi, sliding, causal, padding: isPadded };
  const mask =
    Object.entries(names)
      .flatMap(([name, is]) => (is ? [name] : []))
      .join('+') || 'none';
  return { found: { causal, mask, keyBias, sliding, ...(alibi && { slopes }) } };
}

/** Layers share the values their masks are made of, and so a reader. */
function readerFor(scope: Scope, { heads, queries, keys }: MaskedScores): Reader {
  const key = `${scope.graph.path}\0${[heads, queries?.key, keys?.key]}`;
  const known = scope.readers.get(key);
  if (known) return known;
  const ranges = Object.entries({ '@b': symbol('batch'), '@h': constant(heads), '@i': queries, '@j': keys });
  const reader = makeReader(
    scope,
    new Map(ranges.flatMap(([name, size]): [string, Dim][] => (size ? [[name, size]] : []))),
  );
  scope.readers.set(key, reader);
  return reader;
}

/** An axis of an addend that is not of size 1 is as long as the queries, or the keys. */
function sizesOf(reader: Reader, { addends, queries, keys }: MaskedScores): Dim[] {
  return addends.flatMap(({ expr, at }) => {
    const shape = reader.shape(expr) ?? [];
    const places = at(constant(0)).slice(-shape.length);
    return shape.flatMap((size, axis) => {
      const name = places[axis]?.key;
      const whole = name === '1*@i' ? queries : name === '1*@j' ? keys : undefined;
      return whole && toNumber(size) !== 1 && !equal(size, whole) ? [add(whole, size, -1)] : [];
    });
  });
}

function readScores(reader: Reader, { addends }: MaskedScores, head: Dim): Term {
  return addends
    .map(({ expr, at }) => {
      const shape = reader.shape(expr);
      return shape ? reader.element(expr, aligned(shape, at(head))) : reader.terms.leaf(valueIn(expr), at(head), false);
    })
    .reduce((a, b) => reader.terms.apply('Add', a, b));
}

/** What an expression is made from, first of all. */
function valueIn(expr: Expr): string {
  if ('value' in expr) return expr.value;
  return 'op' in expr ? (expr.inputs.map((input) => input && valueIn(input)).find((value) => value) ?? '') : '';
}

/** Keys that a query sees before and after itself; undefined on a side where it sees all. */
interface Range {
  readonly left?: number;
  readonly right?: number;
}

/** The band of distances d = i + S − N − j in which nothing is hidden, if the cases are those of such a band. */
function rangeOf(cases: readonly Case[], offset: Dim | undefined): Range | undefined {
  const [first] = cases;
  const bounds = (first?.conditions ?? []).flatMap(({ dim }, at) => {
    const least = offset && leastDistance(dim, offset);
    return least === undefined ? [] : [{ at, least }];
  });
  const holds = (one: Case, at: number) => one.conditions[at]?.holds === true;
  for (const low of [undefined, ...bounds]) {
    for (const high of [undefined, ...bounds]) {
      const inside = (one: Case) => (!low || holds(one, low.at)) && (!high || !holds(one, high.at));
      if (!cases.every((one) => one.hidden !== inside(one))) continue;
      const range = { left: high && high.least - 1, right: low && 0 - low.least };
      return isKnown(range) ? range : undefined;
    }
  }
  return undefined;
}

/** All keys, those up to the query, or a window around it. One key off is another mask. */
function isKnown({ left, right }: Range): boolean {
  if (left === undefined) return right === undefined || right === 0;
  return left >= 0 && right !== undefined && right >= 0;
}

/** m of a condition d ≥ m. */
function leastDistance(dim: Dim, offset: Dim): number | undefined {
  const distance = add(add(index('@i'), index('@j'), -1), offset);
  const shift = toNumber(add(distance, dim, -1));
  return shift;
}

/**
 * ALiBi's slope, 0 where nothing is added by position, or undefined where that is something else. A softmax does not see
 * what is added to a whole row, so slope · (key's position) is ALiBi for all keys up to the query; on both sides of it,
 * the bias must be −slope · |distance|.
 */
function slopeOf(cases: readonly Case[], { right }: Range, offset: Dim | undefined): number | undefined {
  const seen = cases.filter(({ hidden }) => !hidden);
  const [first] = seen;
  if (!first || seen.some(({ counted }) => counted !== first.counted)) return undefined;
  const along = ({ byPosition }: Case) => byPosition.terms.get('@j') ?? 0;
  const known = ({ byPosition }: Case) =>
    [...byPosition.terms.keys()].every(
      (monomial) => monomial === '@j' || (!monomial.includes('@j') && !monomial.includes('@b')),
    );
  if (!seen.every(known)) return undefined;
  if (seen.every((one) => isNear(one.byPosition, first.byPosition))) {
    const slope = along(first) + first.counted;
    return slope === 0 || right === 0 ? slope : undefined;
  }
  const turn = first.conditions.findIndex(({ dim }) => offset && [0, 1].includes(leastDistance(dim, offset) ?? -1));
  const before = seen.find(({ conditions }) => conditions[turn]?.holds);
  if (!before || !offset || first.counted !== 0) return undefined;
  const slope = along(before);
  const distance = add(add(index('@i'), index('@j'), -1), offset);
  const bent = add(before.byPosition, multiply(distance, constant(2 * slope)));
  const fits = seen.every(({ conditions, byPosition }) =>
    isNear(byPosition, conditions[turn]?.holds ? before.byPosition : bent),
  );
  return fits ? slope : undefined;
}

/** Equal up to the rounding of float32 slopes. */
function isNear(a: Dim, b: Dim): boolean {
  return [...add(a, b, -1).terms].every(([monomial, c]) => Math.abs(c) <= 1e-6 * Math.abs(a.terms.get(monomial) ?? 0));
}

/** Why a mask is not known: the first value that depends on the query, or all that is added. */
function refusal(reader: Reader, term: Term): string {
  const leaf = leafOf(term);
  const source = leaf && reader.source(leaf.leaf);
  const name = source && 'value' in source ? source.value : undefined;
  if (name !== undefined && leaf?.uses.has('@i'))
    return `${name} is added to the scores and depends on the query: no causal, sliding, ALiBi or padding mask is proven`;
  const what = name === undefined ? 'its mask' : `its mask, made from ${name},`;
  return `${what} is not proven to be causal, sliding, ALiBi or padding`;
}

function leafOf(term: Term): Extract<Term, { leaf: string }> | undefined {
  if ('leaf' in term) return term;
  const leaves = 'op' in term ? term.inputs.flatMap((input) => leafOf(input) ?? []) : [];
  return leaves.find(({ uses }) => uses.has('@i')) ?? leaves[0];
}

/** The addends of the scores as one expression; none of none. */
export function sumOf(addends: readonly Expr[]): Expr | undefined {
  return addends.length > 0 ? addends.reduce((a, b) => ({ op: 'Add', inputs: [a, b] })) : undefined;
}
