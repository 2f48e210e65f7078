/** Shape rules by operator. */
import { add, constant, equal, multiply } from '../dims.js';
import { TensorProto_DataType as DataType, type NodeProto } from '../gen/onnx.js';
import { operatorName } from '../graph.js';
import type { ValueType } from '../value-type.js';
import {
  asBool,
  cast,
  dequantize,
  dynamicQuantize,
  elementwise,
  power,
  quantize,
  quotient,
  real,
  sameNumber,
  where,
} from './arithmetic.js';
import {
  attention,
  decoderMaskedAttention,
  groupQueryAttention,
  kernelAttention,
  microsoftAttention,
  multiHeadAttention,
  relativePositionBias,
} from './attention.js';
import {
  concat,
  constantOfShape,
  constantRule,
  expand,
  flatten,
  gather,
  gatherND,
  range,
  reshape,
  shapeRule,
  size,
  slice,
  split,
  squeeze,
  tile,
  topK,
  transpose,
  unsqueeze,
} from './movement.js';
import {
  argReduce,
  einsum,
  embedLayerNorm,
  fusedMatmul,
  gemm,
  matMulNBits,
  matmul,
  reduce,
  skipLayerNorm,
} from './products.js';
import { type Context, type Rule, sameAsFirst, upTo } from './rule.js';
import { blocks, conv, convTranspose, globalPool, pad, pool, resize } from './spatial.js';

/** The types of a node's outputs, as far as its operator is known. Never throws: what is odd is unknown. */
export function inferNode(node: NodeProto, context: Context): (ValueType | undefined)[] {
  const types = rules.get(operatorName(node))?.(node, context) ?? [];
  return types.map((type) => type && { ...type, shape: upTo(type.shape), data: upTo(type.data) });
}

/** Both branches agree, or nothing is known. */
const ifRule: Rule = (node, { branches: [then, otherwise] }) =>
  node.output.map((_, i) => {
    const [a, b] = [then?.[i], otherwise?.[i]];
    const same =
      a?.shape &&
      b?.shape &&
      a.shape.length === b.shape.length &&
      a.shape.every((dim, axis) => equal(dim, b.shape?.[axis]));
    return a && { elemType: a.elemType, shape: same ? a.shape : undefined };
  });

const typedAs =
  (elemType: DataType, rule: Rule): Rule =>
  (node, context) =>
    rule(node, context).map((type) => type && { ...type, elemType });

/** Of a product whose operands each come with a scale and a zero point. */
const quantised =
  (rule: Rule): Rule =>
  (node, context) =>
    rule(node, { ...context, inputs: [context.inputs[0], context.inputs[3]] });

