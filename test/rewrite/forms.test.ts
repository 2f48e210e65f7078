/**
 * One attention in the forms that its two products are written in: other orders of axes, ranks from 2 to 5, keys before
 * queries, values before probabilities. What is found is the same site, and plans give what they give on the plain form.
 */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize, restore } from '../../src/linearize.js';
import { type Builder, builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeGraph, makeValueInfo } from '../../src/onnx/message.js';
import { run } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';

/** Sizes by letter: batch, windows, key heads, query heads a key head, heads, tokens, width. */
const sizes: Readonly<Record<string, number>> = { b: 2, p: 3, g: 2, r: 3, h: 6, n: 11, d: 8, '1': 1 };
const names: Readonly<Record<string, string | number>> = { b: 'batch', p: 'windows', n: 'tokens' };

interface Form {
  /** Axes of q, k, v and the context, one letter each. */
  readonly q: string;
  readonly k: string;
  readonly v?: string;
  readonly out: string;
  attend(build: Builder): string;
  readonly opset?: number;
  readonly found?: {
    readonly heads?: number;
    readonly kvHeads?: number;
    readonly mask?: string;
    readonly causal?: boolean;
  };
}

const scale = 1 / Math.sqrt(8);
const times = (build: Builder, value: string) => build.op('Mul', [value, build.float([scale], [])]);
const turn = (build: Builder, value: string, ...perm: number[]) => build.op('Transpose', [value], { perm });
const softmax = (build: Builder, value: string, axis = -1) => build.op('Softmax', [times(build, value)], { axis });
const einsum = (build: Builder, equation: string, a: string, b: string) => build.op('Einsum', [a, b], { equation });
/** Lower triangle [N,N] of zeros, −∞ above it, by comparing positions. */
const triangle = (build: Builder, tokens: string) => {
  const at = build.op('Range', [build.int64([0], []), tokens, build.int64([1], [])]);
  const rows = build.op('Reshape', [at, build.int64([-1, 1])]);
  return build.op('Where', [build.op('Less', [rows, at]), build.float([-Infinity], []), build.float([0], [])]);
};
const tokensOf = (build: Builder, value: string, axis: number) =>
  build.op('Gather', [build.op('Shape', [value]), build.int64([axis], [])], { axis: 0 });

