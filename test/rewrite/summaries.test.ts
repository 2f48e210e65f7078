/** The plan of summaries alone, run by onnxruntime, against its definition in float64; every mutant refused. */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { causalModel } from '../causal-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';
import { type Book, summariesAttention } from '../oracle/summaries.js';

const bound = 5e-6;

const modelOf = ({ H: heads, D: headDim, E: valueDim, N, S, keyBias }: Attention, opset?: number) =>
  attentionModel({
    ...{ heads, headDim, valueDim, self: N === S },
    ...(keyBias && { mask: 'add' }),
    ...(opset && { opset }),
  });

async function bySegments(input: Attention, codes: number, opset?: number): Promise<Float32Array> {
  const { bytes, report } = await linearize(modelOf(input, opset), { plan: `summaries:codes=${codes}` });
  expect(report.sites[0]?.plans[0]?.plan).toBe(`summaries:codes=${codes},assign=segments`);
  return run(bytes, arraysOf(input));
}

/** Random, as one that calibration made is, for every head of an input. */
function bookOf({ H, D, E }: Attention, codes: number, assign: 'keys' | 'pairs'): Book {
  const normal = gaussians(9);
  const draw = (length: number) => Float64Array.from(Float32Array.from({ length }, () => normal()));
  return { weights: draw(H * (assign === 'pairs' ? D + E : D) * codes), offsets: draw(H * codes) };
}

async function byCodebook(input: Attention, codes: number, assign: 'keys' | 'pairs'): Promise<Float32Array> {
  const model = openModel(decode(modelOf(input)));
  const { weights, offsets } = bookOf(input, codes, assign);
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [
      { heads: Array.from({ length: input.H }, (_, h) => h), plan: readPlan({ name: 'summaries', codes, assign }) },
    ],
    why: 'test',
    constants: {
      [`${assign}${codes}.weights`]: Float32Array.from(weights),
      [`${assign}${codes}.offsets`]: Float32Array.from(offsets),
    },
  }));
  return run(concat(encode(applyPlans(model, plans).proto)), arraysOf(input));
}

describe.each([4, 16, 200])('%d segments', (codes) => {
  it.each(Object.entries(cases))('equal the oracle and refuse mutants: %s', async (_, input) => {
    const got = await bySegments(input, codes);
    close(got, summariesAttention(input, { codes }), bound);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, summariesAttention(mutant, { codes }), bound));
  });
});

describe.each(['keys', 'pairs'] as const)('codes of %s', (assign) => {
  const codes = 7;
  it.each(Object.entries(cases))('equal the oracle and refuse mutants: %s', async (_, input) => {
    const got = await byCodebook(input, codes, assign);
    const book = bookOf(input, codes, assign);
    close(got, summariesAttention(input, { codes, book }), bound);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, summariesAttention(mutant, { codes, book }), bound));
  });
  it('are not segments', async () => {
    const input = cases['whole blocks'];
    const got = await byCodebook(input, codes, assign);
    expectMutantFails(() => close(got, summariesAttention(input, { codes }), bound));
  });
});

it.each([11, 13, 18, 20])('holds at opset %d', async (opset) => {
  close(await bySegments(cases.padding, 6, opset), summariesAttention(cases.padding, { codes: 6 }), bound);
});

it('is softmax where every key has a segment of its own, and errs less the more there are', async () => {
  const input = normalInput({ B: 1, H: 2, N: 64, S: 64, D: 8, E: 8 }, 30);
  const want = softmaxAttention(input);
  close(await bySegments(input, 64), want, bound);
  const square = (x: (i: number) => number) => want.reduce((sum, _, i) => sum + x(i) ** 2, 0);
  const error = async (codes: number) => {
    const got = await bySegments(input, codes);
    return Math.sqrt(square((i) => got[i] - want[i]) / square((i) => want[i]));
  };
  expect(await error(32)).toBeLessThan(0.9 * (await error(8)));
});

it('is declined where a query may not attend to all keys', async () => {
  const { report } = await linearize(causalModel({ heads: 2, headDim: 8 }), { plan: 'summaries' });
  expect(report.sites[0]?.plans[0]?.plan).toBe('exact-blocked:block=256');
  expect(report.sites[0]?.why).toMatch(/all keys alike/);
});
