/** performers() beside @huggingface/transformers 3.8.1, whose onnxruntime-node 1.21 is nested below it: given as `ort`. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { env, pipeline, RawImage } from 'transformers-v3';
import { beforeAll, describe, expect, test } from 'vitest';
import { performers } from '../../src/adapters/transformers.node.js';
import { close } from '../close.js';

const require = createRequire(import.meta.url);
const ort = createRequire(require.resolve('transformers-v3'))('onnxruntime-node');
const models = fileURLToPath(new URL('../../models/', import.meta.url));

env.allowRemoteModels = false;
env.localModelPath = models;

async function loadSaliency(options: object) {
  return pipeline('depth-estimation', 'vit-s14-saliency', { dtype: 'fp32', ...options });
}

async function map(pipe: Awaited<ReturnType<typeof loadSaliency>>): Promise<Float32Array> {
  const output = await pipe(await RawImage.read(`${models}vit-s14-saliency/samples/chelsea.png`));
  const { predicted_depth } = Array.isArray(output) ? output[0] : output;
  return Float32Array.from(predicted_depth.data);
}

test('the onnxruntime is that of 3.8.1', () => {
  expect(ort.env.versions.node).toBe('1.21.0');
});

describe.each(['cpu', 'wasm'] as const)('depth-estimation on %s', (device) => {
  let want: Float32Array;

  beforeAll(async () => {
    const pipe = await loadSaliency(performers({ ort, device, original: true }));
    want = await map(pipe);
    await pipe.dispose();
  });

  test('exact-blocked gives the map of the original, and says what was done', async () => {
    const pipe = await loadSaliency(performers({ ort, device, plan: 'exact-blocked' }));
    close(await map(pipe), want, 1e-5);
    expect(performers.report(pipe).model.sites).toHaveLength(12);
    await pipe.dispose();
  });
});

test('without `ort` the mistake is explained: two native onnxruntimes do not fit into one process', () => {
  expect(() => performers()).toThrow(/^PF301.* performers\(\{ ort \}\)$/s);
});
