/** Operators that slide windows over axes behind batch and channels, and those that resize, pad and fold such axes. */
import { add, constant, type Dim, divide, divideExactly, multiply, toNumber } from '../dims.js';
import type { NodeProto } from '../gen/onnx.js';
import { intAttribute, intsAttribute, stringAttribute } from '../graph.js';
import { type Context, knownNumbers, type Rule, resolveAxis } from './rule.js';

/** Where a window of some size may stand on each axis; a size that does not come out even is not known. */
function places(
  node: NodeProto,
  space: readonly Dim[],
  kernel: readonly (number | undefined)[],
  fresh: Context['fresh'],
): Dim[] {
  const count = space.length;
  const strides = intsAttribute(node, 'strides') ?? space.map(() => 1);
  const dilations = intsAttribute(node, 'dilations') ?? space.map(() => 1);
  const pads = intsAttribute(node, 'pads') ?? space.flatMap(() => [0, 0]);
  const plain = (stringAttribute(node, 'auto_pad') ?? 'NOTSET') === 'NOTSET' && intAttribute(node, 'ceil_mode') !== 1;
  return space.map((dim, i) => {
    const [k, stride] = [kernel[i], strides[i]];
    if (!plain || k === undefined || stride === undefined) return fresh(i + 2);
    const around = (pads[i] ?? 0) + (pads[i + count] ?? 0) - (dilations[i] ?? 1) * (k - 1) - 1;
    const room = add(dim, constant(around));
    const whole = toNumber(room) !== undefined || divideExactly(room, constant(stride)) !== undefined;
    return whole ? add(divide(room, constant(stride)), constant(1)) : fresh(i + 2);
  });
}

export const conv: Rule = (node, { inputs: [x, weight], fresh }) => {
  const [batch, , ...space] = x?.shape ?? [];
  const channels = weight?.shape?.[0];
  if (!batch || !channels) return [{ elemType: x?.elemType ?? 0 }];
  const kernel = weight?.shape?.slice(2).map(toNumber) ?? [];
  return [{ elemType: x?.elemType ?? 0, shape: [batch, channels, ...places(node, space, kernel, fresh)] }];
};

export const convTranspose: Rule = (node, { inputs: [x, weight], fresh }) => {
  const [batch, , ...space] = x?.shape ?? [];
  const channels = weight?.shape?.[1];
  if (!batch || !channels) return [{ elemType: x?.elemType ?? 0 }];
  const grouped = multiply(channels, constant(intAttribute(node, 'group') ?? 1));
  return [{ elemType: x?.elemType ?? 0, shape: [batch, grouped, ...space.map((_, i) => fresh(i + 2))] }];
};

export const pool: Rule = (node, { inputs: [x], fresh }) => {
  const [batch, channels, ...space] = x?.shape ?? [];
  if (!batch || !channels) return [{ elemType: x?.elemType ?? 0 }];
  const kernel = intsAttribute(node, 'kernel_shape') ?? [];
  return [{ elemType: x?.elemType ?? 0, shape: [batch, channels, ...places(node, space, kernel, fresh)] }];
};

export const globalPool: Rule = (_, { inputs: [x] }) => [
  x && { elemType: x.elemType, shape: x.shape?.map((dim, axis) => (axis < 2 ? dim : constant(1))) },
];

export const pad: Rule = (node, { inputs: [x, amounts, , axes], fresh }) => {
  const pads = intsAttribute(node, 'pads') ?? knownNumbers(amounts);
  const which = axes ? knownNumbers(axes) : x?.shape?.map((_, axis) => axis);
  const shape = x?.shape?.map((dim, axis) => {
    if (!which?.every((at) => at !== undefined)) return fresh(axis);
    const at = which.findIndex((given) => resolveAxis(given, x.shape?.length ?? 0) === axis);
    if (at < 0) return dim;
    const [before, after] = [pads?.[at], pads?.[at + which.length]];
    return before === undefined || after === undefined ? fresh(axis) : add(dim, constant(before + after));
  });
  return [{ elemType: x?.elemType ?? 0, shape }];
};

export const resize: Rule = (_, { inputs: [x, , scales, sizes], fresh }) => {
  const shape = x?.shape?.map(
    (dim, axis) => sizes?.data?.[axis] ?? (toNumber(scales?.data?.[axis]) === 1 ? dim : fresh(axis)),
  );
  return [{ elemType: x?.elemType ?? 0, shape }];
};

/** Blocks of rows and columns to channels, or back. */
export const blocks: Rule = (node, { inputs: [x], fresh }) => {
  const size = intAttribute(node, 'blocksize');
  const [batch, channels, rows, columns] = x?.shape ?? [];
  if (!size || !batch || !channels || !rows || !columns) return [{ elemType: x?.elemType ?? 0 }];
  const [square, side] = [constant(size * size), constant(size)];
  const over = (dim: Dim, by: Dim, axis: number) => divideExactly(dim, by) ?? fresh(axis);
  const shape =
    node.opType === 'SpaceToDepth'
      ? [batch, multiply(channels, square), over(rows, side, 2), over(columns, side, 3)]
      : [batch, over(channels, square, 1), multiply(rows, side), multiply(columns, side)];
  return [{ elemType: x?.elemType ?? 0, shape }];
};
