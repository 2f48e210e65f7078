/** A saved result is read back, and what is none is refused with the first fault, before anything is drawn of it. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readResult } from '../../src/bench/read-result.js';

const folder = new URL('../../bench/results/', import.meta.url);
const files = readdirSync(folder).filter((name) => /^bench-.*\.json$/.test(name));
const text = readFileSync(new URL(files[0], folder), 'utf8');
const changed = (change: (result: ReturnType<typeof JSON.parse>) => void) => {
  const result = JSON.parse(text);
  change(result);
  return JSON.stringify(result);
};

test.each(files)('%s is read as it was written', (name) => {
  const own = readFileSync(new URL(name, folder), 'utf8');
  expect(readResult(own, name)).toEqual(JSON.parse(own));
});

test.each<[string, string]>([
  ['no JSON', 'the file is no object'],
  ['[]', 'schema is not performers.bench/1'],
  [changed((result) => (result.schema = 'performers.bench/2')), 'schema is not performers.bench/1'],
  [changed((result) => (result.methods = 'all')), 'methods is no list'],
  [changed((result) => (result.cells[2].n = '128')), 'cells[2].n is no number'],
  [changed((result) => (result.cells[1].status = 'fine')), 'cells[1].status is not ok or failed or limit'],
  [changed((result) => delete result.cells[0].ms), 'cells[0] has no ms or no error'],
  [changed((result) => delete result.backends[0].what), 'backends[0].what is no string'],
])('refused: %.12s…, %s', (given, why) => {
  expect(() => readResult(given, 'shared.json')).toThrow(
    expect.objectContaining({
      code: 'PF107',
      message: expect.stringContaining(`shared.json is no result of a bench: ${why}`),
    }),
  );
});

test('the whole message', () => {
  expect(() => readResult('{}', 'shared.json')).toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF107  shared.json is no result of a bench: schema is not performers.bench/1
      at   shared.json
      mend choose a file that performers bench --json printed or the bench page saved]
  `);
});
