import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { generateInputs } from '../../src/node/inputs.js';
import { measure } from '../../src/node/measure.js';
import { openProcess } from '../../src/node/session-process.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { scratchFolder } from '../cli/performers.js';
import { close } from '../close.js';
import { graphFile } from '../shared.js';

const scratch = scratchFolder();
const bert = graphFile('bert.optimum-eager.onnx');
const external = graphFile('bert.dynamo18-sdpa.external.onnx');
const vit = fileURLToPath(new URL('../../models/vit-s14-saliency/onnx/model.onnx', import.meta.url));

function inputs(path: string, tokens: number) {
  return generateInputs(openModel(decode(new Uint8Array(readFileSync(path)))), { tokens }).feeds;
}

test('both runtimes give time, memory and the same outputs', async () => {
  const runs = [];
  for (const runtime of ['node', 'wasm'] as const) {
    const run = await measure(bert, inputs(bert, 17), { runtime });
    if ('error' in run) throw new Error(run.error.message);
    expect(run.ms).toBeGreaterThan(0);
    expect(run.peakMB).toBeGreaterThan(40);
    runs.push(run);
  }
  const [node, wasm] = runs.map(({ outputs }) => Float32Array.from(outputs.last_hidden_state.data, Number));
  close(wasm, node, 5e-6);
});

test.each(['node', 'wasm'] as const)('external weights beside the file are found on %s', async (runtime) => {
  expect(await measure(external, inputs(external, 5), { runtime, repeats: 1 })).toHaveProperty('ms');
});

test('peak memory is that of the run: not of this process, and larger for more tokens', async () => {
  const ballast = new Uint8Array(900e6).fill(1);
  const [small, large] = [
    await measure(vit, inputs(vit, 64), { runtime: 'node', repeats: 1 }),
    await measure(vit, inputs(vit, 1225), { runtime: 'node', repeats: 1 }),
  ];
  if ('error' in small || 'error' in large) throw new Error('a run failed');
  expect(ballast.byteLength / 1e6).toBeGreaterThan(small.peakMB);
  expect(large.peakMB).toBeGreaterThan(1.1 * small.peakMB);
});

test('a model that does not run is a row with its error', async () => {
  const path = join(scratch, 'broken.onnx');
  writeFileSync(path, 'no model');
  expect(await measure(path, {}, { runtime: 'node' })).toMatchObject({ error: { code: 'PF301' } });
  expect(await measure(bert, inputs(bert, 4000), { runtime: 'node' })).toMatchObject({ error: { code: 'PF302' } });
  expect(await measure(join(scratch, 'missing.onnx'), {}, { runtime: 'node' })).toMatchObject({
    error: { code: 'PF107' },
  });
});

test('a process that dies is an error, and the next one works', async () => {
  const dying = await openProcess({ runtime: 'node', model: vit });
  const run = dying.time(inputs(vit, 2500), 5);
  setTimeout(() => dying.release(), 300);
  await expect(run).rejects.toThrow('PF302  the process that ran the model was ended by SIGKILL');
  await expect(dying.run({})).rejects.toThrow('PF302');
  expect(await measure(bert, inputs(bert, 3), { runtime: 'node', repeats: 1 })).toHaveProperty('ms');
});
