/** Language models of real exporters, read in pieces as in one call. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { linearize } from '../../src/linearize.js';
import { cacheBytes, type Decoder, openDecoder } from '../../src/node/decoder.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { close, expectMutantFails } from '../close.js';
import { graphFile } from '../shared.js';

const ids = Array.from({ length: 12 }, (_, i) => (7 * i * i + 5) % 60);

async function open(name: string, plan?: string) {
  const path = graphFile(`${name}.onnx`);
  const bytes = new Uint8Array(readFileSync(path));
  const model = plan === undefined ? bytes : (await linearize(bytes, { plan })).bytes;
  const session = await (await nodeSessions('node', path))(model);
  return openDecoder(openModel(decode(model)), session);
}

/** @param forgetful a mutant that begins anew with every piece */
async function readAll(decoder: Decoder, ends: readonly number[], forgetful = false) {
  let [stream, at] = [decoder.begin(), 0];
  const logits: number[] = [];
  for (const end of ends) {
    const read = await decoder.read(forgetful ? decoder.begin() : stream, ids.slice(at, end));
    logits.push(...Array.from(read.logits.data, Number));
    [stream, at] = [read.stream, end];
  }
  return { logits: Float64Array.from(logits), stream };
}

describe('a decoder', () => {
  // With positions as an input, from the mask, inside of fused operators, with a float16 cache; without a cache at all.
  const names = ['llama.optimum-sdpa-past', 'gpt2.optimum-sdpa-past', 'llama.genai-gqa', 'nanogpt.dynamo23-is-causal'];
  test.each(names)('%s: in pieces as in one', async (name) => {
    const decoder = await open(name);
    const whole = await readAll(decoder, [12]);
    const pieces = await readAll(decoder, [5, 6, 12]);
    close(pieces.logits, whole.logits, 5e-6);
    expect(pieces.stream.tokens).toBe(12);
    expect(cacheBytes(pieces.stream)).toBe(cacheBytes(whole.stream));
    expect(cacheBytes(whole.stream) > 0).toBe(decoder.cached);
    const mutant = await readAll(decoder, [5, 6, 12], true);
    expectMutantFails(() => close(mutant.logits, whole.logits, 5e-6));
  });

  test('a stream may be read on in two ways', async () => {
    const decoder = await open('llama.optimum-sdpa-past', 'hybrid-causal:window=32,globals=0,sinks=0,codes=0');
    const { stream } = await readAll(decoder, [6]);
    const [one, other, again] = [
      await decoder.read(stream, [1]),
      await decoder.read(stream, [2]),
      await decoder.read(stream, [1]),
    ];
    expect(again.logits.data).toEqual(one.logits.data);
    expect(other.logits.data).not.toEqual(one.logits.data);
    expect(cacheBytes(one.stream)).toBe(cacheBytes(stream));
  });

  test('what is no language model is refused', async () => {
    await expect(open('bert.optimum-eager')).rejects.toMatchObject({ code: 'PF501' });
    await expect(open('bart-decoder-merged.optimum-eager')).rejects.toThrow(/takes .*encoder_hidden_states/);
  });
});
