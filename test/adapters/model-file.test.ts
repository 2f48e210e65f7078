/** External weights that lead out of the model's folder are not read, by whichever way. */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { missingWeights } from '../../src/adapters/weight-files.js';
import { scratchFolder } from '../cli/performers.js';
import { graphFile } from '../shared.js';

const scratch = scratchFolder();
const name = 'bert.dynamo18-sdpa.external.onnx';
const bytes = new Uint8Array(readFileSync(graphFile(name)));

function folder(path: string): string {
  const home = join(scratch, path);
  mkdirSync(home);
  copyFileSync(graphFile(name), join(home, 'model.onnx'));
  return home;
}

test('beside the model, missing, and in a cache of links', async () => {
  const home = folder('home');
  expect(await missingWeights(bytes, join(home, 'model.onnx'))).toEqual([`${name}_data`]);
  copyFileSync(graphFile(`${name}_data`), join(home, `${name}_data`));
  expect(await missingWeights(bytes, join(home, 'model.onnx'))).toEqual([]);
  const links = join(scratch, 'links');
  mkdirSync(links);
  for (const file of ['model.onnx', `${name}_data`]) symlinkSync(join(home, file), join(links, file));
  expect(await missingWeights(bytes, join(links, 'model.onnx'))).toEqual([]);
});

test('PF105: a link that leaves the folder', async () => {
  const home = folder('lured');
  writeFileSync(join(scratch, 'secret'), 'x');
  symlinkSync(join(scratch, 'secret'), join(home, `${name}_data`));
  await expect(missingWeights(bytes, join(home, 'model.onnx'))).rejects.toThrow(/^PF105 .* is a link to /);
});
