/**
 * Masks as exporters and hand-written models make them, each with what it is; and some that are nearly the same and
 * must not be taken for it. Every form is a function that adds the bias's nodes to a graph with one attention site.
 */
import { type Builder, builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeGraph, makeValueInfo } from '../../src/onnx/message.js';

export const heads = 4;
export const headDim = 8;
export const slopes = [0.5, 0.25, 0.125, 0.0625];

/** The graph around a mask: q [batch,H,new,D], keys of a cache `past` and new ones, and what a mask may read. */
export interface Site {
  readonly build: Builder;
  readonly scores: string;
  /** int64 scalars: new tokens, tokens of the cache, keys. */
  readonly n: string;
  readonly p: string;
  readonly s: string;
  /** `attention_mask` int64 [batch, keys]. */
  readonly mask: string;
}

/** Either a bias to be added, or the scores with the mask in them already. */
export type Form = (site: Site) => { readonly bias: string } | { readonly masked: string };

const lowest = -3.4028234663852886e38;

/** Builders of small subgraphs, named after what they write. */
export function tools({ build, n, p, s, mask }: Site) {
  const num = (value: number) => build.float([value], []);
  const int = (value: number) => build.int64([value], []);
  const op = (type: string, ...inputs: string[]) => build.op(type, inputs);
  const at = (value: string, ...axes: number[]) => op('Unsqueeze', value, build.int64(axes));
  const cast = (value: string, to: number) => build.op('Cast', [value], { to });
  const range = (from: string, to: string) => op('Range', from, to, int(1));
  const shape = (...dims: string[]) =>
    build.op(
      'Concat',
      dims.map((dim) => at(dim, 0)),
      { axis: 0 },
    );
  const full = (dims: string, value: number) => op('Expand', num(value), dims);
  const queries = () => range(p, op('Add', p, n));
  const keys = () => range(int(0), s);
  const row = (value: string) => at(value, 1);
  const keep = () => cast(at(mask, 1, 2), 9);
  const hide = (visible: string, low = lowest) => op('Where', visible, num(0), num(low));
  const slice = (value: string, axis: number, from: string, to: string) =>
    op('Slice', value, at(from, 0), at(to, 0), build.int64([axis]));
  const trilu = (value: string, k: number, upper: number) => build.op('Trilu', [value, int(k)], { upper });
  const table = (size: number, f: (i: number, j: number) => number) =>
    build.float(
      Array.from({ length: size * size }, (_, at) => f(Math.floor(at / size), at % size)),
      [1, 1, size, size],
    );
  const causal = () => op('LessOrEqual', keys(), row(queries()));
  return {
    num,
    int,
    op,
    at,
    cast,
    range,
    shape,
    full,
    queries,
    keys,
    row,
    keep,
    hide,
    slice,
    trilu,
    table,
    causal,
    build,
    n,
    p,
    s,
    mask,
  };
}
type Tools = ReturnType<typeof tools>;

export interface Claim {
  readonly mask: string;
  readonly sliding?: { readonly left: number; readonly right: number };
  /** ALiBi with `slopes`. */
  readonly alibi?: true;
  /** Made for queries and keys of one length: no cache. */
  readonly fresh?: true;
}
export const bias =
  (make: (t: Tools) => string): Form =>
  (site) => ({ bias: make(tools(site)) });
export const both = (t: Tools, visible: string) => t.op('And', visible, t.keep());

