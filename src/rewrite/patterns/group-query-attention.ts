/**
 * com.microsoft.GroupQueryAttention(query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos_cache,
 * sin_cache, position_ids, attention_bias): what the genai model builder writes for decoders. Q [B,N,H·D], K and V
 * [B,N,G·D], or all three side by side in query; rotary embedding inside; causal; past and present [B,G,·,D].
 *
 * Row b holds seqlens_k[b] + 1 tokens, padding on the right; T = total_sequence_length is the longest. In a first prompt
 * (N = T) new keys stand at 0 … N − 1, otherwise before the row's end; the cache may be a buffer longer than T, in
 * which they are written to these places, zeros behind. Keys are cut to T here: so queries are at i + S − N in the longest
 * row, and what shorter ones do not hold is padding.
 *
 * In a padded prompt, what comes out for the padding is undefined: onnxruntime reads scores there that it never wrote.
 */
import { equal, toNumber } from '../../onnx/dims.js';
import { call, type Expr, float, ints } from '../../onnx/expr.js';
import { floatAttribute, intAttribute } from '../../onnx/graph.js';
import type { Operand } from '../site.js';
import { beyond, causalBias, fusedSite, headsFirst, headWidth, iota, keyBias, sizeOf, slice, toInts } from './fused.js';
import { operatorCache } from './key-cache.js';
import { definePattern } from './pattern.js';

export const groupQueryAttention = definePattern<null>({
  summary: 'GroupQueryAttention of onnxruntime, rotary embedding and cache inside',
  anchors: ['com.microsoft.GroupQueryAttention'],

  pattern(node, scope) {
    const first = new Array<string>(11).fill('');
    const foreign = beyond(node, scope, {
      inputs: [...first, 'head_sink', 'k_scale', 'v_scale', 'q_norm_weight', 'k_norm_weight'],
      reads: 11,
      attributes: {
        num_heads: undefined,
        kv_num_heads: undefined,
        scale: undefined,
        do_rotary: undefined,
        rotary_interleaved: undefined,
        local_window_size: undefined,
        causal: undefined,
        qk_norm_epsilon: undefined,
        softcap: 0,
        smooth_softmax: 0,
        qk_output: 0,
        sliding_window_cache: 0,
        kv_cache_bit_width: 0,
        k_quant_type: 'NONE',
        v_quant_type: 'NONE',
      },
      outputs: 3,
    });
    return foreign ?? { found: null };
  },

  check(_match, node, scope) {
    const [q = '', k, v, pastKey, pastValue, lengths, total, cos, sin, ids, added] = node.input;
    const [heads, kvHeads] = [intAttribute(node, 'num_heads') ?? 0, intAttribute(node, 'kv_num_heads') ?? 0];
    const shapeOf = (value: string | undefined) => (value && scope.shapes(scope.graph, value).shape) || undefined;
    const width =
      headWidth(shapeOf(q)?.[2], k ? heads : heads + 2 * kvHeads) ??
      headWidth(shapeOf(k)?.[2], kvHeads) ??
      toNumber(shapeOf(pastKey)?.[3]);
    if (width === undefined || !lengths || !total) return { refused: `a head width that is not proven (${q})` };
    if (k && !equal(shapeOf(q)?.[1], shapeOf(k)?.[1]))
      return { refused: `query (${q}) and key (${k}) are not proven to be of one length` };
    const window = intAttribute(node, 'local_window_size') ?? -1;
    const causal = intAttribute(node, 'causal') !== 0;
    if (window === 0 || (window > 0 && !causal))
      return { refused: `local_window_size = ${window}, causal = ${causal}` };

    const count = sizeOf(q, 1);
    const keys = toInts(scope, total, []);
    const last = toInts(scope, lengths, [-1, 1]);
    const before = call('Where', [call('Equal', [count, keys]), 0, call('Sub', [call('Add', [last, 1]), count])]);
    const positions = call('Add', [before, iota(count)]);
    const rotate = (side: Operand, on: number): Operand => {
      if (intAttribute(node, 'do_rotary') !== 1) return side;
      const turned = toNumber(shapeOf(cos)?.[1]);
      const attributes = {
        num_heads: on,
        interleaved: intAttribute(node, 'rotary_interleaved') ?? 0,
        ...(turned !== undefined && 2 * turned < width && { rotary_embedding_dim: 2 * turned }),
      };
      const inputs = [side.expr, ids ? { value: ids } : positions, cos, sin];
      return { ...side, expr: call('RotaryEmbedding', inputs, attributes, 'com.microsoft') };
    };
    const part = (value: string | undefined, index: number): Operand => {
      const sizes = [heads, kvHeads, kvHeads].map((n) => n * width);
      const start = sizes.slice(0, index).reduce((sum, size) => sum + size, 0);
      return { expr: k ? { value: value ?? '' } : slice(q, 2, start, start + sizes[index]), layout: 'bn(hd)' };
    };
    const fresh = [rotate(part(k, 1), kvHeads), part(v, 2)].map((side) => headsFirst(side, kvHeads, width));
    const elemType = scope.shapes(scope.graph, q).elemType;
    const present = pastKey
      ? buffers({ past: [pastKey, pastValue ?? ''], fresh, before, count, keys, kvHeads, elemType })
      : fresh;
    const [presentKey, presentValue] = present;
    const held = (expr: Expr): Operand => ({ expr: pastKey ? slice(expr, 2, 0, keys) : expr, layout: 'bhnd' });
    const cache = operatorCache(scope, node, {
      past: [pastKey, pastValue],
      present: node.output.slice(1),
      fresh: fresh.map((expr) => ({ expr, layout: 'bhnd' })),
      tokens: count,
      keyBias: keyBias(call('Less', [last, positions])),
    });
    const rows = call('Reshape', [positions, ints([0, 1, -1, 1])]);
    return fusedSite(scope, {
      q: rotate(part(q, 0), heads),
      k: held(presentKey),
      v: held(presentValue),
      origins: { q, k: k || q },
      tokens: { queries: shapeOf(q)?.[1], keys: scope.shapes(scope.graph, total).data?.[0] },
      added: added ? [added] : [],
      padding: keyBias(call('Less', [last, iota(keys)])),
      causal: causal ? causalBias(rows, keys, window > 0 ? window : undefined) : undefined,
      window: window > 0 ? window : undefined,
      past: Boolean(pastKey),
      self: true,
      rotary: intAttribute(node, 'do_rotary') === 1,
      heads,
      kvHeads,
      headDim: width,
      valueDim: width,
      scale: floatAttribute(node, 'scale') || undefined,
      context: { value: node.output[0] ?? '', layout: 'bn(hd)' },
      cache,
      present: present.map((expr, i) => [node.output[i + 1], expr] as const),
    });
  },
});

