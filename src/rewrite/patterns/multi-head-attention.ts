/**
 * com.microsoft.MultiHeadAttention(query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value) and
 * DecoderMaskedMultiHeadAttention, the same for one query with its inputs in another order and a buffer for a cache.
 *
 * Q [B,N,H·D] with
 *  - K, V [B,S,H·D], one bias [H·(D+D+E)] for the three side by side: onnxruntime's optimiser, the genai model builder
 *  - K, V [B,H,S,D]: keys of an encoder, or a cache that is complete
 *  - K and V packed as [B,S,H,2,D]; or all three in query, [B,N,H,3,D] (GPU only)
 * A cache [B,H,P,D] is joined before the keys; with past_sequence_length it is a buffer that they are written into.
 */
import { type Dim, equal, toNumber } from '../../onnx/dims.js';
import { call, type Expr, ints } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { floatAttribute, intAttribute } from '../../onnx/graph.js';
import { axisOf, type Layout } from '../layout.js';
import { maskedBelow } from '../prove/cases.js';
import type { Operand } from '../site.js';
import {
  beyond,
  cached,
  causalBias,
  fusedSite,
  headsFirst,
  headWidth,
  joined,
  lastPositions,
  paddingBias,
  sizeOf,
  slice,
  toInts,
} from './fused.js';
import { operatorCache } from './key-cache.js';
import { type CheckedSite, definePattern, type Outcome, type Scope } from './pattern.js';

const attributes = {
  num_heads: undefined,
  scale: undefined,
  mask_filter_value: undefined,
  unidirectional: undefined,
  past_present_share_buffer: undefined,
  output_qk: undefined,
};

/** Inputs by the names of MultiHeadAttention. */
interface Inputs {
  readonly q: string;
  readonly k?: string;
  readonly v?: string;
  readonly bias?: string;
  readonly mask?: string;
  readonly added?: string;
  readonly pastKey?: string;
  readonly pastValue?: string;
  readonly pastLength?: string;
}

export const multiHeadAttention = definePattern<Inputs>({
  summary: 'MultiHeadAttention of onnxruntime',
  anchors: ['com.microsoft.MultiHeadAttention'],
  pattern(node, scope) {
    const [q = '', k, v, bias, mask, added, pastKey, pastValue] = node.input;
    // Kernels do not agree on what a buffer is here; the operator below is the one for it.
    const inputs = [...new Array<string>(8).fill(''), 'past_sequence_length', 'cache_indirection'];
    const foreign = beyond(node, scope, { inputs, reads: 8, attributes, outputs: 3 });
    return foreign ?? { found: { q, k, v, bias, mask, added, pastKey, pastValue } };
  },
  check: checkHeads,
});

export const decoderMaskedAttention = definePattern<Inputs>({
  summary: 'DecoderMaskedMultiHeadAttention of onnxruntime, one query',
  anchors: ['com.microsoft.DecoderMaskedMultiHeadAttention'],
  pattern(node, scope) {
    const [q = '', k, v, mask, added, pastKey, pastValue, pastLength, beams, indirection, bias] = node.input;
    if (beams || indirection)
      return { refused: `beams that share a cache: beam_width ${beams}, cache_indirection ${indirection}` };
    const foreign = beyond(node, scope, { inputs: [], reads: 11, attributes, outputs: 3 });
    return foreign ?? { found: { q, k, v, bias, mask, added, pastKey, pastValue, pastLength } };
  },
  check: checkHeads,
});

