/** A folder that `performers linearize` wrote is a model folder of transformers.js like any other. */
import { dirname } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { expect, test } from 'vitest';
import { close, expectMutantFails } from '../close.js';
import { modelFile, noModels } from '../shared.js';
import { performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const name = 'all-MiniLM-L6-v2';
const text = ['Attention in linear time.', 'The cat sat on the mat, and a second, longer sentence pads the first.'];

async function embed(folder: string, model: string): Promise<Float32Array> {
  env.allowRemoteModels = false;
  env.localModelPath = folder;
  const pipe = await pipeline('feature-extraction', model, { dtype: 'fp32' });
  const { data } = await pipe(text, { pooling: 'mean', normalize: true });
  await pipe.dispose();
  return Float32Array.from(data);
}

test.skipIf(noModels)('feature-extraction on a linearized MiniLM', async () => {
  const folder = modelFile(name);
  const plans = { exact: 'exact-blocked', wrong: 'features:m=8' };
  for (const [to, plan] of Object.entries(plans)) {
    const { code } = await performers('linearize', folder, '-o', `${scratch}/${to}`, '--plan', plan);
    expect(code).toBe(0);
  }
  const want = await embed(dirname(folder), name);
  expect(want).toHaveLength(2 * 384);
  close(await embed(scratch, 'exact'), want, 1e-5);
  const wrong = await embed(scratch, 'wrong');
  expectMutantFails(() => close(wrong, want, 1e-5));
});
