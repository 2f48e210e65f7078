/** How the operators that make and move the elements of masks look up one element. Elementwise operators need no rule. */
import { add, constant, type Dim, divideExactly, equal, multiply, toNumber } from '../../onnx/dims.js';
import { attribute, floatAttribute, intsAttribute, stringAttribute } from '../../onnx/graph.js';
import { fromStart, resolveAxis } from '../../onnx/shape-rules/rule.js';
import { readSmall, readTensor } from '../../onnx/tensor.js';
import { divideIndex, reindex, signOf } from './affine.js';
import type { Rule, View } from './rule.js';
import { numberOf, type Term } from './term.js';

const zero = constant(0);

const put = (at: readonly Dim[], axis: number, place: Dim) => at.map((own, i) => (i === axis ? place : own));

/** The position an index term stands for, counted from the end where it is negative. */
function position(term: Term, size: Dim | undefined): Dim | undefined {
  if (!('poly' in term) || !size) return undefined;
  const number = toNumber(term.poly);
  return number !== undefined && number < 0 ? add(size, term.poly) : term.poly;
}

const same: Rule = ({ read }, at) => read(0, at);

const cast: Rule = ({ read, int, terms }, at) => {
  const x = read(0, at);
  if (int('to', 1) === 9) return terms.apply('Bool', x);
  const number = numberOf(x);
  const whole = [6, 7].includes(int('to', 1)) && number !== undefined && Number.isFinite(number);
  return whole ? terms.number(Math.trunc(number)) : x;
};

const reshape: Rule = ({ read, shape, output, terms }, at) => {
  const from = shape(0);
  const before = from && output && reindex(at, output, from, terms.ranges);
  return before && read(0, before);
};

const transpose: Rule = ({ node, read }, at) => {
  const perm = intsAttribute(node, 'perm') ?? at.map((_, axis) => at.length - 1 - axis);
  return read(
    0,
    at.map((_, axis) => at[perm.indexOf(axis)] ?? zero),
  );
};

const expand: Rule = ({ broadcast }, at) => broadcast(0, at);

const tile: Rule = ({ read, shape, data, terms }, at) => {
  const from = shape(0);
  const places = from?.map((size, axis) => {
    const repeats = toNumber(data(1)?.[axis]);
    if (toNumber(size) === 1) return zero;
    return repeats === 1 ? at[axis] : divideIndex(at[axis] ?? zero, size, terms.ranges)?.remainder;
  });
  return places?.every((place) => place !== undefined) ? read(0, places) : undefined;
};

const concat: Rule = ({ node, read, shape, int, terms }, at) => {
  const axis = resolveAxis(int('axis', 0), at.length);
  const sizes = node.input.map((_, i) => shape(i)?.[axis]);
  // onnxruntime's optimiser repeats a mask for every head.
  if (new Set(node.input).size === 1 && toNumber(sizes[0]) === 1) return read(0, put(at, axis, zero));
  let start = zero;
  const parts: [Dim, Term][] = [];
  for (const [i, size] of sizes.entries()) {
    if (!size) return undefined;
    const place = add(at[axis] ?? zero, start, -1);
    const [from, to] = [signOf(place, terms.ranges), signOf(add(place, size, -1), terms.ranges)];
    if (from !== false && to !== true && toNumber(size) !== 0) parts.push([start, read(i, put(at, axis, place))]);
    start = add(start, size);
  }
  const [first, ...rest] = parts;
  return rest.reduce<Term | undefined>(
    (below, [from, term]) =>
      below &&
      terms.apply('Where', terms.apply('GreaterOrEqual', terms.poly(at[axis] ?? zero), terms.poly(from)), term, below),
    first?.[1],
  );
};