/** Forms that are proven. Where a name stands before the colon, it is who writes it so. */
export const forms: Readonly<Record<string, Claim & { readonly form: Form }>> = {
  'BERT 4.x: (1 − mask) · −10000': {
    mask: 'padding',
    form: bias((t) => t.op('Mul', t.op('Sub', t.num(1), t.cast(t.at(t.mask, 1, 2), 1)), t.num(-10000))),
  },
  'keras by tf2onnx: (1 − reshape(cast(mask))) · −1e9, Sub from the scores': {
    mask: 'padding',
    form: (site) => {
      const t = tools(site);
      const padded = t.op('Sub', t.num(1), t.cast(t.op('Reshape', t.mask, site.build.int64([0, 1, 1, -1])), 1));
      return { masked: t.op('Sub', site.scores, t.op('Mul', padded, t.num(1e9))) };
    },
  },
  'masked_fill(mask == 0, −inf)': {
    mask: 'padding',
    form: bias((t) => t.op('Where', t.op('Equal', t.at(t.mask, 1, 2), t.int(0)), t.num(-Infinity), t.num(0))),
  },
  'padding repeated for every head and query': {
    mask: 'padding',
    form: bias((t) => {
      const repeats = t.shape(t.int(1), t.int(heads), t.n, t.int(1));
      return t.op('Tile', t.hide(t.keep()), repeats);
    }),
  },
  'GPT-2: tril buffer, cut to the cache, in a Where on the scores': {
    mask: 'causal',
    form: (site) => {
      const t = tools(site);
      const tril = t.cast(
        t.table(64, (i, j) => Number(i >= j)),
        9,
      );
      const cut = t.slice(t.slice(tril, 2, t.op('Sub', t.s, t.n), t.s), 3, t.int(0), t.s);
      return { masked: t.op('Where', cut, site.scores, t.num(lowest)) };
    },
  },
  'GPT-Neo: tril buffer and padding, one after the other': {
    mask: 'causal+padding',
    form: (site) => {
      const t = tools(site);
      const tril = t.cast(
        t.table(64, (i, j) => Number(i >= j)),
        9,
      );
      const cut = t.slice(t.slice(tril, 2, t.op('Sub', t.s, t.n), t.s), 3, t.int(0), t.s);
      return { masked: t.op('Add', t.op('Where', cut, site.scores, t.num(lowest)), t.hide(t.keep())) };
    },
  },
  'triu(full(−inf), 1), no cache': {
    mask: 'causal',
    fresh: true,
    form: bias((t) => t.trilu(t.full(t.shape(t.n, t.n), -Infinity), 1, 1)),
  },
  'SDPA by TorchScript: tril(ones) == 0 → −inf': {
    mask: 'causal',
    fresh: true,
    form: bias((t) => {
      const tril = t.trilu(t.full(t.shape(t.n, t.n), 1), 0, 0);
      return t.op('Where', t.op('Equal', tril, t.num(0)), t.num(-Infinity), t.num(0));
    }),
  },
  'OPT, BART 4.2x: arange < arange + 1, zeros for the cache in front': {
    mask: 'causal',
    form: bias((t) => {
      const positions = t.range(t.int(0), t.n);
      const kept = t.op('Less', positions, t.row(t.op('Add', positions, t.int(1))));
      const own = t.op('Where', kept, t.num(0), t.full(t.shape(t.n, t.n), lowest));
      return t.at(t.build.op('Concat', [t.full(t.shape(t.n, t.p), 0), own], { axis: -1 }), 0, 1);
    }),
  },
  'OPT: causal + padding, clamped from below': {
    mask: 'causal+padding',
    form: (site) => {
      const t = tools(site);
      const sum = t.op('Add', t.op('Add', site.scores, t.hide(t.causal())), t.hide(t.keep()));
      return { masked: t.op('Max', sum, t.num(lowest)) };
    },
  },
  'transformers 4.4x: full(min) · (arange > cache_position)': {
    mask: 'causal',
    form: bias((t) => {
      const later = t.cast(t.op('Greater', t.keys(), t.row(t.queries())), 1);
      return t.at(t.op('Mul', t.full(t.shape(t.n, t.s), lowest), later), 0, 1);
    }),
  },
  'transformers 4.5x: vmap of and-masks, padding by a flat Gather': {
    mask: 'causal+padding',
    form: bias((t) => {
      const [b, j] = [
        t.at(t.range(t.int(0), t.op('Gather', t.op('Shape', t.mask), t.int(0))), 1, 2, 3),
        t.at(t.keys(), 0, 1, 2),
      ];
      const flat = t.op('Add', t.op('Mul', b, t.op('Gather', t.op('Shape', t.mask), t.int(1))), j);
      const padding = t.op('Gather', t.op('Reshape', t.cast(t.mask, 9), t.build.int64([-1])), flat);
      return t.hide(t.op('And', t.op('LessOrEqual', j, t.at(t.queries(), 0, 1, 3)), padding), -Infinity);
    }),
  },
  'dynamo: padding by GatherND': {
    mask: 'causal+padding',
    form: bias((t) => {
      const batch = t.op('Gather', t.op('Shape', t.mask), t.int(0));
      const b = t.row(t.range(t.int(0), batch));
      const grid = t.shape(batch, t.s);
      const pairs = t.build.op('Concat', [t.at(t.op('Expand', b, grid), 2), t.at(t.op('Expand', t.keys(), grid), 2)], {
        axis: -1,
      });
      const padding = t.at(t.op('GatherND', t.cast(t.mask, 9), pairs), 1, 2);
      return t.hide(t.op('And', t.causal(), padding));
    }),
  },
  'causal and padding as two addends': {
    mask: 'causal+padding',
    form: (site) => {
      const t = tools(site);
      return { masked: t.op('Add', t.op('Add', site.scores, t.hide(t.causal())), t.hide(t.keep())) };
    },
  },
  'jax: where(iota_q ≥ iota_k, 0, −1e10) from one constant ramp': {
    mask: 'causal',
    form: bias((t) => {
      const ramp = t.build.int64(Array.from({ length: 80 }, (_, i) => i));
      const [q, k] = [t.slice(ramp, 0, t.p, t.op('Add', t.p, t.n)), t.slice(ramp, 0, t.int(0), t.s)];
      return t.hide(t.op('GreaterOrEqual', t.row(q), t.at(k, 0)), -1e10);
    }),
  },
  'positions by CumSum of ones': {
    mask: 'causal',
    fresh: true,
    form: bias((t) => {
      const positions = t.op('CumSum', t.full(t.shape(t.s), 1), t.int(0));
      return t.hide(t.op('LessOrEqual', t.at(positions, 0), t.row(positions)));
    }),
  },
  'positions by NonZero of ones': {
    mask: 'causal',
    fresh: true,
    form: bias((t) => {
      const positions = t.op('Squeeze', t.op('NonZero', t.full(t.shape(t.s), 1)), t.build.int64([0]));
      return t.hide(t.op('Not', t.op('Greater', t.at(positions, 0), t.row(positions))));
    }),
  },
  'transposed, folded and unfolded again': {
    mask: 'causal',
    form: bias((t) => {
      const turned = t.build.op('Transpose', [t.op('LessOrEqual', t.row(t.keys()), t.queries())], { perm: [1, 0] });
      const folded = t.op('Reshape', turned, t.build.int64([-1]));
      return t.hide(t.op('Reshape', folded, t.shape(t.int(1), t.int(1), t.n, t.s)));
    }),
  },
  'Mistral: j > i − window and j ≤ i': {
    mask: 'sliding+causal+padding',
    sliding: { left: 4, right: 0 },
    form: bias((t) => {
      const near = t.op('Greater', t.keys(), t.op('Sub', t.row(t.queries()), t.int(5)));
      return t.hide(both(t, t.op('And', near, t.causal())));
    }),
  },
  'Mistral 4.3x: log(triu(tril(ones), −window))': {
    mask: 'sliding+causal',
    sliding: { left: 3, right: 0 },
    fresh: true,
    form: bias((t) => t.op('Log', t.trilu(t.trilu(t.full(t.shape(t.n, t.n), 1), 0, 0), -3, 1))),
  },
  'Gemma: causal, then Where(tril(ones, −window), min, ·)': {
    mask: 'sliding+causal',
    sliding: { left: 2, right: 0 },
    fresh: true,
    form: bias((t) => {
      const far = t.cast(t.trilu(t.full(t.shape(t.n, t.n), 1), -3, 0), 9);
      return t.op('Where', far, t.num(lowest), t.hide(t.causal()));
    }),
  },
  'ModernBERT: |i − j| ≤ window': {
    mask: 'sliding+padding',
    sliding: { left: 3, right: 3 },
    fresh: true,
    form: bias((t) => {
      const near = t.op('LessOrEqual', t.op('Abs', t.op('Sub', t.keys(), t.row(t.queries()))), t.int(3));
      return t.op('Where', t.op('Not', near), t.num(lowest), t.hide(t.keep()));
    }),
  },
  'a band as a table of constants': {
    mask: 'sliding',
    sliding: { left: 2, right: 5 },
    fresh: true,
    form: bias((t) => {
      const band = t.table(40, (i, j) => (i - j <= 2 && j - i <= 5 ? 0 : -1e9));
      return t.slice(t.slice(band, 2, t.int(0), t.n), 3, t.int(0), t.n);
    }),
  },
  'BLOOM: slope · position among the kept keys': {
    mask: 'alibi+causal+padding',
    alibi: true,
    form: (site) => {
      const t = tools(site);
      const counted = t.op('Mul', t.op('Sub', t.op('CumSum', t.mask, t.int(1)), t.int(1)), t.mask);
      const alibi = t.op('Mul', t.build.float(slopes, [heads, 1]), t.cast(t.at(counted, 1), 1));
      return { masked: t.op('Add', t.op('Add', site.scores, t.at(alibi, 2)), t.hide(both(t, t.causal()))) };
    },
  },
  'MPT: slope · (j + 1 − S)': {
    mask: 'alibi+causal',
    alibi: true,
    form: bias((t) => {
      const positions = t.cast(t.range(t.op('Sub', t.int(1), t.s), t.int(1)), 1);
      const alibi = t.op('Mul', positions, t.build.float(slopes, [1, heads, 1, 1]));
      return t.op('Add', alibi, t.hide(t.causal()));
    }),
  },
  'ALiBi as a table of constants, cut from its end': {
    mask: 'alibi+causal',
    alibi: true,
    form: bias((t) => {
      const table = t.build.float(
        slopes.flatMap((slope) => Array.from({ length: 64 }, (_, j) => Math.fround(slope * (j - 63)))),
        [1, heads, 1, 64],
      );
      const cut = t.op('Slice', table, t.at(t.op('Neg', t.s), 0), t.build.int64([2 ** 40]), t.build.int64([3]));
      return t.op('Add', cut, t.hide(t.causal()));
    }),
  },
  'jina: −slope · |i − j|, both directions': {
    mask: 'alibi+padding',
    alibi: true,
    fresh: true,
    form: bias((t) => {
      const distance = t.cast(t.op('Abs', t.op('Sub', t.row(t.queries()), t.keys())), 1);
      const alibi = t.op(
        'Mul',
        distance,
        t.build.float(
          slopes.map((slope) => -slope),
          [1, heads, 1, 1],
        ),
      );
      return t.op('Add', alibi, t.hide(t.keep()));
    }),
  },
};

