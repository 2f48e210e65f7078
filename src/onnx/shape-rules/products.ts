/** Products, reductions and the fused operators around attention. */
import { broadcast, constant, type Dim, product } from '../dims.js';
import { TensorProto_DataType as DataType } from '../gen/onnx.js';
import { intAttribute, stringAttribute } from '../graph.js';
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

/** Sizes by letter. What an ellipsis stands for is named by `spelled`, so that every axis has a letter. */
export const einsum: Rule = (node, { inputs }) => {
  const elemType = inputs[0]?.elemType ?? 0;
  const ranks = inputs.map((input) => input?.shape?.length);
  const equation = spelled(stringAttribute(node, 'equation') ?? '', ranks);
  if (!equation) return [{ elemType }];
  const sizes = new Map<string, Dim>();
  for (const [i, term] of equation.terms.entries()) {
    const shape = inputs[i]?.shape;
    if (!shape || shape.length !== term.length) return [{ elemType }];
    for (const [axis, dim] of shape.entries()) {
      const before = sizes.get(term[axis] ?? '');
      sizes.set(term[axis] ?? '', before ? broadcast(before, dim) : dim);
    }
  }
  const shape = [...equation.out].map((axis) => sizes.get(axis));
  return [{ elemType, shape: shape.every((dim) => dim !== undefined) ? shape : undefined }];
};

/** An equation of Einsum with one letter an axis, or undefined where its output is not given or a rank not known. */
export function spelled(
  equation: string,
  ranks: readonly (number | undefined)[],
): { terms: readonly string[]; out: string } | undefined {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const given = left.split(',');
  if (right === undefined || given.length !== ranks.length) return undefined;
  const free = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].filter((letter) => !equation.includes(letter));
  const covered = given.flatMap((term, i) =>
    term.includes('...') ? [(ranks[i] ?? Number.NaN) - term.length + 3] : [],
  );
  const most = Math.max(0, ...covered);
  if (covered.some((count) => !(count >= 0)) || most > free.length) return undefined;
  const letters = (count: number) => free.slice(most - count, most).join('');
  let ellipsis = 0;
  const terms = given.map((term) => term.replace('...', () => letters(covered[ellipsis++] ?? 0)));
  const out = right.replace('...', letters(most));
  return [...terms, out].every((term) => /^[a-zA-Z]*$/.test(term)) ? { terms, out } : undefined;
}

export const gemm: Rule = (node, { inputs: [a, b] }) => {
  const rows = a?.shape?.[intAttribute(node, 'transA') ? 1 : 0];
  const columns = b?.shape?.[intAttribute(node, 'transB') ? 0 : 1];
  return [{ elemType: a?.elemType ?? 0, shape: rows && columns ? [rows, columns] : undefined }];
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

/** The largest or least along one axis, by its index. */
export const argReduce: Rule = (node, { inputs: [x] }) => {
  const axis = resolveAxis(intAttribute(node, 'axis') ?? 0, x?.shape?.length ?? 0);
  const keep = (intAttribute(node, 'keepdims') ?? 1) === 1;
  const shape = x?.shape?.flatMap((dim, i) => (i === axis ? (keep ? [constant(1)] : []) : [dim]));
  return [{ elemType: DataType.INT64, shape }];
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
