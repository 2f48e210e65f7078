/** Operators that make, cut, join and move tensors. */

import {
  add,
  broadcast,
  constant,
  type Dim,
  divide,
  divideExactly,
  isNonNegative,
  minimum,
  multiply,
  product,
  toNumber,
} from '../dims.js';
import { TensorProto_DataType as DataType } from '../gen/onnx.js';
import { attribute, intAttribute, intsAttribute } from '../graph.js';
import { readSmall, readTensor } from '../tensor.js';
import { axesOf, dataLimit, fromStart, knownNumbers, type Rule, resolveAxis, type Scalar } from './rule.js';

export const shapeRule: Rule = (node, { inputs: [x], fresh }) => {
  if (!x?.shape) return [{ elemType: DataType.INT64, shape: [fresh(0)] }];
  const rank = x.shape.length;
  const clamp = (axis: number) => Math.max(0, Math.min(rank, resolveAxis(axis, rank)));
  const data = x.shape.slice(clamp(intAttribute(node, 'start') ?? 0), clamp(intAttribute(node, 'end') ?? rank));
  return [{ elemType: DataType.INT64, shape: [constant(data.length)], data }];
};

export const size: Rule = (_, { inputs: [x] }) => [
  { elemType: DataType.INT64, shape: [], data: x?.shape && [product(x.shape)] },
];

export const gather: Rule = (node, { inputs: [x, index] }) => {
  if (!x) return [];
  const shape = x.shape;
  const axis = shape && resolveAxis(intAttribute(node, 'axis') ?? 0, shape.length);
  const known = axis === 0 && shape?.length === 1 && x.data ? index?.data?.map(toNumber) : undefined;
  const data = known?.map((i) => (i === undefined ? undefined : x.data?.[i < 0 ? i + (x.data?.length ?? 0) : i]));
  return [
    {
      elemType: x.elemType,
      shape:
        shape && index?.shape && axis !== undefined
          ? [...shape.slice(0, axis), ...index.shape, ...shape.slice(axis + 1)]
          : undefined,
      data,
    },
  ];
};

export const concat: Rule = (node, { inputs, fresh }) => {
  const parts = inputs.filter((x) => x !== undefined);
  const first = parts.find((x) => x.shape)?.shape;
  const elemType = parts.find((x) => x.elemType)?.elemType ?? 0;
  if (!first) return [{ elemType }];
  const axis = resolveAxis(intAttribute(node, 'axis') ?? 0, first.length);
  const shape = first.map((dim, i) => {
    if (i !== axis) return parts.map((x) => x.shape?.[i]).find((d) => toNumber(d) !== undefined) ?? dim;
    const along = parts.map((x) => x.shape?.[axis]);
    return along.every((d) => d !== undefined) ? along.reduce((sum, d) => add(sum, d), constant(0)) : fresh(axis);
  });
  // Each size by itself: a file may have one that is huge and another that is as far below zero, or half a number.
  const lengths = parts.map((x) => toNumber(x.shape?.[0]) ?? Number.POSITIVE_INFINITY);
  const few =
    first.length === 1 && lengths.every((length) => Number.isInteger(length) && length >= 0 && length <= dataLimit);
  const data = few ? parts.flatMap((x, i) => x.data ?? new Array<Scalar>(lengths[i] ?? 0).fill(undefined)) : undefined;
  const complete = data && data.length === toNumber(shape[0]) && data.length <= dataLimit;
  return [{ elemType, shape, data: complete ? data : undefined }];
};

export const slice: Rule = (node, context) => {
  const [x] = context.inputs;
  if (!x) return [];
  const numbers = (i: number, name: string) => intsAttribute(node, name) ?? knownNumbers(context.inputs[i]);
  const starts = numbers(1, 'starts');
  const ends = numbers(2, 'ends');
  const rank = x.shape?.length;
  const axes = context.inputs[3] || intsAttribute(node, 'axes') ? numbers(3, 'axes') : starts?.map((_, i) => i);
  const steps = context.inputs[4] ? numbers(4, 'steps') : starts?.map(() => 1);
  if (!x.shape || rank === undefined || !axes) return [{ elemType: x.elemType }];
  const shape = [...x.shape];
  let data = x.data;
  for (const [i, given] of axes.entries()) {
    if (given === undefined) return [{ elemType: x.elemType, shape: x.shape.map((_, axis) => context.fresh(axis)) }];
    const axis = resolveAxis(given, rank);
    if (axis < 0 || axis >= rank) return [{ elemType: x.elemType }];
    const size = toNumber(shape[axis]);
    const [start, end, step] = [starts?.[i], ends?.[i], steps?.[i]];
    if (start === undefined || end === undefined || step === undefined || step < 1) {
      const bounds = step === 1 ? [context.inputs[1]?.data?.[i], context.inputs[2]?.data?.[i]] : [];
      shape[axis] = span(bounds, shape[axis]) ?? context.fresh(axis);
      data = undefined;
    } else if (size !== undefined) {
      const from = Math.min(Math.max(start < 0 ? start + size : start, 0), size);
      const to = Math.min(Math.max(end < 0 ? end + size : end, 0), size);
      shape[axis] = constant(Math.max(0, Math.ceil((to - from) / step)));
      data = rank === 1 ? data?.filter((_, j) => j >= from && j < to && (j - from) % step === 0) : undefined;
    } else if (!(start === 0 && end > 2 ** 31 && step === 1)) {
      const whole = shape[axis] ?? context.fresh(axis);
      const exact = step === 1 && end > 2 ** 31 && start > 0 ? add(whole, constant(start), -1) : undefined;
      const last = step === 1 && start < 0 && end > 2 ** 31 ? constant(-start) : undefined;
      shape[axis] = exact ?? last ?? context.fresh(axis);
    }
  }
  return [{ elemType: x.elemType, shape, data }];
};