/** Forms that are none of these: one key off, another offset, a bias that is learned or given, parts that may not meet. */
export const mutants: Readonly<Record<string, Form>> = {
  'one key after the query': bias((t) =>
    t.hide(t.op('LessOrEqual', t.keys(), t.row(t.op('Add', t.queries(), t.int(1))))),
  ),
  'not the query itself': bias((t) => t.hide(t.op('Less', t.keys(), t.row(t.queries())))),
  'causal from 0 behind a cache': bias((t) => t.hide(t.op('LessOrEqual', t.keys(), t.row(t.range(t.int(0), t.n))))),
  'tril buffer that is not cut to the cache': bias((t) => {
    const tril = t.table(64, (i, j) => (i >= j ? 0 : -1e9));
    return t.slice(t.slice(tril, 2, t.int(0), t.n), 3, t.int(0), t.s);
  }),
  'tril buffer with one wrong entry': bias((t) => {
    const tril = t.table(64, (i, j) => (i >= j && !(i === 40 && j === 7) ? 0 : -1e9));
    return t.slice(t.slice(tril, 2, t.op('Sub', t.s, t.n), t.s), 3, t.int(0), t.s);
  }),
  'anti-causal': bias((t) => t.hide(t.op('GreaterOrEqual', t.keys(), t.row(t.queries())))),
  'a window without an end before it': bias((t) =>
    t.hide(t.op('LessOrEqual', t.keys(), t.op('Add', t.row(t.queries()), t.int(3)))),
  ),
  'the keys outside a window': bias((t) =>
    t.hide(t.op('Greater', t.op('Abs', t.op('Sub', t.keys(), t.row(t.queries()))), t.int(3))),
  ),
  'causal or kept by the mask': bias((t) => t.hide(t.op('Or', t.causal(), t.keep()))),
  'a weak bias, not a mask': bias((t) => t.hide(t.causal(), -100)),
  'a mask [batch,1,new,keys] that is given': bias(() => 'given'),
  'positions that are given': bias((t) =>
    t.hide(t.op('LessOrEqual', t.at(t.keys(), 0, 1, 2), t.at('positions', 1, 3))),
  ),
  'packed sequences: query and key of one segment': bias((t) =>
    t.hide(t.op('Equal', t.at('segments', 1, 2), t.at(t.slice('segments', 1, t.p, t.s), 1, 3))),
  ),
  'blocks of four tokens': bias((t) => {
    const block = (value: string) => t.op('Div', value, t.int(4));
    return t.hide(t.op('Equal', block(t.keys()), t.row(block(t.queries()))));
  }),
  'a learned bias on every pair': bias((t) => {
    const table = t.table(64, (i, j) => Math.sin(i * 7 + j * 13));
    return t.slice(t.slice(table, 2, t.int(0), t.n), 3, t.int(0), t.s);
  }),
  'a bias that bends twice': bias((t) => {
    const distance = t.cast(t.op('Abs', t.op('Sub', t.row(t.queries()), t.keys())), 1);
    return t.op('Mul', t.op('Mul', distance, distance), t.num(-0.1));
  }),
  'slopes without direction: a ramp over the keys': bias((t) =>
    t.op('Mul', t.cast(t.keys(), 1), t.build.float(slopes, [1, heads, 1, 1])),
  ),
};

