/** The Nyström lowering, run by onnxruntime, against the float64 oracle with the same iteration; every mutant refused. */
import { describe, expect, it } from 'vitest';
import { linearize } from '../../src/linearize.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { causalModel } from '../causal-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';
import { nystromAttention } from '../oracle/nystrom.js';

/** Six steps towards an inverse carry the rounding of float32 further than one product does. */
const bound = 1e-4;

async function patched(input: Attention, m: number, opset?: number): Promise<Float32Array> {
  const { H: heads, D: headDim, E: valueDim, N, S, keyBias } = input;
  const model = attentionModel({
    ...{ heads, headDim, valueDim, self: N === S },
    ...(keyBias && { mask: 'add' }),
    ...(opset && { opset }),
  });
  const { bytes, report } = await linearize(model, { plan: `nystrom:landmarks=${m}` });
  expect(report.sites[0]?.plans[0]?.plan).toBe(`nystrom:landmarks=${m}`);
  return run(bytes, arraysOf(input));
}

describe.each([1, 6, 16])('%d landmarks', (m) => {
  it.each(Object.entries(cases))('equal the oracle and refuse mutants: %s', async (_, input) => {
    const got = await patched(input, m);
    close(got, nystromAttention(input, { m }), bound);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, nystromAttention(mutant, { m }), bound));
  });
});

it('takes one step less for another answer', async () => {
  const input = cases['whole blocks'];
  const got = await patched(input, 6);
  expectMutantFails(() => close(got, nystromAttention(input, { m: 6, steps: 5 }), bound));
});

it.each([11, 13, 18, 20])('holds at opset %d', async (opset) => {
  close(await patched(cases.padding, 6, opset), nystromAttention(cases.padding, { m: 6 }), bound);
});

it('errs less with more landmarks, and is softmax where every token is one', async () => {
  const input = normalInput({ B: 1, H: 2, N: 64, S: 64, D: 8, E: 8 }, 30);
  const want = softmaxAttention(input);
  const errors: number[] = [];
  for (const m of [4, 16, 64]) {
    const got = await patched(input, m);
    const square = (x: (i: number) => number) => want.reduce((sum, _, i) => sum + x(i) ** 2, 0);
    errors.push(Math.sqrt(square((i) => got[i] - want[i]) / square((i) => want[i])));
  }
  expect(errors[1]).toBeLessThan(errors[0]);
  expect(errors[2]).toBeLessThan(0.5 * errors[1]);
});

it('is declined where a query may not attend to all keys', async () => {
  const { report } = await linearize(causalModel({ heads: 2, headDim: 8 }), { plan: 'nystrom' });
  expect(report.sites[0]?.plans[0]?.plan).toBe('exact-blocked:block=256');
  expect(report.sites[0]?.why).toMatch(/all keys alike/);
});
