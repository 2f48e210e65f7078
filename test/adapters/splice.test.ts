/** Sessions that run kernels between the segments of a graph, against the same plan in the graph; and their trouble. In Node and in Chromium. */
import { describe, expect, it } from 'vitest';
import { deviceInUse } from '../../src/adapters/gpu-device.js';
import { measuredLayer } from '../../src/adapters/measured-layer.js';
import { type CreateSessionOptions, createSession, measureSplice } from '../../src/adapters/onnxruntime.js';
import { gaussians } from '../../src/features/rng.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { attentionModel, type Form } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { hasF16, noDevice } from '../kernels/device.js';
import { drawnPlan } from './drawn-plan.js';
import { inNode, ort, readFile } from './ort-webgpu.js';

const bound = 1e-5;
const quiet = { logSeverityLevel: 3 } as const;
const onGpu = { ...quiet, executionProviders: ['webgpu'] };
const onWasm = { ...quiet, executionProviders: ['wasm'] };

type Tensors = Record<string, InstanceType<typeof ort.Tensor>>;

function normal(dims: number[], seed: number) {
  const next = gaussians(seed);
  const size = dims.reduce((a, b) => a * b, 1);
  return new ort.Tensor('float32', Float32Array.from({ length: size }, next), dims);
}

/** q, k, v [2,H,N,D], and a mask that hides the last five keys of the second row. */
function attentionFeeds({ heads, headDim, mask }: Form, N: number): Tensors {
  const dims = [2, heads, N, headDim];
  const seen = BigInt64Array.from({ length: 2 * N }, (_, at) => (at >= 2 * N - 5 ? 0n : 1n));
  const tensors = { q: normal(dims, 1), k: normal(dims, 2), v: normal(dims, 3) };
  return { ...tensors, ...(mask && { mask: new ort.Tensor('int64', seen, [2, N]) }) };
}

/** First output, and what the report says of each site. */
async function runWith(model: Uint8Array, feeds: Tensors, options: CreateSessionOptions) {
  const { session, report } = await createSession(ort, model, options);
  try {
    const outputs = await session.run(feeds);
    const data = Float32Array.from((await outputs[session.outputNames[0]].getData()) as Float32Array);
    return { data, placements: report.sites.map(({ placement }) => placement?.as) };
  } finally {
    await session.release();
  }
}

const form: Form = { heads: 2, headDim: 8, self: true, scale: 'query', mask: 'add' };

