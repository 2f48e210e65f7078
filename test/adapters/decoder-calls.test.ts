/** What is known of a decoder before it is called, and what a graph that was patched ahead refuses by itself. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decoderOptions, readDecoder } from '../../src/adapters/read-decoder.js';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { linearize } from '../../src/linearize.js';
import type { Feeds, Session, TensorLike } from '../../src/session.js';
import { graphFile, modelFile, noModels } from '../shared.js';

const graph = graphFile('llama.optimum-sdpa-past.onnx');
const read = (path: string) => new Uint8Array(readFileSync(path));
const bytes = read(graph);
const wide = 'hybrid-causal:window=32,globals=0,sinks=0,codes=0';

test('memory patterns are off where a state is kept, unless the caller says otherwise', async () => {
  const source = { bytes, file: 'model' };
  const state = await readDecoder(source, (await linearize(bytes, { plan: wide })).bytes);
  expect(decoderOptions({ intraOpNumThreads: 1 }, state)).toEqual({ enableMemPattern: false, intraOpNumThreads: 1 });
  expect(decoderOptions({ enableMemPattern: true }, state)).toEqual({ enableMemPattern: true });
  expect(decoderOptions({}, await readDecoder(source, bytes))).toEqual({});
  const bert = read(graphFile('bert.optimum-eager.onnx'));
  expect(await readDecoder({ bytes: bert, file: 'model' }, bert)).toBeUndefined();
});

test.skipIf(noModels)('what config.json beside a model says is known, where a path is', async () => {
  const path = modelFile('SmolLM2-135M-Instruct/onnx/model_plain_q4.onnx');
  const plain = read(path);
  expect(await readDecoder({ bytes: plain, file: 'model' }, plain)).toMatchObject({ trained: undefined });
  expect(await readDecoder({ bytes: plain, file: 'model', path }, plain)).toMatchObject({
    carriers: [],
    positions: undefined,
    trained: 8192,
  });
});

describe.each([wide, 'features-causal:window=0,m=8'])('patched ahead: %s', (plan) => {
  const int64 = (rows: number, data: number[]): TensorLike => ({
    type: 'int64',
    dims: [rows, data.length / rows],
    data: BigInt64Array.from(data, BigInt),
  });
  const call = async (session: Session, rows: number, past: Feeds, before: number) => {
    const row = (values: number[]) => Array.from({ length: rows }, () => values).flat();
    const all: Feeds = {
      input_ids: int64(rows, row([5, 6, 7])),
      attention_mask: int64(rows, row(Array.from({ length: before + 3 }, () => 1))),
      position_ids: int64(rows, row([before, before + 1, before + 2])),
      ...past,
    };
    const outputs = await session.run(all);
    const present = Object.entries(outputs).filter(([name]) => name !== 'logits');
    return Object.fromEntries(present.map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor]));
  };
  const empty = (rows: number): Feeds =>
    Object.fromEntries(
      [0, 1].flatMap((layer) => [
        [`past_key_values.${layer}.key`, { type: 'float32', dims: [rows, 1, 0, 0], data: new Float32Array() }],
        [`past_key_values.${layer}.value`, { type: 'float32', dims: [rows, 2, 0, 8], data: new Float32Array() }],
      ]),
    );

  test('a state of another number of rows is no answer', async () => {
    const session = await (await nodeSessions('node', graph))((await linearize(bytes, { plan })).bytes);
    const [one, two] = [await call(session, 1, empty(1), 0), await call(session, 2, empty(2), 0)];
    await expect(call(session, 2, one, 3)).rejects.toMatchObject({ code: 'PF302' });
    await expect(call(session, 1, two, 3)).rejects.toMatchObject({ code: 'PF302' });
    expect(Object.keys(await call(session, 2, two, 3))).toHaveLength(4);
    await session.release();
  });
});
