/** performers() in the pipelines of @huggingface/transformers 4.3.1 in Node, native and wasm. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AutoModel, env, type PreTrainedModel, pipeline, RawImage, Tensor } from '@huggingface/transformers';
import * as ortWeb from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { performers } from '../../src/adapters/transformers.node.js';
import { PerformersError } from '../../src/errors.js';
import { close, expectMutantFails } from '../close.js';
import { graphFile, modelFile, noModels } from '../shared.js';

const models = fileURLToPath(new URL('../../models/', import.meta.url));
const saliency = join(models, 'vit-s14-saliency');
const photo = join(saliency, 'samples/chelsea.png');
const scratch = mkdtempSync(join(tmpdir(), 'performers-adapter-'));

env.allowRemoteModels = false;
env.localModelPath = models;

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function loadSaliency(options: object) {
  return pipeline('depth-estimation', 'vit-s14-saliency', { dtype: 'fp32', ...options });
}

type Saliency = Awaited<ReturnType<typeof loadSaliency>>;

async function map(pipe: Saliency): Promise<Float32Array> {
  const { predicted_depth } = await pipe(await RawImage.read(photo));
  return Float32Array.from(predicted_depth.data);
}

describe.each(['cpu', 'wasm'] as const)('depth-estimation on %s', (device) => {
  let want: Float32Array;

  beforeAll(async () => {
    const pipe = await loadSaliency(performers({ device, original: true }));
    want = await map(pipe);
    await pipe.dispose();
  });

  test('exact-blocked gives the map of the original, and says what was done', async () => {
    const pipe = await loadSaliency(performers({ device, plan: 'exact-blocked' }));
    close(await map(pipe), want, 1e-5);
    const { model: report } = performers.report(pipe);
    expect(report.file).toBe('model.onnx');
    expect(report.sites).toHaveLength(12);
    expect(new Set(report.sites.flatMap((site) => site.plans.map(({ plan }) => plan.split(':')[0])))).toEqual(
      new Set(['exact-blocked']),
    );
    await pipe.dispose();
  });

  test('a plan that changes the map is seen to change it', async () => {
    const pipe = await loadSaliency(performers({ device, plan: 'features:m=16' }));
    const got = await map(pipe);
    expectMutantFails(() => close(got, want, 1e-2));
    await pipe.dispose();
  });
});

test('the original through performers() is what transformers.js computes by itself', async () => {
  const plain = await loadSaliency({});
  const carried = await loadSaliency(performers({ original: true }));
  expect(await map(carried)).toEqual(await map(plain));
  await Promise.all([plain.dispose(), carried.dispose()]);
});

test('two models of one process keep apart', async () => {
  const before = await loadSaliency({});
  const want = await map(before);
  const [exact, features, after] = await Promise.all([
    loadSaliency(performers({ plan: 'exact-blocked' })),
    loadSaliency(performers({ plan: 'features:m=16' })),
    loadSaliency({}),
  ]);
  expect(await map(before)).toEqual(want);
  expect(await map(after)).toEqual(want);
  close(await map(exact), want, 1e-5);
  expect(await map(features)).not.toEqual(want);
  expect(() => performers.report(after)).toThrow(PerformersError);
  await Promise.all([before, exact, features, after].map((pipe) => pipe.dispose()));
});

test('inferences of a wasm model may overlap', async () => {
  const pipe = await loadSaliency(performers({ device: 'wasm', plan: 'exact-blocked' }));
  const [first, second] = await Promise.all([map(pipe), map(pipe)]);
  expect(second).toEqual(first);
  await pipe.dispose();
});

describe('feature-extraction', () => {
  const sentences = [
    'Short.',
    'A sentence that is quite a bit longer than the other one, so that it has to be padded.',
  ];

  test.skipIf(noModels).each(['cpu', 'wasm'] as const)('a padded batch on %s', async (device) => {
    const path = modelFile('all-MiniLM-L6-v2');
    const original = performers({ device, original: true });
    const embed = async (options: object) => {
      const pipe = await pipeline('feature-extraction', path, { dtype: 'fp32', ...options });
      const batch = await pipe(sentences, { pooling: 'mean', normalize: true });
      if (options !== original) expect(performers.report(pipe).model.sites).toHaveLength(6);
      await pipe.dispose();
      return Float32Array.from(batch.data);
    };
    const want = await embed(original);
    const got = await embed(performers({ device, plan: 'exact-blocked:block=8' }));
    close(got, want, 1e-5);
    expectMutantFails(() =>
      close(
        got.map((value) => value * 1.01),
        want,
        1e-5,
      ),
    );
  });
});

describe('external weights', () => {
  const graph = 'bert.dynamo18-sdpa.external';
  const { inputs, outputs } = JSON.parse(readFileSync(graphFile(`${graph}.io.json`), 'utf8'));

  function writeModel(name: string, files: readonly string[]): string {
    const folder = join(scratch, name);
    mkdirSync(join(folder, 'onnx'), { recursive: true });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type: 'bert' }));
    copyFileSync(graphFile(`${graph}.onnx`), join(folder, 'onnx/model.onnx'));
    for (const file of files) copyFileSync(graphFile(`${file}`), join(folder, 'onnx', file));
    return folder;
  }

  test.each(['cpu', 'wasm'] as const)('beside the model are found on %s', async (device) => {
    const folder = writeModel(device, [`${graph}.onnx_data`]);
    const options = performers({ device, plan: 'exact-blocked' });
    const model = await AutoModel.from_pretrained(folder, { dtype: 'fp32', ...options });
    const feeds = Object.entries<{ type: 'int64'; dims: number[]; data: number[] }>(inputs).map(
      ([name, { type, dims, data }]) => [name, new Tensor(type, BigInt64Array.from(data, BigInt), dims)] as const,
    );
    const { last_hidden_state } = await model(Object.fromEntries(feeds));
    close(last_hidden_state.data, outputs.last_hidden_state.data, 1e-5);
    await model.dispose();
  });

  test.each(['cpu', 'wasm'] as const)('that are missing are named on %s', async (device) => {
    const folder = writeModel(`${device}-without`, []);
    const load = AutoModel.from_pretrained(folder, { dtype: 'fp32', ...performers({ device, plan: 'exact-blocked' }) });
    const message = await load.then(String, (error: Error) => error.message.replaceAll(folder, '…'));
    expect(message).toMatchInlineSnapshot(`
      "PF104  external weights are missing: bert.dynamo18-sdpa.external.onnx_data
        at   …/onnx/model.onnx
        mend put them into the folder of the model, under the names that the model gives them"
    `);
  });
});

describe('the cache of transformers.js', () => {
  let server: Server;
  const cacheDir = join(scratch, 'cache');
  const before = { ...env };

  beforeAll(async () => {
    // Stands for the hub: /<model>/resolve/main/<file>.
    server = createServer((request, response) => {
      const file = /\/resolve\/main\/(.+)$/.exec(request.url ?? '')?.[1] ?? '';
      try {
        const content = readFileSync(join(saliency, file));
        response.writeHead(200, { 'content-length': content.byteLength }).end(content);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    Object.assign(env, {
      allowRemoteModels: true,
      allowLocalModels: false,
      remoteHost: `http://127.0.0.1:${port}/`,
      cacheDir,
      useFSCache: true,
    });
  });

  afterAll(() => {
    Object.assign(env, before);
    server.close();
  });

  test('holds the original, byte for byte', async () => {
    const pipe = await pipeline('depth-estimation', 'owner/saliency', {
      dtype: 'fp32',
      ...performers({ plan: 'exact-blocked' }),
    });
    expect(performers.report(pipe).model.sites).toHaveLength(12);
    const cached = readFileSync(join(cacheDir, 'owner/saliency/onnx/model.onnx'));
    expect(cached.equals(readFileSync(join(saliency, 'onnx/model.onnx')))).toBe(true);
    await pipe.dispose();
  });
});

describe('errors', () => {
  const codeOf = (error: unknown) => (error instanceof PerformersError ? error.code : error);
  const messageOf = (error: unknown) => (error instanceof PerformersError ? error.message : error);

  test('an unknown plan', () => {
    // Which plans there are, test/linearize.test.ts holds.
    expect(() => performers({ plan: 'exact-bloked' })).toThrow(
      /^PF201 {2}unknown plan 'exact-bloked'; did you mean 'exact-blocked'\?\n\s+at\s+plan\n\s+mend use one of exact, /,
    );
  });

  test('an unknown device', () => {
    // @ts-expect-error not a device
    expect(() => performers({ device: 'webgp' })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  unknown device 'webgp'; did you mean 'webgpu'?
        at   device
        mend use one of cpu, wasm, webgpu, cuda, dml, coreml, webnn, webnn-cpu, webnn-gpu, webnn-npu]
    `);
  });

  test('something that is no onnxruntime', () => {
    // @ts-expect-error not a module of onnxruntime
    expect(() => performers({ ort: {} })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF301  this is no onnxruntime module: it has no InferenceSession and Tensor
        at   ort
        mend pass the module itself: import * as ort from 'onnxruntime-web']
    `);
  });

  test('a model that is not there: the error of transformers.js, untouched', async () => {
    const load = pipeline('depth-estimation', 'no-such-model', { dtype: 'fp32', ...performers() });
    await expect(load).rejects.not.toBeInstanceOf(PerformersError);
    await expect(load).rejects.toThrow(/no-such-model/);
  });

  test('a file that is no model', async () => {
    const folder = join(scratch, 'not-onnx');
    mkdirSync(join(folder, 'onnx'), { recursive: true });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type: 'bert' }));
    writeFileSync(join(folder, 'onnx/model.onnx'), 'version https://git-lfs.github.com/spec/v1\n');
    const load = AutoModel.from_pretrained(folder, { dtype: 'fp32', ...performers() });
    expect(await load.catch(codeOf)).toBe('PF101');
  });

  test('another copy of onnxruntime than that of transformers.js', async () => {
    const error = await loadSaliency(performers({ ort: ortWeb })).catch((error: unknown) => error);
    expect(messageOf(performers.explain(error))).toMatchInlineSnapshot(`
      "PF301  transformers.js uses another copy of onnxruntime than the one performers() found
        at   performers()
        mend pass its copy, performers({ ort }); for a transformers.js with one inside, from a CDN, there is 'performers.js/transformers/global'"
    `);
    const other = new Error('something else');
    expect(performers.explain(other)).toBe(other);
  });

  test('a model that fails to run', async () => {
    const model: PreTrainedModel = await AutoModel.from_pretrained('vit-s14-saliency', {
      dtype: 'fp32',
      ...performers({ plan: 'exact-blocked', sessionOptions: { logSeverityLevel: 4 } }),
    });
    const pixels = new Tensor('float32', new Float32Array(4 * 14 * 14), [1, 4, 14, 14]);
    const error = await model({ pixel_values: pixels }).catch((error: unknown) => error);
    expect(codeOf(error)).toBe('PF302');
    expect(error).toHaveProperty('cause');
    await model.dispose();
  });

  test('a report of a pipeline that has none', async () => {
    const [plain, original] = await Promise.all([loadSaliency({}), loadSaliency(performers({ original: true }))]);
    expect(() => performers.report(plain)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF303  the pipeline carries no report: performers() did not load its model
        mend spread { ...performers() } last into its options: a \`session_options\` after it replaces it]
    `);
    expect(() => performers.report(original)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF303  the pipeline carries no report: it was loaded with \`original: true\`
        mend leave \`original\` out to linearize the model]
    `);
    await Promise.all([plain.dispose(), original.dispose()]);
  });

  test('a second number of wasm threads', async () => {
    const load = (numThreads: number) => loadSaliency(performers({ device: 'wasm', numThreads, original: true }));
    await (await load(1)).dispose();
    expect(await load(2).catch(messageOf)).toMatchInlineSnapshot(`
      "PF202  onnxruntime-web runs with 1 threads already, not 2
        at   numThreads
        mend use one number in a process"
    `);
  });
});