const rules: ReadonlyMap<string, Rule> = new Map(
  Object.entries<Rule>({
    ...Object.fromEntries(
      (
        'Identity Dropout Relu Erf Tanh Sigmoid Exp Log Abs Sin Cos Softmax LogSoftmax LayerNormalization RMSNormalization SimplifiedLayerNormalization ' +
        'LayerNorm BatchNormalization InstanceNormalization Gelu Clip Elu LeakyRelu HardSigmoid Softplus Round Ceil Reciprocal CumSum ScatterND ' +
        'ScatterElements Tan Sign HardSwish Mish GroupNormalization Celu Selu ThresholdedRelu Sinh Cosh Asin Acos Atan Asinh Acosh Atanh ' +
        'Softsign Hardmax Shrink Swish LpNormalization MeanVarianceNormalization LRN ReverseSequence RandomNormalLike RandomUniformLike Bernoulli'
      )
        .split(' ')
        .map((op): [string, Rule] => [op, sameAsFirst]),
    ),
    Identity: (_, { inputs: [x] }) => [x],
    Floor: elementwise(real(Math.floor)),
    Neg: elementwise((a) => multiply(a, constant(-1))),
    Sqrt: elementwise(real(Math.sqrt)),
    Not: elementwise(
      real((x) => (x ? 0 : 1)),
      DataType.BOOL,
    ),
    IsNaN: asBool,
    IsInf: asBool,
    Add: elementwise((a, b) => add(a, b)),
    Sub: elementwise((a, b) => add(a, b, -1)),
    Mul: elementwise(multiply),
    Div: quotient,
    Mod: elementwise(real((x, y) => x - y * Math.floor(x / y))),
    Pow: elementwise(power),
    Max: elementwise(real(Math.max)),
    Min: elementwise(real(Math.min)),
    And: elementwise(
      real((x, y) => x && y),
      DataType.BOOL,
    ),
    Or: elementwise(
      real((x, y) => x || y),
      DataType.BOOL,
    ),
    Xor: elementwise(undefined, DataType.BOOL),
    Equal: elementwise(sameNumber, DataType.BOOL),
    Less: elementwise(
      real((x, y) => Number(x < y)),
      DataType.BOOL,
    ),
    LessOrEqual: elementwise(
      real((x, y) => Number(x <= y)),
      DataType.BOOL,
    ),
    Greater: elementwise(
      real((x, y) => Number(x > y)),
      DataType.BOOL,
    ),
    GreaterOrEqual: elementwise(
      real((x, y) => Number(x >= y)),
      DataType.BOOL,
    ),
    PRelu: sameAsFirst,
    Where: where,
    Shape: shapeRule,
    Size: size,
    Gather: gather,
    GatherND: gatherND,
    NonZero: (_, { inputs: [x], fresh }) => [
      { elemType: DataType.INT64, shape: x?.shape && [constant(x.shape.length), fresh(1)] },
    ],
    GatherElements: (_, { inputs: [x, index] }) => [{ elemType: x?.elemType ?? 0, shape: index?.shape }],
    Concat: concat,
    Slice: slice,
    Reshape: reshape,
    Flatten: flatten,
    Unsqueeze: unsqueeze,
    Squeeze: squeeze,
    Transpose: transpose,
    Expand: expand,
    Tile: tile,
    Einsum: einsum,
    ConstantOfShape: constantOfShape,
    Constant: constantRule,
    Cast: cast,
    CastLike: (_, { inputs: [x, like] }) => [{ elemType: like?.elemType ?? 0, shape: x?.shape, data: x?.data }],
    Split: split,
    MatMul: matmul,
    'com.microsoft.FusedMatMul': fusedMatmul,
    'com.microsoft.MatMulNBits': matMulNBits,
    'com.microsoft.MatMulBnb4': matMulNBits,
    'com.microsoft.Gelu': sameAsFirst,
    'com.microsoft.FastGelu': sameAsFirst,
    'com.microsoft.BiasGelu': sameAsFirst,
    'com.microsoft.QuickGelu': sameAsFirst,
    'com.microsoft.SkipLayerNormalization': skipLayerNorm,
    'com.microsoft.SkipSimplifiedLayerNormalization': skipLayerNorm,
    'com.microsoft.EmbedLayerNormalization': embedLayerNorm,
    'com.microsoft.RotaryEmbedding': sameAsFirst,
    'com.microsoft.MultiHeadAttention': multiHeadAttention,
    'com.microsoft.DecoderMaskedMultiHeadAttention': decoderMaskedAttention,
    'com.microsoft.Attention': microsoftAttention,
    'com.microsoft.GroupQueryAttention': groupQueryAttention,
    Attention: attention,
    RotaryEmbedding: sameAsFirst,
    MatMulInteger: typedAs(DataType.INT32, matmul),
    DequantizeLinear: dequantize,
    QuantizeLinear: quantize,
    DynamicQuantizeLinear: dynamicQuantize,
    Gemm: gemm,
    Conv: conv,
    ReduceMean: reduce,
    ReduceSum: reduce,
    ReduceMax: reduce,
    ReduceMin: reduce,
    ReduceProd: reduce,
    ReduceL1: reduce,
    ReduceL2: reduce,
    ReduceLogSum: reduce,
    ReduceLogSumExp: reduce,
    ReduceSumSquare: reduce,
    ArgMax: argReduce,
    ArgMin: argReduce,
    Range: range,
    Trilu: sameAsFirst,
    TopK: topK,
    If: ifRule,
    Pad: pad,
    Resize: resize,
    ConvTranspose: convTranspose,
    'com.microsoft.FusedConv': conv,
    ConvInteger: typedAs(DataType.INT32, conv),
    QLinearConv: quantised(conv),
    QLinearMatMul: quantised(matmul),
    'com.microsoft.MatMulIntegerToFloat': typedAs(DataType.FLOAT, matmul),
    'com.microsoft.DynamicQuantizeMatMul': typedAs(DataType.FLOAT, matmul),
    'com.microsoft.RelativePositionBias': relativePositionBias,
    'performers.Attend': kernelAttention,
    'performers.FeatureAttention': kernelAttention,
    'performers.HybridAttention': kernelAttention,
    'performers.TileAttention': kernelAttention,
    AveragePool: pool,
    MaxPool: pool,
    LpPool: pool,
    GlobalAveragePool: globalPool,
    GlobalMaxPool: globalPool,
    DepthToSpace: blocks,
    SpaceToDepth: blocks,
  }),
);