function checkHeads(inputs: Inputs, node: NodeProto, scope: Scope): Outcome<CheckedSite> {
  const { q, k, mask, added, pastKey, pastValue, pastLength } = inputs;
  const heads = intAttribute(node, 'num_heads') ?? 0;
  const parts = readParts(inputs, heads, scope);
  if (typeof parts === 'string') return { refused: parts };
  const [query, key, value] = parts.sides;
  const { headDim = 0, valueDim = 0 } = parts;
  const low = floatAttribute(node, 'mask_filter_value') ?? -10000;
  if (mask && low > maskedBelow) return { refused: `mask_filter_value = ${low}: masked keys would still be looked at` };
  const [, presentKey, presentValue] = node.output;
  // onnxruntime's CPU kernel leaves the cache out then.
  if (pastKey && !presentKey) return { refused: `past_key (${pastKey}) without present_key` };

  const queries = sizeOf(query.expr, axisOf(query.layout, 'n'));
  const at = pastLength ? toInts(scope, pastLength, []) : undefined;
  const end = at && call('Add', [at, queries]);
  const join = (side: Operand, width: number, past?: string, wanted?: string) => {
    if (!past || !at || !end) {
      const all = cached(side, { heads, width, past, wanted });
      return { present: all.expr, side: all };
    }
    const rest = slice(past, 2, end, sizeOf(past, 2));
    const present = call('Concat', [slice(past, 2, 0, at), headsFirst(side, heads, width), rest], { axis: 2 });
    return { present, side: { expr: slice(present, 2, 0, end), layout: 'bhnd' } as const };
  };
  const keys = join(key, headDim, pastKey, presentKey);
  const values = join(value, valueDim, pastValue, presentValue);
  const count = sizeOf(keys.side.expr, axisOf(keys.side.layout, 'n'));
  const [qLength, kLength] = parts.lengths;
  const causal = intAttribute(node, 'unidirectional') === 1;
  if (causal && !equal(qLength, kLength))
    return { refused: `unidirectional on queries and keys that are not proven to be of one length (${q}, ${k ?? q})` };
  const batch = scope.shapes(scope.graph, q).shape?.[0];
  const padding = mask ? paddingBias(scope, mask, batch, count, low) : undefined;
  if (mask && !padding) return { refused: `key_padding_mask (${mask}) is not proven to be [batch, keys] or [batch]` };
  return fusedSite(scope, {
    q: query,
    k: keys.side,
    v: values.side,
    origins: { q, k: k || q },
    tokens: { queries: qLength, keys: at ? undefined : joined(scope, pastKey, kLength) },
    added: added ? [added] : [],
    padding,
    causal: causal ? causalBias(lastPositions(queries, count), count) : undefined,
    past: Boolean(pastKey),
    self: Boolean(pastKey),
    single: toNumber(qLength) === 1,
    heads,
    headDim,
    valueDim,
    scale: floatAttribute(node, 'scale') || undefined,
    context: { value: node.output[0] ?? '', layout: 'bn(hd)' },
    cache: at
      ? undefined
      : operatorCache(scope, node, {
          past: [pastKey, pastValue],
          present: [presentKey, presentValue],
          fresh: [key, value],
          tokens: queries,
        }),
    present: [
      [presentKey, keys.present],
      [presentValue, values.present],
    ],
  });
}

interface Parts {
  readonly sides: readonly [q: Operand, k: Operand, v: Operand];
  readonly headDim: number | undefined;
  readonly valueDim: number | undefined;
  /** Tokens of q and of k without a cache. */
  readonly lengths: readonly [Dim | undefined, Dim | undefined];
}

/** Q, K and V with their biases, however they are packed; or what does not fit. */
function readParts({ q, k, v, bias }: Inputs, heads: number, scope: Scope): Parts | string {
  const [qShape, kShape, vShape] = [q, k, v].map(
    (value) => (value && scope.shapes(scope.graph, value).shape) || undefined,
  );
  const ranks = `${[qShape, kShape, vShape].map((shape) => shape?.length ?? '-')}`;
  const side = (expr: Expr, layout: Layout, start: number, width = 0): Operand => {
    if (!bias) return { expr, layout };
    const own = slice(bias, 0, start * heads, (start + width) * heads);
    return {
      expr: call('Add', [expr, layout === 'bnhd' ? call('Reshape', [own, ints([heads, width])]) : own]),
      layout,
    };
  };
  const of = (value: string | undefined): Expr => ({ value: value ?? '' });
  const wide = headWidth(qShape?.[2], heads);
  switch (ranks) {
    case '3,3,3': {
      const headDim = wide ?? headWidth(kShape?.[2], heads);
      const valueDim = headWidth(vShape?.[2], heads);
      const parts = [q, k, v].map((value, i) =>
        side(of(value), 'bn(hd)', i * (headDim ?? 0), i === 2 ? valueDim : headDim),
      );
      return { sides: [parts[0], parts[1], parts[2]], headDim, valueDim, lengths: [qShape?.[1], kShape?.[1]] };
    }
    case '3,4,4': {
      const headDim = toNumber(kShape?.[3]) ?? wide;
      const cached = (value: string | undefined): Operand => ({ expr: of(value), layout: 'bhnd' });
      return {
        sides: [side(of(q), 'bn(hd)', 0, headDim), cached(k), cached(v)],
        headDim,
        valueDim: toNumber(vShape?.[3]),
        lengths: [qShape?.[1], kShape?.[2]],
      };
    }
    case '3,5,-':
    case '5,-,-': {
      const packed = k || q;
      const shape = kShape ?? qShape;
      const width = toNumber(shape?.[4]);
      const part = (i: number) => call('Gather', [packed, i], { axis: 3 });
      const first = kShape ? 0 : 1;
      return {
        sides: [
          kShape ? side(of(q), 'bn(hd)', 0, width) : side(part(0), 'bnhd', 0, width),
          side(part(first), 'bnhd', width ?? 0, width),
          side(part(first + 1), 'bnhd', 2 * (width ?? 0), width),
        ],
        headDim: width,
        valueDim: width,
        lengths: [qShape?.[1], shape?.[1]],
      };
    }
  }
  return `Q, K and V of ranks ${ranks}: not one of 3,3,3 3,4,4 3,5 5`;
}
