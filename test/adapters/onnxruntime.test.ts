/** sessionFactory() and createSession() with the native onnxruntime and that of the web. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ortNode from 'onnxruntime-node';
import * as ortWeb from 'onnxruntime-web';
import { afterAll, describe, expect, test } from 'vitest';
import { createSession, sessionFactory } from '../../src/adapters/onnxruntime.js';
import type { Feeds } from '../../src/session.js';
import { close, expectMutantFails } from '../close.js';
import { graphFile } from '../shared.js';

const graph = 'bert.dynamo18-sdpa.external';
const path = graphFile(`${graph}.onnx`);
const bytes = new Uint8Array(readFileSync(path));
const weights = new Uint8Array(readFileSync(`${path}_data`));
const externalData = [{ path: `${graph}.onnx_data`, data: weights }];
const io = JSON.parse(readFileSync(graphFile(`${graph}.io.json`), 'utf8'));
const want: number[] = io.outputs.last_hidden_state.data;
const feeds: Feeds = Object.fromEntries(
  Object.entries<{ type: string; dims: number[]; data: number[] }>(io.inputs).map(([name, { type, dims, data }]) => [
    name,
    { type, dims, data: BigInt64Array.from(data, BigInt) },
  ]),
);
const quiet = { logSeverityLevel: 4 } as const;
const scratch = mkdtempSync(join(tmpdir(), 'performers-onnxruntime-'));

ortWeb.env.wasm.numThreads = 1;

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const runtimes = [
  { name: 'onnxruntime-node', ort: ortNode },
  { name: 'onnxruntime-web', ort: ortWeb },
];

describe.each(runtimes)('$name', ({ ort }) => {
  test('a factory makes sessions that take and give plain tensors', async () => {
    const session = await sessionFactory(ort, { externalData })(bytes);
    expect(session.inputNames).toEqual(Object.keys(feeds));
    const { last_hidden_state } = await session.run(feeds);
    expect(last_hidden_state.dims).toEqual(io.outputs.last_hidden_state.dims);
    const got = Float32Array.from(last_hidden_state.data, Number);
    close(got, want, 1e-5);
    expectMutantFails(() =>
      close(
        got.map((value) => value * 1.01),
        want,
        1e-5,
      ),
    );
    await session.release();
  });

  test.each([
    { from: 'a path, weights beside it', model: path, sessionOptions: {} },
    { from: 'bytes, weights as externalData', model: bytes, sessionOptions: { externalData } },
  ])('opens a linearized model from $from', async ({ model, sessionOptions }) => {
    const { session, report } = await createSession(ort, model, { plan: 'exact-blocked:block=5', sessionOptions });
    expect(report.file).toBe(model === path ? `${graph}.onnx` : 'model');
    expect(report.sites.map(({ plans }) => plans[0]?.plan)).toEqual(['exact-blocked:block=5', 'exact-blocked:block=5']);
    const inputs = Object.entries(feeds).map(([name, { dims, data }]) => {
      return [name, new ort.Tensor('int64', BigInt64Array.from(data, BigInt), dims)] as const;
    });
    const { last_hidden_state } = await session.run(Object.fromEntries(inputs));
    close(Float32Array.from(last_hidden_state.data, Number), want, 1e-5);
    await session.release();
  });

  test('auto measures with the same runtime', async () => {
    const { report, session } = await createSession(ort, path, { sample: feeds, maxError: 0.05 });
    expect(report.measured?.map(({ name }) => name)).toEqual(['last_hidden_state']);
    expect(report.measured?.[0]?.relRMS).toBeLessThanOrEqual(0.05);
    await session.release();
  });

  test('weights that are missing beside a path are named', async () => {
    const alone = join(scratch, 'model.onnx');
    copyFileSync(path, alone);
    await expect(createSession(ort, alone, { sessionOptions: quiet })).rejects.toMatchObject({
      code: 'PF104',
      at: alone,
      message: expect.stringContaining(`external weights are missing: ${graph}.onnx_data`),
    });
  });

  test('a session that cannot be opened', async () => {
    const error = await sessionFactory(ort, quiet)(bytes).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'PF301', cause: expect.any(Error) });
    expect(error).toHaveProperty('message', expect.stringMatching(/^PF301 {2}onnxruntime could not open the model: ./));
  });

  test('a run that fails', async () => {
    const session = await sessionFactory(ort, { ...quiet, externalData })(bytes);
    const ids = { type: 'int64', dims: [1, 2], data: BigInt64Array.of(1n, 1_000_000n) };
    const run = session.run({ ...feeds, input_ids: ids });
    await expect(run).rejects.toMatchObject({ code: 'PF302', cause: expect.any(Error) });
    await expect(session.run({ ...feeds, input_ids: { ...ids, type: 'int65' } })).rejects.toMatchObject({
      code: 'PF302',
    });
    await session.release();
  });
});

test('a path that is not there', async () => {
  await expect(createSession(ortNode, 'no/such/model.onnx')).rejects.toMatchObject({
    code: 'PF107',
    at: 'no/such/model.onnx',
  });
});

test('something that is no onnxruntime', () => {
  // @ts-expect-error not a module of onnxruntime
  expect(() => sessionFactory({})).toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF301  this is no onnxruntime module: it has no InferenceSession and Tensor
      at   ort
      mend pass the module itself: import * as ort from 'onnxruntime-web']
  `);
});
