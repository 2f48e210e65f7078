import { type AttributeValue, type Constant, type Expr, hole } from './expr.js';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
} from './gen/onnx.js';
import { makeAttribute, makeNode } from './message.js';
import { writeTensor } from './tensor.js';

/** Makes nodes and constants with names that no value of the model has. */
export interface Builder {
  /** Version of the standard operator set the model imports: forms of operators differ with it. */
  readonly opset: number;
  /** Nodes made so far, in order. */
  readonly nodes: readonly NodeProto[];
  /** One node with one output; returns the output's name. */
  op(type: string, inputs: readonly string[], attributes?: Attributes, domain?: string): string;
  /** One node with several outputs. */
  ops(type: string, inputs: readonly string[], outputs: number, attributes?: Attributes, domain?: string): string[];
  int64(data: readonly number[], dims?: readonly number[]): string;
  float(data: ArrayLike<number>, dims?: readonly number[]): string;
  /** Nodes for an expression; the same expression object is computed once, unless a `filling` takes the place of its hole. */
  emit(expr: Expr, filling?: string): string;
  /** Gives the last node's output a name of its own, the one that the rest of the graph reads. */
  rename(from: string, to: string): void;
  /** A fresh name, for subgraph inputs and outputs. */
  fresh(hint: string): string;
  /** A builder for a node's body; constants are shared with the graph around it. */
  body(): Builder;
}
export type Attributes = Readonly<Record<string, AttributeValue | GraphProto>>;

/** The value made for a key when it was first asked for. */
export type MadeOnce = (key: string, make: () => string) => string;

export function madeOnce(): MadeOnce {
  const made = new Map<string, string>();
  return (key, make) => {
    const value = made.get(key) ?? make();
    made.set(key, value);
    return value;
  };
}

/** Constants shared by all sites of a model, by content; they become initializers of the main graph. */
export interface ConstantPool {
  readonly initializers: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  name(constant: Constant): string;
}

export function constantPool(prefix: string): ConstantPool {
  const initializers: { name: string; bytes: Uint8Array }[] = [];
  const small = new Map<string, string>();
  return {
    initializers,
    name(constant) {
      const key =
        constant.data.length <= 64
          ? `${constant.type}[${constant.dims}]${Array.from(constant.data, (x) => (Object.is(x, -0) ? '-0' : x))}`
          : undefined;
      const known = key && small.get(key);
      if (known) return known;
      const name = `${prefix}constant_${initializers.length}`;
      initializers.push({ name, bytes: encodeConstant(name, constant) });
      if (key) small.set(key, name);
      return name;
    },
  };
}

const encodings: Record<Constant['type'], { dataType: DataType; pack: (data: ArrayLike<number>) => ArrayBufferView }> =
  {
    float: { dataType: DataType.FLOAT, pack: (data) => Float32Array.from(data) },
    int64: { dataType: DataType.INT64, pack: (data) => BigInt64Array.from(Array.from(data), BigInt) },
    bool: { dataType: DataType.BOOL, pack: (data) => Uint8Array.from(data) },
  };

/** Little-endian as the format asks; so is every platform that runs JavaScript. */
function encodeConstant(name: string, { type, dims, data }: Constant): Uint8Array {
  const { dataType, pack } = encodings[type];
  const packed = pack(data);
  return writeTensor({
    name,
    dataType,
    dims,
    raw: new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength),
  });
}

/**
 * @param prefix begins every name made; no value of the model may begin with it
 */
export function builder(opset: number, prefix: string, pool: ConstantPool): Builder {
  let count = 0;
  const fresh = (hint: string) => `${prefix}${hint}_${count++}`;
  const make = (): Builder => {
    const nodes: NodeProto[] = [];
    const emitted = new Map<Expr, string>();
    const self: Builder = {
      opset,
      nodes,
      fresh,
      body: make,
      op: (type, inputs, attributes, domain) => self.ops(type, inputs, 1, attributes, domain)[0] ?? '',
      ops(type, inputs, outputs, attributes = {}, domain = '') {
        const name = fresh(type);
        const output = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}.${i}`));
        nodes.push(operation({ op: type, domain, attributes }, inputs, output));
        return output;
      },
      int64: (data, dims = [data.length]) => pool.name({ type: 'int64', dims, data }),
      float: (data, dims = [data.length]) => pool.name({ type: 'float', dims, data: Array.from(data) }),
      emit(expr, filling) {
        if ('value' in expr) return expr.value === hole && filling !== undefined ? filling : expr.value;
        if ('constant' in expr) return pool.name(expr.constant);
        const known = filling === undefined ? emitted.get(expr) : undefined;
        if (known !== undefined) return known;
        const inputs = expr.inputs.map((input) => (input ? self.emit(input, filling) : ''));
        const output = self.op(expr.op, inputs, expr.attributes, expr.domain);
        if (filling === undefined) emitted.set(expr, output);
        return output;
      },
      rename(from, to) {
        if (!nodes.some(({ output }) => output.includes(from))) throw new TypeError(`rename: no node computes ${from}`);
        const renamed = (values: readonly string[]) => values.map((value) => (value === from ? to : value));
        for (const [i, node] of nodes.entries())
          nodes[i] = { ...node, input: renamed(node.input), output: renamed(node.output) };
      },
    };
    return self;
  };
  return make();
}

/** The node of an operator, named after its first output. */
export function operation(
  { op, domain, attributes = {} }: { op: string; domain?: string; attributes?: Attributes },
  inputs: readonly string[],
  output: string[],
): NodeProto {
  const attribute = Object.entries(attributes).map(([key, value]) => encodeAttribute(key, value));
  return makeNode({ name: output[0], opType: op, ...(domain && { domain }), input: [...inputs], output, attribute });
}

function encodeAttribute(name: string, value: AttributeValue | GraphProto): AttributeProto {
  if (typeof value === 'string')
    return makeAttribute({ name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if (typeof value === 'number') return makeAttribute({ name, type: AttributeType.INT, i: BigInt(value) });
  if ('float' in value) return makeAttribute({ name, type: AttributeType.FLOAT, f: value.float });
  if (isGraph(value)) return makeAttribute({ name, type: AttributeType.GRAPH, g: value });
  return makeAttribute({ name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function isGraph(value: readonly number[] | GraphProto): value is GraphProto {
  return 'node' in value;
}
