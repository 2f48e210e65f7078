/** A real chat model through the real text-generation pipeline, patched while it loads: a state for a key cache. */

import { dirname } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { describe, expect, test } from 'vitest';
import { performers } from '../../src/adapters/transformers.node.js';
import { modelFile, noModels } from '../shared.js';

const name = 'SmolLM2-135M-Instruct';
const messages = [{ role: 'user', content: 'Name three lighthouses.' }];

async function chat(options: object) {
  Object.assign(env, { allowRemoteModels: false, localModelPath: `${dirname(modelFile(name))}/` });
  const generate = await pipeline('text-generation', name, { dtype: 'q4', device: 'cpu', ...options });
  const output = await generate(messages, { max_new_tokens: 8, do_sample: false });
  const [{ generated_text: turns }] = output as { generated_text: { content: string }[] }[];
  return { text: turns.at(-1)?.content, generate };
}

describe.skipIf(noModels)('a chat of SmolLM2-135M', () => {
  test('whose layers keep a state answers as it did, while its window holds everything', async () => {
    const original = await chat({});
    await original.generate.dispose();
    const plan = 'hybrid-causal:window=256,globals=0,sinks=0,codes=0';
    const patched = await chat(performers({ device: 'cpu', plan }));
    expect(patched.text).toBe(original.text);
    expect(patched.text?.length).toBeGreaterThan(10);
    const [report] = Object.values(performers.report(patched.generate));
    expect(report.sites).toHaveLength(30);
    expect(report.sites.every(({ cache }) => cache?.perToken === 0 && cache.constant > 0)).toBe(true);
    await patched.generate.dispose();
  }, 600_000);
});
