/**
 * Every lowering, run by onnxruntime, against the float64 oracle on all cases; every mutant refused. This is rounding
 * alone: both sides compute the same formula, with the same Ω.
 */
import { describe, expect, it } from 'vitest';
import { favorPlus } from '../../src/features/favor-plus.js';
import { linearize } from '../../src/linearize.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, featureAttention, softmaxAttention, windowAttention } from '../oracle/attention.js';

const bound = 5e-6;

async function patched(
  input: Attention,
  plan: string,
  form: { scale?: 'after' | 'query' | 'roots'; opset?: number } = {},
): Promise<Float32Array> {
  const model = attentionModel({
    heads: input.H,
    headDim: input.D,
    valueDim: input.E,
    self: input.N === input.S,
    ...(input.keyBias && { mask: 'add' }),
    ...form,
  });
  const { bytes } = await linearize(model, { plan });
  return run(bytes, arraysOf(input));
}

/** Ω of the `features` lowering, as its file stores it. */
function omegaOf({ H, D }: Attention, m: number, seed: number): Float64Array {
  return Float64Array.from(favorPlus({ heads: H, headDim: D, m, seed }).omega);
}

interface Judged {
  readonly plan: string;
  readonly oracle: (input: Attention) => Float64Array;
  readonly fits: (input: Attention) => boolean;
}
const always = () => true;
const selfOnly = ({ N, S }: Attention) => N === S;
/** Features of large queries underflow in the oracle's direct form; the operator itself is tested in test/attention. */
const moderate = (input: Attention) => input !== cases['|q| × 8'];

const judged: readonly Judged[] = [
  { plan: 'exact', oracle: softmaxAttention, fits: always },
  { plan: 'exact-blocked', oracle: softmaxAttention, fits: always },
  { plan: 'exact-blocked:block=7', oracle: softmaxAttention, fits: always },
  {
    plan: 'features:m=32,seed=3',
    oracle: (input) => featureAttention(input, omegaOf(input, 32, 3), 32),
    fits: moderate,
  },
  {
    plan: 'window',
    oracle: (input) => windowAttention(input, { block: 32, window: 64, globals: [0, 1, 2, 3] }),
    fits: selfOnly,
  },
  {
    plan: 'window:window=32,globals=0',
    oracle: (input) => windowAttention(input, { block: 32, window: 32, globals: [] }),
    fits: selfOnly,
  },
  {
    plan: 'window:window=40,globals=0+50+1000',
    oracle: (input) => windowAttention(input, { block: 32, window: 40, globals: [0, 50, 1000] }),
    fits: selfOnly,
  },
  { plan: 'window:window=4096', oracle: softmaxAttention, fits: selfOnly },
];

describe.each(judged)('$plan', ({ plan, oracle, fits }) => {
  const fitting = Object.entries(cases).filter(([, input]) => fits(input));
  it.each(fitting)('equals the oracle: %s', async (_, input) => {
    close(await patched(input, plan), oracle(input), bound);
  });
  it.each(fitting)('refuses mutants: %s', async (_, input) => {
    const got = await patched(input, plan);
    for (const mutant of Object.values(mutants(input))) {
      if (fits(mutant)) expectMutantFails(() => close(got, oracle(mutant), bound));
    }
  });
});

describe('forms of the same site', () => {
  const input = normalInput({ B: 2, H: 2, N: 45, S: 45, D: 8, E: 8 }, 20, { masked: [0, 9] });
  it.each([
    ['scale on q', { scale: 'query' }],
    ['√scale on both', { scale: 'roots' }],
    ['mask expanded to [B,1,N,S]', { mask: 'expand' }],
    ['mask by Where', { mask: 'where' }],
    ['opset 11', { opset: 11 }],
    ['opset 13', { opset: 13 }],
    ['opset 20', { opset: 20 }],
  ] as const)('%s: features, window and exact-blocked hold', async (_, form) => {
    const model = attentionModel({ heads: 2, headDim: 8, mask: 'add', self: true, ...form });
    for (const { plan, oracle } of judged.slice(1, 5)) {
      const { bytes, report } = await linearize(model, { plan });
      expect(report.sites).toHaveLength(1);
      close(await run(bytes, arraysOf(input)), oracle(input), bound);
    }
  });

  it('head groups with plans of their own come back in the order of the heads', async () => {
    const wide = normalInput({ B: 2, H: 4, N: 70, S: 70, D: 8, E: 6 }, 21, { masked: [0, 9] });
    const model = attentionModel({ heads: 4, headDim: 8, valueDim: 6, mask: 'add', self: true });
    const rules = [{ layers: 0, heads: [1, 3], plan: 'window:window=32,globals=0' }];
    const { bytes } = await linearize(model, { plan: 'exact', rules });
    const [all, local] = [softmaxAttention(wide), windowAttention(wide, { block: 32, window: 32, globals: [] })];
    const size = 70 * 6;
    const want = all.map((x, i) => (Math.floor(i / size) % 2 === 1 ? local[i] : x));
    const got = await run(bytes, arraysOf(wide));
    close(got, want, bound);
    expectMutantFails(() =>
      close(
        got,
        all.map((x, i) => (Math.floor(i / size) % 4 < 2 ? local[i] : x)),
        bound,
      ),
    );
  });

  it('a window on cross-attention is declined in favour of exact-blocked, and the report says why', async () => {
    const cross = normalInput({ B: 1, H: 2, N: 37, S: 53, D: 8, E: 8 }, 22);
    const { bytes, report } = await linearize(attentionModel({ heads: 2, headDim: 8 }), { plan: 'window' });
    expect(report.sites[0]?.plans).toEqual([{ heads: [0, 1], plan: 'exact-blocked:block=256' }]);
    expect(report.sites[0]?.why).toMatch(/window.*cross/);
    close(await run(bytes, arraysOf(cross)), softmaxAttention(cross), bound);
  });
});
