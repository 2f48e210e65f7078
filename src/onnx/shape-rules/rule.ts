/** What every shape rule is made of. A rule never throws: what is odd is unknown. */
import { add, broadcast, constant, type Dim, equal, isNonNegative, multiply, toNumber } from '../dims.js';
import type { NodeProto } from '../gen/onnx.js';
import { intsAttribute } from '../graph.js';
import type { ValueType } from '../value-type.js';

export interface Context {
  /** Types of the node's inputs; undefined where an optional input is left out. */
  readonly inputs: readonly (ValueType | undefined)[];
  /** Types of the outputs of each subgraph of the node. */
  readonly branches: readonly (readonly ValueType[])[];
  readonly opset: number;
  /** A size nothing is known of, named after the node's output and axis. */
  readonly fresh: (axis: number) => Dim;
}

export type Rule = (node: NodeProto, context: Context) => (ValueType | undefined)[];

export type Scalar = Dim | undefined;

export const dataLimit = 64;

/** No tensor has more axes, and no list of sizes more elements; what says so is left unknown. */
export function upTo<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list && list.length <= dataLimit ? list : undefined;
}

export function resolveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/**
 * Where a slice starts that may be counted from the end. x[-n:] begins at size − n unless n is 0, when it is all of x:
 * undefined unless n is the size or surely more than 0. Other starts are taken to lie within the axis.
 */
export function fromStart(start: Dim, size: Dim): Dim | undefined {
  const back = multiply(start, constant(-1));
  if (start.terms.size === 0 || !isNonNegative(back)) return start;
  return (back.terms.get('') ?? 0) > 0 || equal(back, size) ? add(size, start) : undefined;
}

/** Axes given as an attribute (before opset 13 or 18) or as a constant input. */
export function axesOf(node: NodeProto, { inputs }: Context, index = 1): number[] | undefined {
  const given = intsAttribute(node, 'axes');
  if (given) return given;
  const data = inputs[index]?.data?.map(toNumber);
  return data?.every((axis) => axis !== undefined) ? data : undefined;
}

export function knownNumbers(x: ValueType | undefined): (number | undefined)[] | undefined {
  return x?.data?.map(toNumber);
}

export function broadcastShapes(shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined {
  if (shapes.some((shape) => !shape)) return undefined;
  const known = shapes.filter((shape) => shape !== undefined);
  const rank = Math.max(0, ...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    known.reduce((dim, shape) => {
      const own = shape[axis - rank + shape.length];
      return own ? broadcast(dim, own) : dim;
    }, constant(1)),
  );
}

export const sameAsFirst: Rule = (_, { inputs: [x] }) => [x && { elemType: x.elemType, shape: x.shape }];
