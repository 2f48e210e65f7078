/** Passages that begin at other positions: rotary embeddings make them the same to the model, not to the constants of calibration. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { Feeds } from '../../src/session.js';
import { scratchFolder } from '../cli/performers.js';
import { close, expectMutantFails } from '../close.js';

const shipped = 'models/performer-stories';
const folder = scratchFolder();
mkdirSync(join(folder, 'onnx'));
for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
  cpSync(join(shipped, name), join(folder, name));
const report = JSON.parse(readFileSync(join(shipped, 'onnx/model.performers.json'), 'utf8'));
const bytes = restore(new Uint8Array(readFileSync(join(shipped, 'onnx/model.onnx'))), report);
const path = join(folder, 'onnx/model.onnx');
writeFileSync(path, bytes);
const text = join(folder, 'text.txt');
writeFileSync(text, 'One day a dog and a cat went to the sea. '.repeat(60));

const model = openModel(decode(bytes));
const session = await sessionFactory(ort)(bytes);
const logits = async (feeds: Feeds) => (await session.run(feeds)).logits.data as Float32Array;
const read = async (positions?: number) =>
  (await readCalibrationData(model, path, [text], { length: 64, inputs: 3, positions })).feeds;
const positionsOf = ({ position_ids }: Feeds) => Array.from(position_ids.data, Number);

it('are spread over the positions asked for, the last one ending at the last', async () => {
  const ends = (await read(1000)).map((feeds) => [positionsOf(feeds)[0], positionsOf(feeds).at(-1)]);
  expect(ends).toEqual([
    [0, 63],
    [468, 531],
    [936, 999],
  ]);
  expect((await read()).map((feeds) => positionsOf(feeds)[0])).toEqual([0, 0, 0]);
  // No more positions than a passage has.
  expect((await read(10)).map((feeds) => positionsOf(feeds)[0])).toEqual([0, 0, 0]);
});

it('give the logits that they give at the first', async () => {
  const [placed, first] = [(await read(1000))[2], (await read())[2]];
  const want = await logits(first);
  close(await logits(placed), want, 1e-4);
  const { data, ...ids } = placed.position_ids;
  const strided = { ...placed, position_ids: { ...ids, data: (data as BigInt64Array).map((at) => 2n * at) } };
  const mutant = await logits(strided);
  expectMutantFails(() => close(mutant, want, 1e-4));
});
