/** Sessions on WebGPU where there is none: plain Node has no navigator.gpu. */
import * as ort from 'onnxruntime-web/webgpu';
import { expect, it } from 'vitest';
import { createSession } from '../../src/adapters/onnxruntime.js';
import { attentionModel } from '../attention-model.js';

const model = attentionModel({ heads: 2, headDim: 8, self: true });
const sessionOptions = { executionProviders: ['webgpu'], logSeverityLevel: 3 } as const;
ort.env.wasm.numThreads = 1;

it('says that there is no WebGPU, and what to do', async () => {
  for (const splice of [true, false]) {
    const opened = createSession(ort, model, { plan: 'exact', splice, sessionOptions });
    await expect(opened).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF701  there is no navigator.gpu
        at   executionProviders
        mend use a browser with WebGPU, over https or localhost, or run on wasm (\`fallback: 'wasm'\` does so by itself)]
    `);
  }
});

it('runs on wasm where the caller allows it, and the report says so', async () => {
  const options = { plan: 'exact', splice: true, fallback: 'wasm', sessionOptions } as const;
  const { session, report } = await createSession(ort, model, options);
  expect(report.fallback).toMatchObject({ to: 'wasm', why: { code: 'PF701' } });
  const ones = new ort.Tensor('float32', new Float32Array(2 * 3 * 8).fill(1), [1, 2, 3, 8]);
  const outputs = await session.run({ q: ones, k: ones, v: ones });
  expect(outputs[session.outputNames[0]].data).toEqual(ones.data);
  await session.release();
});

it('refuses another fallback', async () => {
  // @ts-expect-error no such fallback
  await expect(createSession(ort, model, { fallback: 'cpu', sessionOptions })).rejects.toMatchObject({ code: 'PF202' });
});