const slice: Rule = ({ node, read, shape, data, has, equate, output }, at) => {
  const from = shape(0);
  const list = (input: number, name: string) => intsAttribute(node, name)?.map(constant) ?? data(input);
  const [starts, ends] = [list(1, 'starts'), list(2, 'ends')];
  const axes = has(3) || intsAttribute(node, 'axes') ? list(3, 'axes') : starts?.map((_, axis) => constant(axis));
  const steps = has(4) ? list(4, 'steps') : undefined;
  if (!from || !starts || !axes || (steps ?? []).some((step) => toNumber(step) !== 1)) return undefined;
  const places = [...at];
  for (const [i, at] of axes.entries()) {
    const axis = resolveAxis(toNumber(at) ?? Number.NaN, from.length);
    const [size, given, last] = [from[axis], starts[i], ends?.[i]];
    if (!size || !given) return undefined;
    // x[a - b:] counts from the start: a ≥ b is what makes it a mask at all. Of x[-n:], what is read has n elements.
    const start = fromStart(given, size) ?? add(size, given);
    const end = last && fromStart(last, size);
    const length = output?.[axis];
    if (end && length && toNumber(end) === undefined) {
      // Where a table is shorter than what is cut from it, what it is added to would not fit.
      equate(length, add(end, start, -1));
      // A mask cut to the keys of a layer is as long as they are: caches of all layers are of one length.
      if (toNumber(start) === 0 && toNumber(size) === undefined) equate(end, size);
    }
    places[axis] = add(places[axis] ?? zero, start);
  }
  return read(0, places);
};

const split: Rule = ({ node, read, shape, data, int, which }, at) => {
  const axis = resolveAxis(int('axis', 0), at.length);
  const whole = shape(0)?.[axis];
  const sizes = intsAttribute(node, 'split')?.map(constant) ?? data(1);
  const even = whole && divideExactly(whole, constant(node.output.length));
  let start = zero;
  for (let part = 0; part < which; part++) {
    const size = sizes ? sizes[part] : even;
    if (!size) return undefined;
    start = add(start, size);
  }
  return read(0, put(at, axis, add(at[axis] ?? zero, start)));
};

const gather: Rule = ({ read, shape, int }, at) => {
  const [from, index] = [shape(0), shape(1)];
  if (!from || !index) return undefined;
  const axis = resolveAxis(int('axis', 0), from.length);
  const place = position(read(1, at.slice(axis, axis + index.length)), from[axis]);
  return place && read(0, [...at.slice(0, axis), place, ...at.slice(axis + index.length)]);
};

const gatherElements: Rule = ({ read, shape, int }, at) => {
  const from = shape(0);
  const axis = resolveAxis(int('axis', 0), at.length);
  const place = from && position(read(1, at), from[axis]);
  return place && read(0, put(at, axis, place));
};

/** The index tuple at a place of an index tensor whose last axis is the tuple. */
function tuple({ read, shape }: View, at: readonly Dim[]): Dim[] | undefined {
  const [from, index] = [shape(0), shape(1)];
  const length = toNumber(index?.[index.length - 1]);
  if (!from || length === undefined) return undefined;
  const places = Array.from({ length }, (_, axis) => position(read(1, [...at, constant(axis)]), from[axis]));
  return places.every((place) => place !== undefined) ? places : undefined;
}

const gatherND: Rule = (view, at) => {
  const rank = view.shape(1)?.length;
  if (rank === undefined || view.int('batch_dims', 0) !== 0) return undefined;
  const places = tuple(view, at.slice(0, rank - 1));
  return places && view.read(0, [...places, ...at.slice(rank - 1)]);
};

/** Where every element is written, each to its own place (`x[:, :, :, :n] = y` over the whole of x). */
const scatterND: Rule = (view, at) => {
  const [data, index] = [view.shape(0), view.shape(1)];
  const reduction = stringAttribute(view.node, 'reduction') ?? 'none';
  if (!data || index?.length !== data.length + 1 || reduction !== 'none') return undefined;
  const whole = data.every((size, axis) => equal(size, index[axis]));
  const places = whole ? tuple(view, at) : undefined;
  return places?.every((place, axis) => equal(place, at[axis])) ? view.read(2, at) : undefined;
};

const range: Rule = ({ read, terms }, at) =>
  terms.apply('Add', read(0, []), terms.apply('Mul', terms.poly(at[0] ?? zero), read(2, [])));

