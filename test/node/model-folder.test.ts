import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findWeights, openPath } from '../../src/node/model-folder.js';
import { scratchFolder } from '../cli/performers.js';
import { graphFile } from '../shared.js';

const scratch = scratchFolder();
const weightsName = 'bert.dynamo18-sdpa.external.onnx_data';
const external = graphFile('bert.dynamo18-sdpa.external.onnx');
const bytes = new Uint8Array(readFileSync(external));
let made = 0;

function folder(): string {
  const path = join(scratch, String(made++));
  mkdirSync(path);
  return path;
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing was thrown',
    (error: Error) => error.message.replaceAll(scratch, '…'),
  );
}

/** The model with its weights under another name of the same length, as an attacker would write it. */
function pointingTo(location: string): Uint8Array {
  const patched = bytes.slice();
  const [from, to] = [weightsName, location].map((text) => new TextEncoder().encode(text));
  expect(to.length).toBe(from.length);
  for (let at = 0; at + from.length <= patched.length; at++) {
    if (from.every((byte, i) => patched[at + i] === byte)) patched.set(to, at);
  }
  return patched;
}

test('a file, a folder of transformers.js, a folder of models', async () => {
  const file = await openPath(external);
  expect(file).toMatchObject({ kind: 'file', models: ['bert.dynamo18-sdpa.external.onnx'], others: [] });
  const model = await openPath('models/vit-s14-saliency');
  expect(model).toMatchObject({ kind: 'folder', models: ['onnx/model.onnx'] });
  expect(model.others).toContain('preprocessor_config.json');
  expect((await openPath(graphFile('.'))).models.length).toBeGreaterThan(40);
});

test('PF106: a folder without a model', async () => {
  const home = folder();
  writeFileSync(join(home, 'config.json'), '{}');
  expect(await messageOf(openPath(home))).toMatchInlineSnapshot(`
    "PF106  no model in this folder: no file in it ends in .onnx
      at   …/0
      mend pass an .onnx file, or a model folder as transformers.js has it: config.json and onnx/model.onnx"
  `);
});

test('PF107: nothing there', async () => {
  expect(await messageOf(openPath(join(scratch, 'nowhere.onnx')))).toMatchInlineSnapshot(`
    "PF107  a file could not be read: ENOENT: no such file or directory, stat '…/nowhere.onnx'
      at   …/nowhere.onnx
      mend check the path and its permissions"
  `);
});

test('a folder that holds itself through a link is listed once', async () => {
  const home = folder();
  copyFileSync(external, join(home, 'model.onnx'));
  symlinkSync(home, join(home, 'again'));
  expect((await openPath(home)).models).toEqual(['model.onnx']);
});

test('weights beside the model are found', async () => {
  expect(await findWeights(bytes, external)).toEqual([{ location: weightsName, path: graphFile(`${weightsName}`) }]);
});

test('PF104: weights that are missing, with a tensor that needs them', async () => {
  const home = folder();
  copyFileSync(external, join(home, 'model.onnx'));
  expect(await messageOf(findWeights(bytes, join(home, 'model.onnx')))).toMatchInlineSnapshot(`
    "PF104  external weights are missing: bert.dynamo18-sdpa.external.onnx_data (tensor model.embeddings.word_embeddings.weight)
      at   …/2/model.onnx
      mend put them beside the model, under the names that the model gives them"
  `);
});

test.each([
  ['an absolute path', `/${'a'.repeat(weightsName.length - 1)}`],
  ['a path that leaves the folder', `../${'a'.repeat(weightsName.length - 3)}`],
])('PF105: %s', async (_, location) => {
  const home = folder();
  writeFileSync(join(home, 'model.onnx'), 'x');
  const message = await messageOf(findWeights(pointingTo(location), join(home, 'model.onnx')));
  expect(message).toContain('PF105  external weights lie outside the model folder');
  expect(message).toContain(location);
});

test('PF105: a link that leaves the folder', async () => {
  const [home, elsewhere] = [folder(), folder()];
  copyFileSync(external, join(home, 'model.onnx'));
  writeFileSync(join(elsewhere, 'secret'), 'x');
  symlinkSync(join(elsewhere, 'secret'), join(home, weightsName));
  expect(await messageOf(findWeights(bytes, join(home, 'model.onnx')))).toMatchInlineSnapshot(`
    "PF105  external weights lie outside the model folder: bert.dynamo18-sdpa.external.onnx_data is a link to …/6/secret
      at   …/5/model.onnx
      mend export the model with its weights beside it; files elsewhere are not read"
  `);
});

test('a cache that keeps model and weights as links into one folder of blobs', async () => {
  const [home, blobs] = [folder(), folder()];
  copyFileSync(external, join(blobs, 'aa'));
  copyFileSync(graphFile(`${weightsName}`), join(blobs, 'bb'));
  symlinkSync(join(blobs, 'aa'), join(home, 'model.onnx'));
  symlinkSync(join(blobs, 'bb'), join(home, weightsName));
  expect(await findWeights(bytes, join(home, 'model.onnx'))).toHaveLength(1);
});