/** A whole model around a mask; its second output is the bias as the graph computes it, scores taken off. */
export function maskModel(form: Form, opset = 17): Uint8Array {
  const pool = constantPool('t/');
  const build = builder(opset, 't/', pool);
  const size = (value: string, axis: number) =>
    build.op('Gather', [build.op('Shape', [value]), build.int64([axis], [])], { axis: 0 });
  const k = build.op('Concat', ['past_k', 'k'], { axis: 2 });
  const v = build.op('Concat', ['past_v', 'v'], { axis: 2 });
  const scores = build.op('MatMul', ['q', build.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const scaled = build.op('Mul', [scores, build.float([headDim ** -0.5], [])]);
  const made = form({
    build,
    scores: scaled,
    n: size('q', 2),
    p: size('past_k', 2),
    s: size(k, 2),
    mask: 'attention_mask',
  });
  const masked = 'masked' in made ? made.masked : build.op('Add', [scaled, made.bias]);
  const context = build.op('MatMul', [build.op('Softmax', [masked], { axis: -1 }), v]);
  const heads4 = (name: string, tokens: string) => makeValueInfo(name, 1, ['batch', heads, tokens, headDim]);
  const graph = makeGraph({
    name: 'mask',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [
      heads4('q', 'new'),
      heads4('k', 'new'),
      heads4('v', 'new'),
      heads4('past_k', 'past'),
      heads4('past_v', 'past'),
      makeValueInfo('attention_mask', 7, ['batch', 'past + new']),
      makeValueInfo('given', 1, ['batch', 1, 'new', 'past + new']),
      makeValueInfo('positions', 7, ['batch', 'new']),
      makeValueInfo('segments', 7, ['batch', 'past + new']),
    ],
    output: [
      makeValueInfo(context, 1, ['batch', heads, 'new', headDim]),
      makeValueInfo(masked, 1, ['batch', heads, 'new', 'keys']),
    ],
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: BigInt(opset) }], graph, ...none }));
}