describe.skipIf(noDevice)('spliced', () => {
  const model = attentionModel(form);
  const hybrid = 'hybrid:window=32,globals=4,sinks=1,codes=3';
  const sizes = { query: 8, 'keys3.weights': 24, 'keys3.offsets': 3, gain: 1, bias: 8 };
  const plans: Record<string, CreateSessionOptions> = {
    exact: { plan: 'exact' },
    'features:m=16': { plan: 'features:m=16' },
    window: { plan: 'window:window=32,globals=3' },
    'window, a list of globals': { plan: { name: 'window', window: 32, globals: [50, 3, 1000] } },
    hybrid: { saved: drawnPlan(model, hybrid, sizes) },
    'hybrid, exact on short inputs': { saved: drawnPlan(model, hybrid, sizes, 200) },
    'exact and features by head': { plan: 'exact', rules: [{ layers: 0, heads: [1], plan: 'features:m=16' }] },
  };

  it.each(Object.entries(plans))('%s: the attention of the graph', async (_name, plan) => {
    const feeds = attentionFeeds(form, 70);
    const want = await runWith(model, feeds, { ...plan, sessionOptions: onWasm });
    const got = await runWith(model, feeds, { ...plan, splice: true, sessionOptions: onGpu });
    expect(got.placements).toEqual(['splice']);
    expect(want.placements).toEqual([undefined]);
    close(got.data, want.data, bound);
    const mutant = {
      ...feeds,
      q: new ort.Tensor(
        'float32',
        (feeds.q.data as Float32Array).map((x) => 1.01 * x),
        feeds.q.dims,
      ),
    };
    const wrong = await runWith(model, mutant, { ...plan, sessionOptions: onWasm });
    expectMutantFails(() => close(got.data, wrong.data, bound));
  });

  it('the shipped ViT, at 98 × 98 px: the map of the graph, nothing read back on the way', async () => {
    const bytes = await readFile('models/vit-s14-saliency/onnx/model.onnx');
    const [{ name = '' }] = (await createSession(ort, bytes, { sessionOptions: onWasm })).session.inputMetadata;
    const feeds = { [name]: normal([1, 3, 98, 98], 4) };
    const want = await runWith(bytes, feeds, { plan: 'exact', sessionOptions: onWasm });
    const got = await runWith(bytes, feeds, { plan: 'exact', splice: true, sessionOptions: onGpu });
    expect(got.placements).toEqual(new Array(12).fill('splice'));
    close(got.data, want.data, bound);
  }, 600_000);

  // By the plan that ships, 100 patches: two layers are beyond where they are exact.
  it('the shipped ViT, its hybrid at 140 × 140 px: the map of the graph', async () => {
    const bytes = await readFile('models/vit-s14-saliency/onnx/model.onnx');
    const saved = JSON.parse(new TextDecoder().decode(await readFile('models/vit-s14-saliency/hybrid.plan.json')));
    const feeds = { pixel_values: normal([1, 3, 140, 140], 4) };
    const want = await runWith(bytes, feeds, { saved, sessionOptions: onWasm });
    const got = await runWith(bytes, feeds, { saved, splice: true, sessionOptions: onGpu });
    expect(got.placements).toEqual(new Array(12).fill('splice'));
    close(got.data, want.data, bound);
    const exact = await runWith(bytes, feeds, { plan: 'exact', sessionOptions: onWasm });
    expectMutantFails(() => close(got.data, exact.data, bound));
  }, 600_000);

  it('keeps no buffer of a run', async () => {
    const { session } = await createSession(ort, model, { plan: 'features:m=16', splice: true, sessionOptions: onGpu });
    const feeds = attentionFeeds(form, 20);
    await session.run(feeds);
    const device = deviceInUse(ort);
    if (!device) throw new Error('a session is open, so there is a device');
    const buffers = countBuffers(device);
    // A run takes a browser longer, and shows nothing else.
    for (let i = 0; i < (inNode ? 1000 : 100); i++) await session.run(feeds);
    const { created, destroyed } = buffers.stop();
    // Uniforms, and what the runtime reads its output back with, are made and destroyed in each run.
    expect(created - destroyed).toBeLessThanOrEqual(2);
    await session.release();
  }, 600_000);
});

function countBuffers(device: GPUDevice) {
  const { createBuffer } = device;
  let created = 0;
  let destroyed = 0;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    const { destroy } = buffer;
    created++;
    buffer.destroy = () => {
      destroyed++;
      return destroy.call(buffer);
    };
    return buffer;
  };
  return {
    stop() {
      device.createBuffer = createBuffer;
      return { created, destroyed };
    },
  };
}

describe.skipIf(noDevice)('the planner', () => {
  it('takes what measureSplice() measured on this device, and says so', async () => {
    const sizes = { heads: 2, headDim: 8, tokens: [16], runs: 1 };
    const table = await measureSplice(ort, { ...sizes, plans: ['exact'] });
    expect(table.rows).toEqual([
      { plan: 'exact', heads: 2, headDim: 8, tokens: 16, inGraph: expect.any(Number), spliced: expect.any(Number) },
    ]);
    const options = { plan: 'exact', splice: 'auto', spliceTable: table, sessionOptions: onGpu } as const;
    const { session, report } = await createSession(ort, attentionModel(form), { ...options, tokens: 16 });
    const [{ inGraph, spliced }] = table.rows;
    expect(report.sites[0].placement).toEqual({
      as: spliced < inGraph ? 'splice' : 'in-graph',
      why: expect.stringMatching(/^measured on .* at 16 tokens, 2 × 8: /),
    });
    await session.release();
  });
});

