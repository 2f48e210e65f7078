// Written by scripts/proto-table.ts from onnx.proto: npm run proto. Do not edit.

export enum AttributeProto_AttributeType {
  UNDEFINED = 0,
  FLOAT = 1,
  INT = 2,
  STRING = 3,
  TENSOR = 4,
  GRAPH = 5,
  SPARSE_TENSOR = 11,
  TYPE_PROTO = 13,
  FLOATS = 6,
  INTS = 7,
  STRINGS = 8,
  TENSORS = 9,
  GRAPHS = 10,
  SPARSE_TENSORS = 12,
  TYPE_PROTOS = 14,
}

export enum TensorProto_DataType {
  UNDEFINED = 0,
  FLOAT = 1,
  UINT8 = 2,
  INT8 = 3,
  UINT16 = 4,
  INT16 = 5,
  INT32 = 6,
  INT64 = 7,
  STRING = 8,
  BOOL = 9,
  FLOAT16 = 10,
  DOUBLE = 11,
  UINT32 = 12,
  UINT64 = 13,
  COMPLEX64 = 14,
  COMPLEX128 = 15,
  BFLOAT16 = 16,
  FLOAT8E4M3FN = 17,
  FLOAT8E4M3FNUZ = 18,
  FLOAT8E5M2 = 19,
  FLOAT8E5M2FNUZ = 20,
  UINT4 = 21,
  INT4 = 22,
  FLOAT4E2M1 = 23,
  FLOAT8E8M0 = 24,
}

