/** Elementwise operators; their data is followed where it is small, for that is how exporters compute shapes. */
import { constant, type Dim, divide, divideExactly, equal, product, toNumber } from '../dims.js';
import { TensorProto_DataType as DataType } from '../gen/onnx.js';
import { intAttribute } from '../graph.js';
import type { ValueType } from '../value-type.js';
import { broadcastShapes, dataLimit, type Rule, type Scalar } from './rule.js';

export const asBool: Rule = (_, { inputs: [x] }) => [{ elemType: DataType.BOOL, shape: x?.shape }];

export function elementwise(compute?: (...operands: Dim[]) => Scalar, elemType?: DataType): Rule {
  return (_, { inputs }) => {
    const operands = inputs.filter((x) => x !== undefined);
    const shape = broadcastShapes(operands.map((x) => x.shape));
    // A node may lack the inputs that its operator asks for.
    const enough = compute && operands.length >= compute.length;
    const data = enough && shape ? computeData(operands, shape, compute) : undefined;
    return [{ elemType: elemType ?? operands.find((x) => x.elemType)?.elemType ?? 0, shape, data }];
  };
}

/** Elementwise on known data. Operands are scalars, single elements or of the same length: enough for shapes. */
function computeData(
  operands: readonly ValueType[],
  shape: readonly Dim[],
  compute: (...operands: Dim[]) => Scalar,
): Scalar[] | undefined {
  const size = toNumber(product(shape));
  if (size === undefined || size > dataLimit) return undefined;
  if (!operands.every((x) => x.data && (x.data.length === 1 || x.data.length === size))) return undefined;
  return Array.from({ length: size }, (_, i) => {
    const values = operands.map((x) => (x.data?.length === 1 ? x.data[0] : x.data?.[i]));
    return values.every((value) => value !== undefined) ? compute(...values) : undefined;
  });
}

export const real =
  (f: (...numbers: number[]) => number) =>
  (...operands: Dim[]): Scalar => {
    const numbers = operands.map(toNumber);
    return numbers.every((n) => n !== undefined) ? constant(f(...numbers)) : undefined;
  };

/** Sizes are never negative, so a symbolic size differs from -1: exporters ask that to fill in Expand's -1. */
export function sameNumber(a: Dim, b: Dim): Scalar {
  const [x, y] = [toNumber(a), toNumber(b)];
  if (x !== undefined && y !== undefined) return constant(x === y ? 1 : 0);
  return (x ?? y ?? 0) < 0 ? constant(0) : equal(a, b) ? constant(1) : undefined;
}

export const quotient: Rule = (node, context) => {
  const integral = context.inputs.some((x) => x && [DataType.INT64, DataType.INT32].includes(x.elemType));
  return elementwise(integral ? divide : (a, b) => real((x, y) => x / y)(a, b) ?? divideExactly(a, b))(node, context);
};

export const where: Rule = (node, context) => {
  const [condition, a, b] = context.inputs;
  const choose = (c: Dim, x: Dim, y: Dim): Scalar => {
    const number = toNumber(c);
    return number === undefined ? (equal(x, y) ? x : undefined) : number ? x : y;
  };
  const [out] = elementwise(choose)(node, { ...context, inputs: [condition, a, b] });
  return [out && { ...out, elemType: a?.elemType || b?.elemType || 0 }];
};

export const cast: Rule = (node, { inputs: [x] }) => {
  const elemType = intAttribute(node, 'to') ?? 0;
  const truncate = elemType === DataType.INT64 || elemType === DataType.INT32;
  const data = x?.data?.map((dim) => {
    const number = toNumber(dim);
    if (elemType === DataType.BOOL) return number === undefined ? undefined : constant(number ? 1 : 0);
    return number !== undefined && truncate ? constant(Math.trunc(number)) : dim;
  });
  return [{ elemType, shape: x?.shape, data }];
};

/** Data is followed for one scale and one zero point: exporters quantise constant factors, too. */
export const dequantize: Rule = (_, { inputs: [x, scale, zero] }) => {
  const [factor, offset] = [toNumber(scale?.data?.[0]), zero ? toNumber(zero.data?.[0]) : 0];
  const known = scale?.data?.length === 1 && factor !== undefined && offset !== undefined;
  const data = x?.data?.map((dim) => {
    const number = toNumber(dim);
    return known && number !== undefined ? constant((number - offset) * factor) : undefined;
  });
  return [{ elemType: scale?.elemType ?? DataType.FLOAT, shape: x?.shape, data }];
};

export const quantize: Rule = (_, { inputs: [x, scale, zero] }) => {
  const elemType = zero?.elemType ?? DataType.UINT8;
  const [factor, offset] = [toNumber(scale?.data?.[0]), zero ? toNumber(zero.data?.[0]) : 0];
  const [low, high] = elemType === DataType.INT8 ? [-128, 127] : [0, 255];
  const byte = elemType === DataType.INT8 || elemType === DataType.UINT8;
  const data = x?.data?.map((dim) => {
    const number = toNumber(dim);
    if (!byte || number === undefined || factor === undefined || offset === undefined) return undefined;
    return constant(Math.min(high, Math.max(low, Math.round(number / factor) + offset)));
  });
  return [{ elemType, shape: x?.shape, data }];
};

export const dynamicQuantize: Rule = (_, { inputs: [x] }) => [
  { elemType: DataType.UINT8, shape: x?.shape },
  { elemType: DataType.FLOAT, shape: [] },
  { elemType: DataType.UINT8, shape: [] },
];

export const power = real((x, y) => x ** y);
