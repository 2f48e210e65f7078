/** Shapes of fused attention: the context, and the caches that come with it. */
import { add, broadcast, constant, type Dim, divide, multiply } from '../dims.js';
import { TensorProto_DataType as DataType } from '../gen/onnx.js';
import { intAttribute, intsAttribute } from '../graph.js';
import type { ValueType } from '../value-type.js';
import type { Rule } from './rule.js';

type Shape = readonly Dim[] | undefined;

const known = (dims: readonly (Dim | undefined)[]): Shape =>
  dims.every((dim) => dim !== undefined) ? (dims as readonly Dim[]) : undefined;

/** Context, keys and values of one element type. */
const typed = (from: ValueType | undefined, ...shapes: Shape[]): ValueType[] =>
  shapes.map((shape) => ({ elemType: from?.elemType ?? 0, shape }));

const sum = (a: Dim | undefined, b: Dim | undefined) => a && b && add(a, b);
const over = (dim: Dim | undefined, parts: number) => dim && divide(dim, constant(parts));

/** Q of rank 3 or 4, K and V likewise, a cache [B,G,P,D]: what opset 23 and com.microsoft have in common. */
export const attention: Rule = (node, { inputs: [q, k, v, , past] }) => {
  const split = q?.shape?.length === 4;
  const heads = intAttribute(node, 'q_num_heads') ?? 1;
  const kvHeads = intAttribute(node, 'kv_num_heads') ?? 1;
  const cached = (fresh: Shape) => {
    const [batch, second, third, fourth] = fresh ?? [];
    const [group, tokens, width] = split ? [second, third, fourth] : [constant(kvHeads), second, over(third, kvHeads)];
    return known([batch, group, past ? sum(past.shape?.[2], tokens) : tokens, width]);
  };
  const width = split ? v?.shape?.[3] : over(v?.shape?.[2], kvHeads);
  const context = split
    ? known([...(q?.shape?.slice(0, 3) ?? [undefined]), width])
    : known([...(q?.shape?.slice(0, 2) ?? [undefined]), width && multiply(width, constant(heads))]);
  return typed(q, context, cached(k?.shape), cached(v?.shape));
};

export const multiHeadAttention: Rule = (node, { inputs: [q, k, v, , , , past] }) => {
  const heads = intAttribute(node, 'num_heads') ?? 1;
  const ranks = [q, k, v].map((type) => type?.shape?.length);
  const packed = [k, q].find((type) => type?.shape?.length === 5)?.shape;
  const value = ranks[2] === 4 ? v?.shape?.[3] : packed ? packed[4] : over(v?.shape?.[2], heads);
  const key = ranks[1] === 4 ? k?.shape?.[3] : packed ? packed[4] : over(k?.shape?.[2], heads);
  const fresh = ranks[1] === 4 ? k?.shape?.[2] : (k ?? q)?.shape?.[1];
  const tokens = past ? sum(past.shape?.[2], fresh) : fresh;
  const [batch, queries] = q?.shape ?? [];
  const cached = (width: Dim | undefined) => known([batch, constant(heads), tokens, width]);
  const context = known([batch, queries, value && multiply(value, constant(heads))]);
  return typed(q, context, cached(key), cached(value));
};

/** Its cache is a buffer that stays as long as it is. */
export const decoderMaskedAttention: Rule = (node, context) => {
  const { inputs } = context;
  return [...multiHeadAttention(node, { ...context, inputs: inputs.slice(0, 3) }).slice(0, 1), inputs[5], inputs[6]];
};

export const microsoftAttention: Rule = (node, { inputs: [x, weight, , , past] }) => {
  const heads = intAttribute(node, 'num_heads') ?? 1;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes');
  const hidden = sizes?.[2] === undefined ? over(weight?.shape?.[1], 3) : constant(sizes[2]);
  const [batch, queries] = x?.shape ?? [];
  const tokens = past ? sum(past.shape?.[3], queries) : queries;
  const present = known([constant(2), batch, constant(heads), tokens, over(hidden, heads)]);
  return typed(x, known([batch, queries, hidden]), present);
};

/** How long the caches get is in total_sequence_length, or in the buffer that came in. */
export const groupQueryAttention: Rule = (node, { inputs: [q, k, , past], fresh }) => {
  const heads = intAttribute(node, 'num_heads') ?? 1;
  const kvHeads = intAttribute(node, 'kv_num_heads') ?? 1;
  const width = over(q?.shape?.[2], k ? heads : heads + 2 * kvHeads) ?? past?.shape?.[3];
  const [batch, queries] = q?.shape ?? [];
  const present = known([batch, constant(kvHeads), fresh(2), width]);
  return typed(q, known([batch, queries, width && multiply(width, constant(heads))]), present, present);
};

/** A table [buckets, heads] and two lengths → [1, heads, queries, keys]. */
export const relativePositionBias: Rule = (_, { inputs: [table, queries, keys] }) =>
  typed(table, known([constant(1), table?.shape?.[1], queries?.data?.[0], keys?.data?.[0]]));

/** Attention that is left to kernels: [B,H,N,D], [B,G,S,D], [B,G,S,E] → [B,H,N,E], float32. */
export const kernelAttention: Rule = (_, { inputs: [q, k, v] }) => {
  const [batch, heads, queries] = q?.shape ?? [];
  const own = batch && k?.shape?.[0] && broadcast(batch, k.shape[0]);
  return [{ elemType: DataType.FLOAT, shape: known([own, heads, queries, v?.shape?.[3]]) }];
};