/**
 * Length of x[start:end] where both are sizes: proven to lie within the axis, or one of the parts that an axis is cut
 * into at a place that may be beyond its end. Both parts together are the axis then, as in a partial rotation.
 */
function span([given, end]: readonly Scalar[], size: Scalar): Dim | undefined {
  if (!given || !end || !size) return undefined;
  const start = fromStart(given, size) ?? given;
  const toEnd = (toNumber(end) ?? 0) > 2 ** 31;
  const stop = toEnd ? size : end;
  const inside = [start, add(stop, start, -1), add(size, stop, -1)].every(isNonNegative);
  if (inside) return add(stop, start, -1);
  if (toNumber(start) === 0 && isNonNegative(stop)) return minimum(stop, size);
  return toEnd && isNonNegative(start) ? add(size, minimum(start, size), -1) : undefined;
}

export const gatherND: Rule = (node, { inputs: [x, index] }) => {
  const width = toNumber(index?.shape?.at(-1));
  const from = intAttribute(node, 'batch_dims') ?? 0;
  const shape =
    x?.shape && index?.shape && width !== undefined
      ? [...index.shape.slice(0, -1), ...x.shape.slice(from + width)]
      : undefined;
  return [{ elemType: x?.elemType ?? 0, shape }];
};

export const reshape: Rule = (node, { inputs: [x, target], fresh }) => {
  const wanted = target?.data ?? intsAttribute(node, 'shape')?.slice(0, dataLimit).map(constant);
  const elemType = x?.elemType ?? 0;
  if (!wanted) {
    const rank = toNumber(target?.shape?.[0]) ?? Number.POSITIVE_INFINITY;
    const shape = rank <= dataLimit ? Array.from({ length: rank }, (_, axis) => fresh(axis)) : undefined;
    return [{ elemType, shape }];
  }
  const keepZero = intAttribute(node, 'allowzero') === 1;
  const shape: (Dim | undefined)[] = wanted.map((dim, axis) => {
    const number = toNumber(dim);
    if (number === 0 && !keepZero) return x?.shape?.[axis];
    return number === -1 ? undefined : dim;
  });
  const open = wanted.findIndex((dim) => toNumber(dim) === -1);
  if (open >= 0 && x?.shape) {
    const others = shape.filter((_, axis) => axis !== open);
    if (others.every((dim) => dim !== undefined)) shape[open] = divideExactly(product(x.shape), product(others));
  }
  const filled = shape.map((dim, axis) => dim ?? fresh(axis));
  return [{ elemType, shape: filled, data: x?.data }];
};

export const flatten: Rule = (node, { inputs: [x] }) => {
  if (!x?.shape) return [{ elemType: x?.elemType ?? 0 }];
  const axis = resolveAxis(intAttribute(node, 'axis') ?? 1, x.shape.length);
  return [{ elemType: x.elemType, shape: [product(x.shape.slice(0, axis)), product(x.shape.slice(axis))] }];
};

export const unsqueeze: Rule = (node, context) => {
  const [x] = context.inputs;
  const axes = axesOf(node, context);
  if (!x) return [];
  if (!x.shape || !axes) return [{ elemType: x.elemType, data: x.data }];
  const rank = x.shape.length + axes.length;
  const added = new Set(axes.map((axis) => resolveAxis(axis, rank)));
  const rest = x.shape[Symbol.iterator]();
  const shape = Array.from({ length: rank }, (_, axis) =>
    added.has(axis) ? constant(1) : (rest.next().value ?? constant(1)),
  );
  return [{ elemType: x.elemType, shape, data: x.data }];
};

export const squeeze: Rule = (node, context) => {
  const [x] = context.inputs;
  if (!x?.shape) return [{ elemType: x?.elemType ?? 0, data: x?.data }];
  const given = axesOf(node, context);
  const rank = x.shape.length;
  const axes = new Set(
    given?.map((axis) => resolveAxis(axis, rank)) ??
      x.shape.flatMap((dim, axis) => (toNumber(dim) === 1 ? [axis] : [])),
  );
  return [{ elemType: x.elemType, shape: x.shape.filter((_, axis) => !axes.has(axis)), data: x.data }];
};

