/**
 * Elements of constant tables: tril buffers, position ramps, distance tables. A table is read whole and proven to be a
 * function of one index, or of the difference of two, made of few linear pieces.
 */
import { add, constant, type Dim, toNumber } from '../../onnx/dims.js';
import type { Term, Terms } from './term.js';

interface Table {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

const mostPieces = 4;

export function tableElement(terms: Terms, { dims, data }: Table, at: readonly Dim[]): Term | undefined {
  if (data.length === 0 || at.length !== dims.length) return undefined;
  const places = at.map(toNumber);
  const open = places.flatMap((place, axis) => (place === undefined && dims[axis] !== 1 ? [axis] : []));
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, dim) => product * dim, 1));
  const start = places.reduce<number>(
    (sum, place, axis) => sum + (dims[axis] === 1 ? 0 : (place ?? 0)) * (strides[axis] ?? 0),
    0,
  );
  const [a, b, ...more] = open;
  const line = (axis: number, from: number) =>
    Array.from({ length: dims[axis] ?? 0 }, (_, i) => data[from + i * (strides[axis] ?? 0)] ?? 0);
  if (a === undefined) return data[start] === undefined ? undefined : terms.number(data[start]);
  if (b === undefined) return piecewise(terms, line(a, start), at[a], 0);
  if (more.length > 0) return data.every((x) => x === data[0]) ? terms.number(data[0] ?? 0) : undefined;
  const rows = line(a, start).map((_, i) => line(b, start + i * (strides[a] ?? 0)));
  const [first = []] = rows;
  if (rows.every((row) => row.every((x, c) => x === first[c]))) return piecewise(terms, first, at[b], 0);
  if (rows.every((row) => row.every((x) => x === row[0])))
    return piecewise(
      terms,
      rows.map((row) => row[0] ?? 0),
      at[a],
      0,
    );
  // Entry d of the diagonals is that of row − column = d + 1 − columns.
  const columns = first.length;
  const diagonals = Array.from({ length: rows.length + columns - 1 }, (_, d) =>
    d < columns ? (first[columns - 1 - d] ?? 0) : (rows[d + 1 - columns]?.[0] ?? 0),
  );
  const same = rows.every((row, r) => row.every((x, c) => x === diagonals[r - c + columns - 1]));
  const [row, column] = [at[a], at[b]];
  return same && row && column ? piecewise(terms, diagonals, add(row, column, -1), 1 - columns) : undefined;
}

interface Piece {
  readonly start: number;
  readonly slope: number;
  readonly value: number;
}

/** Entry `at − origin` of a list, as a distinction of few cases. */
function piecewise(terms: Terms, list: readonly number[], at: Dim | undefined, origin: number): Term | undefined {
  const pieces = piecesOf(list);
  if (!pieces || !at) return undefined;
  const term = ({ start, slope, value }: Piece): Term => {
    if (slope === 0) return terms.number(value);
    const offset = terms.apply('Sub', terms.poly(at), terms.number(origin + start));
    return terms.apply('Add', terms.apply('Mul', terms.number(slope), offset), terms.number(value));
  };
  const [first, ...rest] = pieces;
  if (!first) return undefined;
  return rest.reduce(
    (below, piece) =>
      terms.apply(
        'Where',
        terms.apply('GreaterOrEqual', terms.poly(at), terms.poly(constant(piece.start + origin))),
        term(piece),
        below,
      ),
    term(first),
  );
}

/** Runs of equal numbers and of equal steps (three entries or more), or undefined when there are too many. */
function piecesOf(list: readonly number[]): Piece[] | undefined {
  const pieces: Piece[] = [];
  for (let at = 0; at < list.length; ) {
    if (pieces.length === mostPieces) return undefined;
    const value = list[at] ?? 0;
    const step = (list[at + 1] ?? value) - value;
    const run = (slope: number) => {
      let end = at + 1;
      while (end < list.length && close(list[end] ?? 0, value + slope * (end - at))) end++;
      return end - at;
    };
    const length = step === 0 || !Number.isFinite(step) ? run(0) : run(step);
    const slope = length > 2 && Number.isFinite(step) ? step : 0;
    pieces.push({ start: at, slope, value });
    at += slope === 0 ? run(0) : length;
  }
  return pieces;
}

/** Equal up to the rounding of a float32 table of products. */
function close(x: number, y: number): boolean {
  return x === y || Math.abs(x - y) <= 1e-6 * Math.abs(y);
}