export interface AttributeProto {
  readonly name?: string | undefined;
  readonly f?: number | undefined;
  readonly i?: bigint | undefined;
  readonly s?: Uint8Array | undefined;
  readonly t?: Uint8Array | undefined;
  readonly g?: GraphProto | undefined;
  readonly floats: readonly number[];
  readonly ints: readonly bigint[];
  readonly strings: readonly Uint8Array[];
  readonly tensors: readonly Uint8Array[];
  readonly graphs: readonly GraphProto[];
  readonly docString?: string | undefined;
  readonly tp?: Uint8Array | undefined;
  readonly typeProtos: readonly Uint8Array[];
  readonly type?: AttributeProto_AttributeType | undefined;
  readonly refAttrName?: string | undefined;
  readonly sparseTensor?: Uint8Array | undefined;
  readonly sparseTensors: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface ValueInfoProto {
  readonly name?: string | undefined;
  readonly type?: TypeProto | undefined;
  readonly docString?: string | undefined;
  readonly metadataProps: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface NodeProto {
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name?: string | undefined;
  readonly opType?: string | undefined;
  readonly attribute: readonly AttributeProto[];
  readonly docString?: string | undefined;
  readonly domain?: string | undefined;
  readonly overload?: string | undefined;
  readonly metadataProps: readonly Uint8Array[];
  readonly deviceConfigurations: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface ModelProto {
  readonly irVersion?: bigint | undefined;
  readonly producerName?: string | undefined;
  readonly producerVersion?: string | undefined;
  readonly domain?: string | undefined;
  readonly modelVersion?: bigint | undefined;
  readonly docString?: string | undefined;
  readonly graph?: GraphProto | undefined;
  readonly opsetImport: readonly OperatorSetIdProto[];
  readonly metadataProps: readonly StringStringEntryProto[];
  readonly trainingInfo: readonly Uint8Array[];
  readonly functions: readonly Uint8Array[];
  readonly configuration: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface FunctionProto {
  readonly name?: string | undefined;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly node: readonly NodeProto[];
  readonly docString?: string | undefined;
  readonly opsetImport: readonly OperatorSetIdProto[];
  readonly domain?: string | undefined;
  readonly attributeProto: readonly AttributeProto[];
  readonly valueInfo: readonly ValueInfoProto[];
  readonly overload?: string | undefined;
  readonly metadataProps: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface StringStringEntryProto {
  readonly key?: string | undefined;
  readonly value?: string | undefined;
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name?: string | undefined;
  readonly initializer: readonly Uint8Array[];
  readonly docString?: string | undefined;
  readonly input: readonly ValueInfoProto[];
  readonly output: readonly ValueInfoProto[];
  readonly valueInfo: readonly ValueInfoProto[];
  readonly quantizationAnnotation: readonly Uint8Array[];
  readonly sparseInitializer: readonly Uint8Array[];
  readonly metadataProps: readonly Uint8Array[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface TensorShapeProto {
  readonly dim: readonly TensorShapeProto_Dimension[];
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface TensorShapeProto_Dimension {
  readonly value?:
    | { readonly $case: 'dimValue'; readonly value: bigint }
    | { readonly $case: 'dimParam'; readonly value: string }
    | undefined;
  readonly denotation?: string | undefined;
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface TypeProto {
  readonly value?:
    | { readonly $case: 'tensorType'; readonly value: TypeProto_Tensor }
    | { readonly $case: 'sequenceType'; readonly value: Uint8Array }
    | { readonly $case: 'mapType'; readonly value: Uint8Array }
    | { readonly $case: 'optionalType'; readonly value: Uint8Array }
    | { readonly $case: 'sparseTensorType'; readonly value: Uint8Array }
    | undefined;
  readonly denotation?: string | undefined;
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface TypeProto_Tensor {
  readonly elemType?: number | undefined;
  readonly shape?: TensorShapeProto | undefined;
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface OperatorSetIdProto {
  readonly domain?: string | undefined;
  readonly version?: bigint | undefined;
  /** Fields that the schema does not know, as they stand in the file. */
  readonly unknown?: readonly Uint8Array[];
}

export interface Messages {
  AttributeProto: AttributeProto;
  ValueInfoProto: ValueInfoProto;
  NodeProto: NodeProto;
  ModelProto: ModelProto;
  FunctionProto: FunctionProto;
  StringStringEntryProto: StringStringEntryProto;
  GraphProto: GraphProto;
  TensorShapeProto: TensorShapeProto;
  TensorShapeProto_Dimension: TensorShapeProto_Dimension;
  TypeProto: TypeProto;
  TypeProto_Tensor: TypeProto_Tensor;
  OperatorSetIdProto: OperatorSetIdProto;
}

export const table = `
AttributeProto name=1s f=2f i=3i s=4b t=5b g=6GraphProto floats=7f* ints=8i* strings=9b* tensors=10b* graphs=11GraphProto* docString=13s tp=14b typeProtos=15b* type=20n refAttrName=21s sparseTensor=22b sparseTensors=23b*
ValueInfoProto name=1s type=2TypeProto docString=3s metadataProps=4b*
NodeProto input=1s* output=2s* name=3s opType=4s attribute=5AttributeProto* docString=6s domain=7s overload=8s metadataProps=9b* deviceConfigurations=10b*
ModelProto irVersion=1i producerName=2s producerVersion=3s domain=4s modelVersion=5i docString=6s graph=7GraphProto opsetImport=8OperatorSetIdProto* metadataProps=14StringStringEntryProto* trainingInfo=20b* functions=25b* configuration=26b*
FunctionProto name=1s input=4s* output=5s* attribute=6s* node=7NodeProto* docString=8s opsetImport=9OperatorSetIdProto* domain=10s attributeProto=11AttributeProto* valueInfo=12ValueInfoProto* overload=13s metadataProps=14b*
StringStringEntryProto key=1s value=2s
GraphProto node=1NodeProto* name=2s initializer=5b* docString=10s input=11ValueInfoProto* output=12ValueInfoProto* valueInfo=13ValueInfoProto* quantizationAnnotation=14b* sparseInitializer=15b* metadataProps=16b*
TensorShapeProto dim=1TensorShapeProto_Dimension*
TensorShapeProto_Dimension value.dimValue=1i value.dimParam=2s denotation=3s
TypeProto value.tensorType=1TypeProto_Tensor value.sequenceType=4b value.mapType=5b denotation=6s value.sparseTensorType=8b value.optionalType=9b
TypeProto_Tensor elemType=1n shape=2TensorShapeProto
OperatorSetIdProto domain=1s version=2i`;