const constantOfShape: Rule = ({ node, terms }) => {
  const bytes = attribute(node, 'value')?.t;
  const fill = bytes ? readSmall(readTensor(bytes))?.[0] : 0;
  return fill === undefined ? undefined : terms.number(fill);
};

const trilu: Rule = ({ read, int, has, terms }, at) => {
  const k = has(1) ? read(1, []) : terms.number(0);
  const [row, column] = at.slice(-2);
  if (!row || !column) return undefined;
  const past = terms.apply('Sub', terms.poly(add(column, row, -1)), k);
  const kept =
    int('upper', 1) === 1
      ? terms.apply('GreaterOrEqual', past, terms.number(0))
      : terms.apply('LessOrEqual', past, terms.number(0));
  return terms.apply('Where', kept, read(0, at), terms.number(0));
};

/** A running sum: of ones a position, of a mask the position among the keys that it keeps. */
const cumSum: Rule = ({ read, shape, int, terms }, at) => {
  const given = numberOf(read(1, shape(1)?.map(() => zero) ?? []));
  if (given === undefined || int('reverse', 0) === 1) return undefined;
  const axis = resolveAxis(given, at.length);
  const x = read(0, at);
  const step = numberOf(x);
  if (step === undefined) return int('exclusive', 0) === 1 ? undefined : terms.apply('CumSum', x);
  const place = add(at[axis] ?? zero, constant(int('exclusive', 0) === 1 ? 0 : 1));
  return terms.poly(multiply(place, constant(step)));
};

/** Positions in a list of ones: how some exporters write an arange. */
const nonZero: Rule = ({ read, shape, terms }, at) =>
  shape(0)?.length === 1 && numberOf(read(0, [at[1] ?? zero])) === 1 ? terms.poly(at[1] ?? zero) : undefined;

const clip: Rule = ({ node, read, has, terms }, at) => {
  const limit = (input: number, name: string) => {
    const given = floatAttribute(node, name);
    return given !== undefined ? terms.number(given) : has(input) ? read(input, []) : undefined;
  };
  const [low, high] = [limit(1, 'min'), limit(2, 'max')];
  const raised = low ? terms.apply('Max', read(0, at), low) : read(0, at);
  return high ? terms.apply('Min', raised, high) : raised;
};

const eyeLike: Rule = ({ int, terms }, [row = zero, column = zero]) =>
  terms.apply('Equal', terms.poly(add(column, row, -1)), terms.number(int('k', 0)));

/** Masks hold no NaN: a guard against it changes nothing. */
const never: Rule = ({ terms }) => terms.number(0);

/** Integers divide to integers; what does not come out even stays unknown. */
const div: Rule = ({ shape, broadcast, terms }, at) => {
  const [a, b] = [shape(0) && broadcast(0, at), shape(1) && broadcast(1, at)];
  const divisor = b && numberOf(b);
  if (!a || !divisor) return undefined;
  const product = terms.apply('Mul', a, terms.number(1 / divisor));
  return !('poly' in product) || [...product.poly.terms.values()].every(Number.isInteger) || numberOf(a) !== undefined
    ? product
    : undefined;
};

export const rules: ReadonlyMap<string, Rule> = new Map(
  Object.entries({
    Identity: same,
    Dropout: same,
    CastLike: same,
    Cast: cast,
    Reshape: reshape,
    Unsqueeze: reshape,
    Squeeze: reshape,
    Flatten: reshape,
    Transpose: transpose,
    Expand: expand,
    Tile: tile,
    Concat: concat,
    Slice: slice,
    Split: split,
    Gather: gather,
    GatherElements: gatherElements,
    GatherND: gatherND,
    ScatterND: scatterND,
    Range: range,
    ConstantOfShape: constantOfShape,
    Trilu: trilu,
    CumSum: cumSum,
    NonZero: nonZero,
    Clip: clip,
    EyeLike: eyeLike,
    IsNaN: never,
    Div: div,
  }),
);