export const transpose: Rule = (node, { inputs: [x] }) => {
  if (!x?.shape) return [{ elemType: x?.elemType ?? 0 }];
  const perm = intsAttribute(node, 'perm') ?? x.shape.map((_, axis, all) => all.length - 1 - axis);
  const shape = perm.map((axis) => x.shape?.[axis]);
  return [{ elemType: x.elemType, shape: shape.every((dim) => dim !== undefined) ? shape : undefined }];
};

/** Where one of the sizes is not known, the tensor's own is the result's if it is more than 1. */
export const expand: Rule = (_, { inputs: [x, target], fresh }) => {
  const length = toNumber(target?.shape?.[0]) ?? Number.POSITIVE_INFINITY;
  const rank = Math.max(x?.shape?.length ?? 0, length);
  const shape =
    x?.shape && rank <= dataLimit
      ? Array.from({ length: rank }, (_, axis) => {
          const own = x.shape?.[axis - rank + (x.shape?.length ?? 0)] ?? constant(1);
          const asked = axis < rank - length ? constant(1) : target?.data?.[axis - rank + length];
          if (asked) return broadcast(own, asked);
          return (toNumber(own) ?? 1) > 1 ? own : fresh(axis);
        })
      : undefined;
  const one = target?.data?.every((dim) => toNumber(dim) === 1);
  return [{ elemType: x?.elemType ?? 0, shape, data: one ? x?.data : undefined }];
};

export const split: Rule = (node, context) => {
  const [x, sizes] = context.inputs;
  const shape = x?.shape;
  if (!x || !shape) return node.output.map(() => ({ elemType: x?.elemType ?? 0 }));
  const axis = resolveAxis(intAttribute(node, 'axis') ?? 0, shape.length);
  const whole = shape[axis] ?? context.fresh(axis);
  const given = intsAttribute(node, 'split')?.map(constant) ?? sizes?.data;
  return node.output.map((_, i) => {
    const part = given ? given[i] : divide(whole, constant(node.output.length));
    return { elemType: x.elemType, shape: shape.map((dim, j) => (j === axis ? (part ?? context.fresh(j)) : dim)) };
  });
};

export const tile: Rule = (_, { inputs: [x, repeats], fresh }) => [
  {
    elemType: x?.elemType ?? 0,
    shape: x?.shape?.map((dim, axis) => {
      const count = repeats?.data?.[axis];
      return count ? multiply(dim, count) : fresh(axis);
    }),
  },
];

export const constantOfShape: Rule = (node, { inputs: [target] }) => {
  const bytes = attribute(node, 'value')?.t;
  const tensor = bytes && readTensor(bytes);
  const fill = tensor ? readSmall(tensor)?.[0] : 0;
  const shape = target?.data?.every((dim) => dim !== undefined) ? (target.data as Dim[]) : undefined;
  const size = shape && toNumber(product(shape));
  const data =
    fill !== undefined && size !== undefined && size >= 0 && size <= dataLimit && Number.isInteger(size)
      ? new Array<Dim>(size).fill(constant(fill))
      : undefined;
  return [{ elemType: tensor?.dataType ?? DataType.FLOAT, shape, data }];
};

export const constantRule: Rule = (node) => {
  for (const a of node.attribute) {
    if (a.name === 'value' && a.t) {
      const tensor = readTensor(a.t);
      return [
        {
          elemType: tensor.dataType,
          shape: tensor.dims.map(constant),
          data: readSmall(tensor, dataLimit)?.map(constant),
        },
      ];
    }
    if (a.name === 'value_int') return [{ elemType: DataType.INT64, shape: [], data: [constant(Number(a.i ?? 0))] }];
    if (a.name === 'value_ints')
      return [
        { elemType: DataType.INT64, shape: [constant(a.ints.length)], data: a.ints.map((i) => constant(Number(i))) },
      ];
    if (a.name === 'value_float') return [{ elemType: DataType.FLOAT, shape: [], data: [constant(a.f ?? 0)] }];
    if (a.name === 'value_floats')
      return [{ elemType: DataType.FLOAT, shape: [constant(a.floats.length)], data: a.floats.map(constant) }];
  }
  return [];
};

export const range: Rule = (_, { inputs: [start, limit, delta], fresh }) => {
  const [from, to, step] = [start?.data?.[0], limit?.data?.[0], delta?.data?.[0]];
  const unit = toNumber(step) === 1 && from && to;
  return [{ elemType: start?.elemType ?? 0, shape: [unit ? add(to, from, -1) : fresh(0)] }];
};

export const topK: Rule = (node, { inputs: [x, k] }) => {
  if (!x?.shape) return [];
  const axis = resolveAxis(intAttribute(node, 'axis') ?? -1, x.shape.length);
  const shape = x.shape.map((dim, i) => (i === axis ? (k?.data?.[0] ?? dim) : dim));
  return [
    { elemType: x.elemType, shape },
    { elemType: DataType.INT64, shape },
  ];
};