describe.skipIf(noDevice)('measureSplice()', () => {
  const sizes = { heads: 2, headDim: 8, runs: 1 };

  it('times every kind of plan that can be spliced, those of images on patches', async () => {
    const failures: unknown[] = [];
    const onRow = (row: object) => 'failed' in row && failures.push(row.failed);
    const { rows } = await measureSplice(ort, { ...sizes, tokens: [160], onRow });
    expect(failures).toEqual([]);
    expect(rows.map(({ plan, tokens }) => [plan, tokens])).toEqual([
      ['exact', 160],
      ['features', 160],
      ['window', 160],
      ['hybrid', 160],
      ['hybrid-2d', 156],
    ]);
  });

  it.each(['hybrid:window=64,globals=32,codes=32', 'hybrid-2d:tile=4,halo=2,globals=32,codes=32'])(
    'times the same sums in both forms, one of them a kernel: %s',
    async (plan) => {
      const { bytes, saved, inputs } = measuredLayer(readPlan(plan), sizes);
      const { shapes } = inputs(160);
      const feeds = Object.fromEntries(Object.entries(shapes).map(([name, dims], i) => [name, normal(dims, i)]));
      const run = (splice: boolean) => runWith(bytes, feeds, { saved, splice, sessionOptions: onGpu });
      const [inGraph, spliced] = [await run(false), await run(true)];
      expect([inGraph.placements, spliced.placements]).toEqual([[undefined], ['splice']]);
      // The mean of some thousand numbers around 0.
      close(spliced.data, inGraph.data, 1e-3);
      expectMutantFails(() =>
        close(
          spliced.data,
          inGraph.data.map((x) => 1.01 * x),
          1e-3,
        ),
      );
    },
  );

  it('refuses a plan that none of its layers takes', async () => {
    await expect(measureSplice(ort, { ...sizes, plans: ['hybrid-causal'] })).rejects.toThrow(
      'PF202  measureSplice() has no layer that takes the plan hybrid-causal',
    );
  });
});

describe.skipIf(noDevice)('trouble with the device', () => {
  const model = attentionModel(form);

  it.each([true, false])(
    'lost in the middle of a run (spliced: %s): an error that says so, and the next session works',
    async (splice) => {
      const options = { plan: 'exact', splice, sessionOptions: onGpu };
      const feeds = attentionFeeds(form, 40);
      const want = await runWith(model, feeds, { plan: 'exact', sessionOptions: onWasm });
      const { session } = await createSession(ort, model, options);
      await session.run(feeds);
      const run = session.run(feeds);
      deviceInUse(ort)?.destroy();
      await expect(run).rejects.toMatchObject({
        code: 'PF704',
        mend: expect.stringMatching(/^create the session again/),
      });
      await expect(session.run(feeds)).rejects.toMatchObject({ code: 'PF704' });
      close((await runWith(model, feeds, options)).data, want.data, bound);
    },
  );

  it('without room for the result: an error that says what to do, and the session works on', async () => {
    const wide: Form = { heads: 2, headDim: 4, valueDim: 256 };
    const { session } = await createSession(ort, attentionModel(wide), {
      plan: 'exact',
      splice: true,
      sessionOptions: onGpu,
    });
    const N = 1_200_000;
    const feeds = (queries: number): Tensors => ({
      q: new ort.Tensor('float32', new Float32Array(2 * queries * 4), [1, 2, queries, 4]),
      k: normal([1, 2, 3, 4], 1),
      v: normal([1, 2, 3, 256], 2),
    });
    await expect(session.run(feeds(N))).rejects.toMatchObject({
      code: 'PF703',
      mend: expect.stringMatching('shorter input'),
    });
    const outputs = await session.run(feeds(4));
    expect(outputs[session.outputNames[0]].dims).toEqual([1, 2, 4, 256]);
    await session.release();
  });

  it.skipIf(hasF16)(
    'without shader-f16: an error, or wasm where the caller allows it, and the report says so',
    async () => {
      const bytes = await readFile('test/graphs/bert.optimum-eager.fp16.onnx');
      const options = { plan: 'exact', sessionOptions: onGpu };
      await expect(createSession(ort, bytes, options)).rejects.toMatchObject({ code: 'PF702' });
      const { session, report } = await createSession(ort, bytes, { ...options, splice: true, fallback: 'wasm' });
      expect(report.fallback).toMatchObject({ to: 'wasm', why: { code: 'PF702' } });
      expect(report.sites.map(({ placement }) => placement)).toEqual([undefined, undefined]);
      await session.release();
    },
  );

  it('splice where there is no WebGPU to splice on is refused', async () => {
    const options = { plan: 'exact', splice: true, sessionOptions: onWasm };
    await expect(createSession(ort, model, options)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  splice runs kernels on WebGPU, and the session is not on that of onnxruntime-web
        at   executionProviders ["wasm"]
        mend use onnxruntime-web/webgpu with executionProviders: ['webgpu'], or leave splice out]
    `);
  });
});
