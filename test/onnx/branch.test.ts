/** One branch of a merged decoder as a model of its own gives, bit for bit, what the whole model gives in that branch. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { generateInputs } from '../../src/node/inputs.js';
import { onlyBranch } from '../../src/onnx/branch.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { allGraphs, openModel } from '../../src/onnx/graph.js';
import type { Feeds } from '../../src/session.js';
import { graphFile } from '../shared.js';

const createSession = sessionFactory(ort);

async function outputs(bytes: Uint8Array, feeds: Feeds) {
  const session = await createSession(bytes);
  const known = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]]));
  const found = await session.run(known);
  await session.release();
  return { inputs: session.inputNames, found };
}

const named = ['gpt2-merged.optimum13', 'bart-decoder-merged.optimum-eager', 'whisper-decoder-merged.optimum-eager'];
const cases = [...named, 't5-decoder-merged.optimum-eager'].flatMap((name) => [
  [name, 'then_branch', 7] as const,
  [name, 'else_branch', 0] as const,
]);

it.each(cases)('%s, %s', async (name, branch, past) => {
  const bytes = new Uint8Array(readFileSync(graphFile(`${name}.onnx`)));
  const model = openModel(decode(bytes));
  const graph = allGraphs(model.graph).find(({ path }) => path.endsWith(branch));
  if (!graph) throw new TypeError('a merged decoder has two branches');
  const alone = concat(encode(onlyBranch(model, graph)));
  const { feeds } = generateInputs(model, { tokens: 9, past });
  const whole = await outputs(bytes, feeds);
  const own = await outputs(alone, feeds);
  // The other branch leaves out what is known of the encoder.
  const given = Object.entries(whole.found).filter(([, { data }]) => data.length > 0);
  expect(given.length).toBeGreaterThan(2);
  for (const [output, { data }] of given) expect([output, own.found[output].data]).toEqual([output, data]);
  expect(own.inputs).not.toContain('use_cache_branch');
  expect(own.inputs.some((input) => input.startsWith('past'))).toBe(branch === 'then_branch');
});

it('is for branches of an If alone', () => {
  const model = openModel(decode(new Uint8Array(readFileSync(graphFile('bert.optimum-eager.onnx')))));
  expect(() => onlyBranch(model, model.graph)).toThrow(TypeError);
});
