/** performers() in the pipelines of @huggingface/transformers 4.3.1 in Chromium, on wasm and on (software) WebGPU. */
import { env, pipeline, RawImage, type Tensor } from '@huggingface/transformers';
import { expect, test } from 'vitest';
import { type PerformersOptions, performers } from '../../src/adapters/transformers.js';
import { PerformersError } from '../../src/errors.js';
import { close, expectMutantFails } from '../close.js';

const runtime = '/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify';
const modelUrl = '/models/vit-s14-saliency/onnx/model.onnx';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '/models/';
// transformers.js would take them from a CDN.
Object.assign(env.backends.onnx.wasm ?? {}, { wasmPaths: { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` } });

async function loadSaliency(options: object, size = 224) {
  const pipe = await pipeline('depth-estimation', 'vit-s14-saliency', { dtype: 'fp32', ...options });
  Object.assign(pipe.processor?.image_processor ?? {}, { size: { height: size, width: size } });
  return pipe;
}

async function map(pipe: Awaited<ReturnType<typeof loadSaliency>>): Promise<Float32Array> {
  const { predicted_depth } = await pipe(await RawImage.read('/models/vit-s14-saliency/samples/chelsea.png'));
  return Float32Array.from(predicted_depth.data);
}

test('the page is isolated, so wasm has threads', () => {
  expect(crossOriginIsolated).toBe(true);
});

test('exact-blocked on wasm gives the map of the original, and says what was done', async () => {
  const original = await loadSaliency(performers({ original: true }));
  const patched = await loadSaliency(performers({ plan: 'exact-blocked' }));
  const features = await loadSaliency(performers({ plan: 'features:m=16' }));
  const want = await map(original);
  close(await map(patched), want, 1e-5);
  const ruined = await map(features);
  expectMutantFails(() => close(ruined, want, 1e-2));
  expect(performers.report(patched).model.sites).toHaveLength(12);
  for (const pipe of [original, patched, features]) await pipe.dispose();
});

// 17 tokens in three blocks: a software adapter takes minutes at 224 px.
test('exact-blocked on WebGPU gives the map of the original, on WebGPU and on wasm', async () => {
  const mapWith = async (options: PerformersOptions) => {
    const pipe = await loadSaliency(performers(options), 56);
    const got = await map(pipe);
    if (!options.original) expect(performers.report(pipe).model.sites).toHaveLength(12);
    await pipe.dispose();
    return got;
  };
  const wasm = await mapWith({ device: 'wasm', original: true });
  const webgpu = await mapWith({ device: 'webgpu', original: true });
  const patched = await mapWith({ device: 'webgpu', plan: 'exact-blocked:block=8' });
  close(patched, webgpu, 1e-4);
  close(patched, wasm, 1e-4);
  // Bit-equal maps would mean that the GPU was not used.
  expect(patched).not.toEqual(wasm);
});

test('spliced on WebGPU, the pipeline gives the map of the original, and the report says what was spliced', async () => {
  const original = await loadSaliency(performers({ device: 'wasm', original: true }), 56);
  const want = await map(original);
  const spliced = await loadSaliency(performers({ device: 'webgpu', plan: 'exact', splice: true }), 56);
  close(await map(spliced), want, 1e-5);
  const { sites } = performers.report(spliced).model;
  expect(sites.map(({ placement }) => placement)).toEqual(new Array(12).fill({ as: 'splice', why: 'as asked' }));
  const other = await loadSaliency(performers({ device: 'webgpu', plan: 'features:m=16', splice: true }), 56);
  const ruined = await map(other);
  expectMutantFails(() => close(ruined, want, 1e-5));
  for (const pipe of [original, spliced, other]) await pipe.dispose();
});

test('the shipped language model generates on WebGPU what it generates on wasm, through generate() as it is', async () => {
  const sentence = 'Once upon a time, there was a little girl named Lily. She liked to play in the park with her mom.';
  const story = `${sentence} ${sentence} ${sentence} One day, she went to the park with her mom.`;
  const generated = async (device: 'wasm' | 'webgpu') => {
    const generate = await pipeline('text-generation', 'performer-stories', { dtype: 'fp32', device });
    const { tokenizer, model } = generate;
    const inputs = tokenizer(story);
    const sequence = await model.generate({ ...inputs, max_new_tokens: 14, do_sample: false });
    await generate.dispose();
    return { prompt: inputs.input_ids.dims[1], ids: Array.from((sequence as Tensor).data, Number) };
  };
  const wasm = await generated('wasm');
  // The prompt evicts keys from the window of 64, and so does a step of the answer, the one that ends a block of 32.
  expect(wasm.prompt).toBeGreaterThan(64);
  expect(wasm.prompt).toBeLessThan(96);
  expect(wasm.ids.length).toBeGreaterThan(97);
  expect(await generated('webgpu')).toEqual(wasm);
}, 600_000);

test('two models of one page keep apart', async () => {
  const before = await loadSaliency({ device: 'wasm' });
  const want = await map(before);
  const features = await loadSaliency(performers({ plan: 'features:m=16' }));
  const after = await loadSaliency({ device: 'wasm' });
  expect(await map(before)).toEqual(want);
  expect(await map(after)).toEqual(want);
  expect(await map(features)).not.toEqual(want);
  expect(() => performers.report(after)).toThrow(PerformersError);
  for (const pipe of [before, features, after]) await pipe.dispose();
});

test('the cache of transformers.js holds the original, byte for byte', async () => {
  await caches.delete(env.cacheKey);
  const pipe = await loadSaliency(performers({ plan: 'exact-blocked' }));
  await pipe.dispose();
  const cache = await caches.open(env.cacheKey);
  const urls = (await cache.keys()).map((request) => request.url).filter((url) => url.endsWith('.onnx'));
  expect(urls).toEqual([new URL(modelUrl, location.href).href]);
  const cached = await cache.match(urls[0]);
  const original = await fetch(modelUrl);
  expect(await sha256(cached)).toBe(await sha256(original));
});

async function sha256(response: Response | undefined): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', (await response?.arrayBuffer()) ?? new ArrayBuffer(0));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
