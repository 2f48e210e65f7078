/** The data that ships: of each kind, small, and with its source. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultData } from '../../src/node/default-data.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { attentionModel } from '../attention-model.js';
import { graphFile } from '../shared.js';

const open = (path: string) => openModel(decode(new Uint8Array(readFileSync(path))));
const folder = 'assets/default-data';

test.each([
  ['text', graphFile('bert.optimum-eager.onnx')],
  ['images', graphFile('vit.optimum-eager.onnx')],
  ['audio', graphFile('whisper-encoder.optimum-eager.onnx')],
])('%s for a model that takes it', (kind, path) => {
  expect(basename(defaultData(open(path)))).toBe(kind);
});

test('none for a model that takes something else', () => {
  const model = openModel(decode(attentionModel({ heads: 2, headDim: 4, self: true })));
  expect(() => defaultData(model)).toThrow(/PF501.*no built-in data/);
});

test.each([
  ['text', 200_000, 2],
  ['images', 1_000_000, 12],
  ['audio', 1_000_000, 3],
])('%s: at most %d bytes in at least %d files, whose sources are said', (kind, most, least) => {
  const names = readdirSync(join(folder, kind));
  expect(names.length).toBeGreaterThanOrEqual(least);
  expect(names.reduce((sum, name) => sum + statSync(join(folder, kind, name)).size, 0)).toBeLessThanOrEqual(most);
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  expect(readme).toMatch(new RegExp(`^\\| ${kind} \\|.*\\| (?:public domain|CC0 1\\.0) \\|$`, 'm'));
});