const forms: Readonly<Record<string, Form>> = {
  'rank 2': {
    q: 'nd',
    k: 'nd',
    out: 'nd',
    attend: (b) => b.op('MatMul', [softmax(b, b.op('MatMul', ['q', turn(b, 'k', 1, 0)])), 'v']),
    found: { heads: 1 },
  },
  'rank 3, one head, used as it is': {
    q: 'bnd',
    k: 'bnd',
    out: 'bnd',
    attend: (b) => {
      const context = b.op('MatMul', [softmax(b, b.op('MatMul', ['q', turn(b, 'k', 0, 2, 1)])), 'v']);
      return b.op('Add', [context, 'q']);
    },
    found: { heads: 1 },
  },
  'channels first, V·Pᵀ (YOLO)': {
    q: 'bhdn',
    k: 'bhdn',
    out: 'bhdn',
    attend: (b) =>
      b.op('MatMul', ['v', turn(b, softmax(b, b.op('MatMul', [turn(b, 'q', 0, 1, 3, 2), 'k'])), 0, 1, 3, 2)]),
  },
  'channels first, one head, V·Pᵀ into a picture (autoencoders)': {
    q: 'bdn',
    k: 'bdn',
    out: 'bdn',
    attend: (b) => {
      const p = softmax(b, b.op('MatMul', [turn(b, 'q', 0, 2, 1), 'k']), 2);
      return b.op('Add', [b.op('MatMul', ['v', turn(b, p, 0, 2, 1)]), 'q']);
    },
    found: { heads: 1 },
  },
  'K·Qᵀ normalised over its rows': {
    q: 'bhnd',
    k: 'bhnd',
    out: 'bhnd',
    attend: (b) => {
      const p = softmax(b, b.op('MatMul', ['k', turn(b, 'q', 0, 1, 3, 2)]), 2);
      return b.op('MatMul', [turn(b, p, 0, 1, 3, 2), 'v']);
    },
  },
  'K·Qᵀ and V before P, no transposition of scores': {
    q: 'bhnd',
    k: 'bhnd',
    v: 'bhdn',
    out: 'bhdn',
    attend: (b) => b.op('MatMul', ['v', softmax(b, b.op('MatMul', ['k', turn(b, 'q', 0, 1, 3, 2)]), -2)]),
  },
  'K·Qᵀ with a causal mask turned as the scores are': {
    q: 'bhnd',
    k: 'bhnd',
    out: 'bhnd',
    attend: (b) => {
      const scores = b.op('MatMul', ['k', turn(b, 'q', 0, 1, 3, 2)]);
      const mask = turn(b, triangle(b, tokensOf(b, 'q', 2)), 1, 0);
      const p = b.op('Softmax', [b.op('Add', [times(b, scores), mask])], { axis: 2 });
      return b.op('MatMul', [turn(b, p, 0, 1, 3, 2), 'v']);
    },
    found: { causal: true, mask: 'causal' },
  },
  'rank 5, grouped key heads, causal': {
    q: 'bgrnd',
    k: 'bg1nd',
    out: 'bgrnd',
    attend: (b) => {
      const scores = b.op('MatMul', ['q', turn(b, 'k', 0, 1, 2, 4, 3)]);
      const masked = b.op('Add', [times(b, scores), triangle(b, tokensOf(b, 'q', 3))]);
      return b.op('MatMul', [b.op('Softmax', [masked], { axis: -1 }), 'v']);
    },
    found: { kvHeads: 2, causal: true, mask: 'causal' },
  },
  'rank 4, one key head for all (Falcon)': {
    q: 'bhnd',
    k: 'b1nd',
    out: 'bhnd',
    attend: (b) => b.op('MatMul', [softmax(b, b.op('MatMul', ['q', turn(b, 'k', 0, 1, 3, 2)])), 'v']),
    found: { kvHeads: 1 },
  },
  'rank 5, windows': {
    q: 'bphnd',
    k: 'bphnd',
    out: 'bphnd',
    attend: (b) => b.op('MatMul', [softmax(b, b.op('MatMul', ['q', turn(b, 'k', 0, 1, 2, 4, 3)])), 'v']),
  },
  'exp ÷ Σ exp, its maximum taken off (JAX)': {
    q: 'bnhd',
    k: 'bnhd',
    out: 'bnhd',
    attend: (b) => {
      const x = times(b, einsum(b, 'bqhd,bkhd->bhqk', 'q', 'k'));
      const spread = (reduced: string) => b.op('Reshape', [reduced, b.int64([0, 0, -1, 1])]);
      const most = b.op('Max', [b.op('ReduceMax', [x], { axes: [3], keepdims: 0 }), b.float([-Infinity], [])]);
      const e = b.op('Exp', [b.op('Sub', [x, spread(b.op('Identity', [most]))])]);
      const sum = b.op('Expand', [spread(b.op('ReduceSum', [e, b.int64([3])], { keepdims: 0 })), b.op('Shape', [e])]);
      return einsum(b, 'bhqk,bkhd->bqhd', b.op('Div', [e, sum]), 'v');
    },
  },
  'a Softmax on all rows in one axis (tf2onnx)': {
    q: 'bhnd',
    k: 'bhnd',
    out: 'bhnd',
    opset: 11,
    attend: (b) => {
      const scores = times(b, b.op('MatMul', ['q', turn(b, 'k', 0, 1, 3, 2)]));
      const shape = b.op('Shape', [scores]);
      const keys = b.op('Slice', [shape, b.int64([3]), b.int64([4])]);
      const rows = b.op('Reshape', [scores, b.op('Concat', [b.int64([-1]), keys], { axis: 0 })]);
      return b.op('MatMul', [b.op('Reshape', [b.op('Softmax', [rows], { axis: 1 }), shape]), 'v']);
    },
  },
  'Einsum with grouped key heads (Flax)': {
    q: 'bngrd',
    k: 'bngd',
    out: 'bngrd',
    attend: (b) => einsum(b, 'bkgts,bskd->btkgd', softmax(b, einsum(b, 'btkgd,bskd->bkgts', 'q', 'k')), 'v'),
    found: { kvHeads: 2 },
  },
  'Einsum with one key head and no axis for it': {
    q: 'bhnd',
    k: 'bnd',
    out: 'bnhd',
    attend: (b) => einsum(b, 'bhij,bjd->bihd', softmax(b, einsum(b, 'bhid,bjd->bhij', 'q', 'k')), 'v'),
    found: { kvHeads: 1 },
  },
  'Einsum with tokens first (XLNet)': {
    q: 'nbhd',
    k: 'nbhd',
    out: 'nbhd',
    attend: (b) => einsum(b, 'bnij,jbnd->ibnd', softmax(b, einsum(b, 'ibnd,jbnd->bnij', 'q', 'k')), 'v'),
  },
  'Einsum with heads last, normalised in the middle': {
    q: 'bnhd',
    k: 'bnhd',
    out: 'bnhd',
    attend: (b) => einsum(b, 'bijh,bjhd->bihd', softmax(b, einsum(b, 'bihd,bjhd->bijh', 'q', 'k'), 2), 'v'),
  },
};

