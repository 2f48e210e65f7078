/** A real text model, spliced: a padded batch of MiniLM on onnxruntime-web over Dawn, against the original on onnxruntime-node. */
import { readFileSync } from 'node:fs';
import ortNode from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { createSession } from '../../src/adapters/onnxruntime.js';
import { close, expectMutantFails } from '../close.js';
import { noDevice } from '../kernels/device.js';
import { modelFile, noModels } from '../shared.js';
import { ort } from './ort-webgpu.js';

const dims = [2, 7];
const inputs = {
  input_ids: [101, 3086, 1999, 7399, 2051, 1012, 102, 101, 1996, 4937, 102, 0, 0, 0],
  attention_mask: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
  token_type_ids: new Array<number>(14).fill(0),
};

/** The states of tokens that are not padding: what the others hold, nobody reads. */
function ofTokens(states: Float32Array): Float32Array {
  return states.filter((_, at) => inputs.attention_mask[Math.floor(at / (states.length / 14))] === 1);
}

it.skipIf(noModels || noDevice)(
  'gives its own states',
  async () => {
    const model = new Uint8Array(readFileSync(modelFile('all-MiniLM-L6-v2/onnx/model.onnx')));
    const feeds = Object.entries(inputs).map(([name, data]) => [name, BigInt64Array.from(data, BigInt)] as const);
    const original = await ortNode.InferenceSession.create(model, { logSeverityLevel: 3 });
    const { last_hidden_state: want } = await original.run(
      Object.fromEntries(feeds.map(([name, data]) => [name, new ortNode.Tensor('int64', data, dims)])),
    );
    const sessionOptions = { executionProviders: ['webgpu'], logSeverityLevel: 3 } as const;
    const { session, report } = await createSession(ort, model, { plan: 'exact', splice: true, sessionOptions });
    expect(report.sites.map(({ placement }) => placement?.as)).toEqual(new Array(6).fill('splice'));
    const { last_hidden_state: got } = await session.run(
      Object.fromEntries(feeds.map(([name, data]) => [name, new ort.Tensor('int64', data, dims)])),
    );
    const [states, own] = [want, got].map(({ data }) => ofTokens(data as Float32Array));
    close(own, states, 1e-5);
    expectMutantFails(() =>
      close(
        own.map((x) => 1.01 * x),
        states,
        1e-5,
      ),
    );
    await session.release();
  },
  600_000,
);
