import { type Builder, builder, constantPool } from '../../onnx/build.js';
import type { ModelProto, ValueInfoProto } from '../../onnx/gen/onnx.js';
import { openModel } from '../../onnx/graph.js';

/** A model with further values, and which of them are wanted. */
export interface Extended {
  readonly model: ModelProto;
  readonly wanted: readonly string[];
}

/** `add` makes the values that are wanted, of the model's and of `inputs`; all names made begin with `prefix`, and none of the model's do. */
export function extend(
  proto: ModelProto,
  prefix: string,
  add: (build: Builder) => readonly string[],
  inputs: readonly ValueInfoProto[] = [],
): Extended {
  const { graph } = proto;
  if (!graph) throw new TypeError('decode() lets no model without a graph through');
  const pool = constantPool(prefix);
  const build = builder(openModel(proto).opsets.get('') ?? 1, prefix, pool);
  const wanted = add(build);
  const initializer = [...graph.initializer, ...pool.initializers.map(({ bytes }) => bytes)];
  const whole = { ...graph, input: [...graph.input, ...inputs], node: [...graph.node, ...build.nodes], initializer };
  return { model: { ...proto, graph: whole }, wanted };
}