interface Cache {
  readonly past: readonly [key: string, value: string];
  /** New keys and values [B,G,N,D]. */
  readonly fresh: readonly Expr[];
  /** Where they go in each row, [B,1]. */
  readonly before: Expr;
  readonly count: Expr;
  readonly keys: Expr;
  readonly kvHeads: number;
  readonly elemType: number;
}

/** past [B,G,P,D] with the new rows written into it at `before`, as long as the longer of P and T. */
function buffers({ past, fresh, before, count, keys, kvHeads, elemType }: Cache): Expr[] {
  const size = sizeOf(past[0], 2);
  const places = iota(call('Where', [call('Less', [keys, size]), size, keys]));
  // Row of concat(past, fresh) for every place of each batch row: [B,L].
  const step = call('Sub', [places, before]);
  const inside = call('Less', [step, count]);
  const source = call('Where', [
    call('Less', [step, 0]),
    places,
    call('Add', [call('Where', [inside, step, 0]), size]),
  ]);
  // Rows are gathered from one list of all rows of all heads, [B·G·(P+N), D].
  const length = call('Add', [size, count]);
  const starts = call('Mul', [iota(call('Mul', [sizeOf(past[0], 0), kvHeads])), length]);
  const rows = call('Add', [
    call('Reshape', [starts, ints([-1, kvHeads, 1])]),
    call('Reshape', [source, ints([0, 1, -1])]),
  ]);
  const filled = call('Reshape', [inside, ints([0, 1, -1, 1])]);
  const zero = elemType === 10 ? call('Cast', [float(0)], { to: elemType }) : float(0);
  return past.map((value, i) => {
    const both = call('Concat', [value, fresh[i]], { axis: 2 });
    const width = call('Slice', [call('Shape', [both]), ints([3]), ints([4])]);
    const list = call('Reshape', [both, call('Concat', [ints([-1]), width], { axis: 0 })]);
    return call('Where', [filled, call('Gather', [list, rows], { axis: 0 }), zero]);
  });
}
