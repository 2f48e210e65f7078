/** A model without a pipeline, on inputs made from its graph: both forms see the same random numbers. */
import {
  compareOutputs,
  correlation,
  type LinearizeOptions,
  linearize,
  type SessionFactory,
  type TensorLike,
} from '../../src/index.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { headErrorsOf, headViews } from './head-views.js';
import type { Ran, RunResult } from './protocol.js';

export async function runBare(
  bytes: Uint8Array,
  plan: LinearizeOptions,
  tokens: number,
  createSession: SessionFactory,
  phase: (what: string) => void,
): Promise<RunResult> {
  const { feeds } = generateInputs(openModel(decode(bytes)), { tokens });
  const { bytes: patched, report } = await linearize(bytes, plan);
  const run = async (model: Uint8Array): Promise<{ ran: Ran; outputs: Record<string, TensorLike> }> => {
    const session = await createSession(model);
    try {
      let outputs = await session.run(feeds);
      const start = performance.now();
      outputs = await session.run(feeds);
      const ms = performance.now() - start;
      const [name = '', first] = Object.entries(outputs)[0] ?? [];
      const head = Array.from({ length: 8 }, (_, i) => Number(first?.data[i] ?? Number.NaN));
      return { ran: { answer: { kind: 'numbers', what: name, head }, ms, runs: 1 }, outputs };
    } finally {
      await session.release();
    }
  };
  phase('running the original');
  const want = await run(bytes);
  phase('running it with other attention');
  const got = await run(patched);
  const [worst] = compareOutputs(got.outputs, want.outputs).sort((a, b) => b.relRMS - a.relRMS);
  phase('comparing every head');
  const errors = await headErrorsOf(bytes, plan, feeds, createSession);
  const numbers = (outputs: Record<string, TensorLike>) =>
    Array.from<number | bigint | string, number>(outputs[worst.name].data, Number);
  return {
    original: want.ran,
    patched: got.ran,
    error: {
      what: `output ${worst.name}`,
      relRMS: worst.relRMS,
      correlation: correlation(numbers(got.outputs), numbers(want.outputs)),
    },
    heads: headViews(report.sites, errors.heads),
    ...(errors.missing && { headsMissing: errors.missing }),
  };
}