function modelOf({ q, k, v = k, out, attend, opset = 17 }: Form): Uint8Array {
  const pool = constantPool('t/');
  const build = builder(opset, 't/', pool);
  const context = attend(build);
  const dims = (axes: string) => [...axes].map((axis) => names[axis] ?? sizes[axis] ?? 0);
  const graph = makeGraph({
    name: 'attention',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [makeValueInfo('q', 1, dims(q)), makeValueInfo('k', 1, dims(k)), makeValueInfo('v', 1, dims(v))],
    output: [makeValueInfo(context, 1, dims(out))],
  });
  const none = { metadataProps: [], trainingInfo: [], functions: [], configuration: [] };
  return concat(encode({ irVersion: 8n, opsetImport: [{ domain: '', version: BigInt(opset) }], graph, ...none }));
}

function inputsOf({ q, k, v = k }: Form) {
  const normal = gaussians(5);
  const tensor = (axes: string) => {
    const dims = [...axes].map((axis) => sizes[axis] ?? 0);
    const length = dims.reduce((a, b) => a * b, 1);
    return { data: Float32Array.from({ length }, normal), dims };
  };
  return { q: tensor(q), k: tensor(k), v: tensor(v) };
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  const bytes = modelOf(form);
  const inputs = inputsOf(form);

  it('is found', () => {
    const { sites, nearMisses, refusals } = inspect(bytes);
    expect([nearMisses, refusals]).toEqual([[], []]);
    const heads = 6;
    expect(sites).toMatchObject([
      {
        heads,
        kvHeads: form.found?.heads ?? heads,
        mask: 'none',
        causal: false,
        headDim: 8,
        valueDim: 8,
        ...form.found,
      },
    ]);
    expect(sites[0]?.scale).toBeCloseTo(scale, 6);
  });

  // A window over more keys than there are is a linear plan's way to all of them.
  it.each(['exact', 'exact-blocked:block=4', 'window:window=64,globals=4'])(
    'gives its own outputs by %s',
    async (plan) => {
      const wanted = await run(bytes, inputs);
      const { bytes: patched, report } = await linearize(bytes, { plan });
      const taken = form.found?.causal && plan.startsWith('window') ? 'exact-blocked:block=256' : plan;
      expect(report.sites.flatMap(({ plans }) => plans.map((group) => group.plan))).toEqual([taken]);
      close(await run(patched, inputs), wanted, 1e-6);
      const louder = { ...inputs, k: { ...inputs.k, data: inputs.k.data.map((x) => 1.01 * x) } };
      const mutant = await run(patched, louder);
      expectMutantFails(() => close(mutant, wanted, 1e-6));
      expect(Buffer.compare(restore(patched, report), bytes)).toBe(0);
    },
  );
});
