/** Products, convolutions, reductions and the fused operators around attention. */
import { add, constant, type Dim, divide, divideExactly, product, toNumber } from '../dims.js';
import { TensorProto_DataType as DataType } from '../gen/onnx.js';
import { attribute, intAttribute, intsAttribute, stringAttribute } from '../graph.js';
import type { ValueType } from '../value-type.js';
import { axesOf, broadcastShapes, type Rule, resolveAxis } from './rule.js';

export const matmul: Rule = (_, { inputs: [a, b] }) => {
  const elemType = a?.elemType || b?.elemType || 0;
  if (!a?.shape || !b?.shape || a.shape.length < 2 || b.shape.length < 2) return [{ elemType }];
  const batch = broadcastShapes([a.shape.slice(0, -2), b.shape.slice(0, -2)]) ?? [];
  const [rows, columns] = [a.shape.at(-2), b.shape.at(-1)];
  return [{ elemType, shape: rows && columns ? [...batch, rows, columns] : undefined }];
};

export const fusedMatmul: Rule = (node, context) => {
  const flip = (x: ValueType | undefined, name: string): ValueType | undefined => {
    if (!x?.shape || intAttribute(node, name) !== 1) return x;
    const [row, column] = x.shape.slice(-2);
    return row && column ? { elemType: x.elemType, shape: [...x.shape.slice(0, -2), column, row] } : x;
  };
  const [a, b] = context.inputs;
  return matmul(node, { ...context, inputs: [flip(a, 'transA'), flip(b, 'transB')] });
};

/** Sizes by letter, for the equations that name every axis. */
export const einsum: Rule = (node, { inputs }) => {
  const equation = (stringAttribute(node, 'equation') ?? '').replaceAll(' ', '');
  const [left = '', out = ''] = equation.split('->');
  const sizes = new Map<string, Dim>();
  for (const [i, term] of left.split(',').entries()) {
    const shape = inputs[i]?.shape;
    if (!shape || shape.length !== term.length) return [{ elemType: inputs[0]?.elemType ?? 0 }];
    for (const [axis, dim] of shape.entries()) sizes.set(term[axis] ?? '', dim);
  }
  const shape = [...out].map((axis) => sizes.get(axis));
  const known = /^[a-zA-Z,]+->[a-zA-Z]+$/.test(equation) && shape.every((dim) => dim !== undefined);
  return [{ elemType: inputs[0]?.elemType ?? 0, shape: known ? shape : undefined }];
};

export const gemm: Rule = (node, { inputs: [a, b] }) => {
  const rows = a?.shape?.[intAttribute(node, 'transA') ? 1 : 0];
  const columns = b?.shape?.[intAttribute(node, 'transB') ? 0 : 1];
  return [{ elemType: a?.elemType ?? 0, shape: rows && columns ? [rows, columns] : undefined }];
};

export const conv: Rule = (node, { inputs: [x, weight], fresh }) => {
  const [batch, , ...space] = x?.shape ?? [];
  const channels = weight?.shape?.[0];
  if (!batch || !channels) return [{ elemType: x?.elemType ?? 0 }];
  const kernel = weight?.shape?.slice(2).map(toNumber) ?? [];
  const strides = intsAttribute(node, 'strides') ?? kernel.map(() => 1);
  const dilations = intsAttribute(node, 'dilations') ?? kernel.map(() => 1);
  const pads = intsAttribute(node, 'pads') ?? kernel.flatMap(() => [0, 0]);
  const plain = !attribute(node, 'auto_pad') || new TextDecoder().decode(attribute(node, 'auto_pad')?.s) === 'NOTSET';
  const sizes = space.map((dim, i) => {
    const [k, stride] = [kernel[i], strides[i]];
    if (!plain || k === undefined || stride === undefined) return fresh(i + 2);
    const around = (pads[i] ?? 0) + (pads[i + space.length] ?? 0) - (dilations[i] ?? 1) * (k - 1) - 1;
    const out = divide(add(dim, constant(around)), constant(stride));
    return toNumber(out) === undefined && !divideExactly(add(dim, constant(around)), constant(stride))
      ? fresh(i + 2)
      : add(out, constant(1));
  });
  return [{ elemType: x?.elemType ?? 0, shape: [batch, channels, ...sizes] }];
};

export const reduce: Rule = (node, context) => {
  const [x] = context.inputs;
  if (!x?.shape) return [{ elemType: x?.elemType ?? 0 }];
  const axes = axesOf(node, context) ?? (context.inputs[1] ? undefined : x.shape.map((_, axis) => axis));
  if (!axes) return [{ elemType: x.elemType }];
  const reduced = new Set(axes.map((axis) => resolveAxis(axis, x.shape?.length ?? 0)));
  const keep = (intAttribute(node, 'keepdims') ?? 1) === 1;
  const shape = x.shape.flatMap((dim, axis) => (reduced.has(axis) ? (keep ? [constant(1)] : []) : [dim]));
  const total =
    node.opType === 'ReduceProd' && x.data?.every((d) => d !== undefined) ? [product(x.data as Dim[])] : undefined;
  return [{ elemType: x.elemType, shape, data: total }];
};

export const matMulNBits: Rule = (node, { inputs: [x] }) => {
  const columns = intAttribute(node, 'N');
  return [
    {
      elemType: x?.elemType ?? 0,
      shape: x?.shape && columns ? [...x.shape.slice(0, -1), constant(columns)] : undefined,
    },
  ];
};

export const matMulInteger: Rule = (node, context) =>
  matmul(node, context).map((out) => out && { ...out, elemType: DataType.INT32 });

export const embedLayerNorm: Rule = (_, { inputs: [ids, , table] }) => {
  const [batch, width] = [ids?.shape?.[0], table?.shape?.[1]];
  return [
    { elemType: table?.elemType ?? 0, shape: ids?.shape && width && [...ids.shape, width] },
    { elemType: DataType.INT32, shape: batch && [batch] },
  ];
};

export const skipLayerNorm: Rule = (_, { inputs: [x] }) => [
  x && { elemType: x.elemType, shape: x.shape },
  undefined,
  undefined,
  x && { elemType: x.elemType, shape: x.shape },
];
