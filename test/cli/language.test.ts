/** `verify` on language models: the one that ships against the softmax form it was made from. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { restore } from '../../src/linearize.js';
import { graphFile } from '../shared.js';
import { performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const shipped = fileURLToPath(new URL('../../models/performer-stories/', import.meta.url));
const root = join(scratch, 'performer-stories');
const original = join(root, 'onnx/model.onnx');
const patched = join(shipped, 'onnx/model.onnx');
const page = join(scratch, 'page.html');
const story = 'Once upon a time, there was a little girl named Lily. She liked to play in the park with her mom. ';
const text = join(scratch, 'stories.txt');

beforeAll(() => {
  mkdirSync(join(root, 'onnx'), { recursive: true });
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(shipped, name), join(root, name));
  const report = JSON.parse(readFileSync(join(shipped, 'onnx/model.performers.json'), 'utf8'));
  writeFileSync(original, restore(new Uint8Array(readFileSync(patched)), report));
  writeFileSync(text, Array.from({ length: 40 }, (_, i) => `${story}Day ${i}. `).join(''));
});

const verify = (...args: string[]) => performers('verify', original, patched, '--data', text, ...args);

describe('--task generation', () => {
  test('JSON and a page: loss by position, text, bytes and time of both', async () => {
    const given = ['--task', 'generation', '--lengths', '48,96', '--inputs', '4', '--generate', '6'];
    const { code, stdout, stderr } = await verify(...given, '--json', '--page', page);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { schema, task, what, figures, generation } = JSON.parse(stdout);
    expect([schema, task, what]).toEqual([
      'performers.task/1',
      'generation',
      '6 passages of 48, 96 tokens, 6 generated after each',
    ]);
    const names = figures.map(({ name }: { name: string }) => name);
    expect(names).toContain('change of the loss from token 0');
    expect(names.at(-1)).toBe('tokens generated alike, of 6');
    const both = { original: expect.any(Number), patched: expect.any(Number) };
    expect(generation.lengths).toMatchObject([
      { length: 48, passages: 4, msPerToken: both, promptTokensPerSecond: both },
      { length: 96, passages: 2, msPerToken: both, promptTokensPerSecond: both },
    ]);
    const [short, long] = generation.lengths.map(({ bytes }: { bytes: unknown }) => bytes);
    expect(long.original).toBe((90 / 42) * short.original);
    expect(long.patched).toBe(short.patched);
    expect(generation.positions).toMatchObject([{ from: 0, to: 95, passages: 6, tokens: 4 * 47 + 2 * 95 }]);
    expect(generation.texts).toHaveLength(6);
    // All of the shorter text, and of the longer one what the bytes of the state hold.
    const { windows, lengths, positions } = generation.baseline;
    expect(windows).toEqual([
      { length: 48, window: 48 },
      { length: 96, window: 62 },
    ]);
    expect(Math.abs(lengths[0].change.value)).toBeLessThan(1e-5);
    expect(Math.abs(lengths[1].change.value)).toBeGreaterThan(1e-5);
    expect(positions).toMatchObject([{ from: 0, to: 95, passages: 6 }]);
    // One key of each head of four layers more would be too many.
    const room = long.patched - lengths[1].bytes.patched;
    expect(room).toBeGreaterThanOrEqual(0);
    expect(room).toBeLessThan(4 * 4 * 4 * (32 + 32 + 3));
    const drawn = readFileSync(page, 'utf8');
    expect(drawn.match(/<svg/g)?.length).toBeGreaterThanOrEqual(4);
    for (const words of [
      'Milliseconds a token',
      'Change of the loss',
      'grey: a bounded cache of as many bytes',
      'keys seen',
      'What both models go on with',
    ])
      expect(drawn).toContain(words);
  });

  test('--no-baseline: no bounded cache', async () => {
    const given = ['--task', 'generation', '--lengths', '40', '--inputs', '2', '--generate', '4', '--no-baseline'];
    const { code, stdout } = await verify(...given);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^By tokens before$/m);
    expect(stdout).not.toContain('bounded cache');
  });

  test('a model against itself differs nowhere', async () => {
    const given = [
      '--task',
      'generation',
      '--data',
      text,
      '--lengths',
      '40',
      '--inputs',
      '2',
      '--generate',
      '4',
      '--json',
    ];
    const { stdout } = await performers('verify', original, original, ...given);
    const { generation } = JSON.parse(stdout);
    const [{ change, sameTop, alike }] = generation.lengths;
    expect(generation).not.toHaveProperty('baseline');
    expect([change.value, sameTop.value, alike.value]).toEqual([0, 1, 4]);
  });
});

test('--task retrieval: a table of codes', async () => {
  const { code, stdout } = await verify('--task', 'retrieval', '--lengths', '128', '--inputs', '2');
  expect(code).toBe(0);
  expect(stdout).toContain('retrieval on 2 pass codes in texts of 128 tokens');
  expect(stdout).toMatch(/^pass codes found, original +\d\.\d{4}/m);
  expect(stdout).toMatch(/^tokens +depth +code +original +patched/m);
});

describe('linearize --recall', () => {
  const calibrate = (...args: string[]) =>
    performers('linearize', original, '-o', join(scratch, 'recall.onnx'), '--data', text, '--recall', ...args);

  test('is calibrated on passages that repeat runs of themselves, and that is said', async () => {
    const { code, stdout } = await calibrate('--length', '288', '--inputs', '3', '--budget', '200', '--keep', '0');
    expect(code).toBe(0);
    expect(stdout).toContain('calibrated on 3 passages of 288 tokens that repeat runs of themselves');
  });
  test('passages too short for it', async () => {
    const { code, stderr } = await calibrate('--length', '128', '--force');
    expect(code).toBe(2);
    expect(stderr).toContain('too short to repeat runs');
  });
  test('inputs that are no text', async () => {
    const lines = join(scratch, 'ids.jsonl');
    writeFileSync(lines, '{}');
    const args = ['linearize', original, '-o', join(scratch, 'no.onnx'), '--data', lines, '--recall'];
    const { code, stderr } = await performers(...args);
    expect(code).toBe(2);
    expect(stderr).toContain('only text can repeat itself, got inputs');
  });
});

describe('linearize --positions', () => {
  const calibrate = (model: string, ...args: string[]) =>
    performers('linearize', model, '-o', join(scratch, 'placed.onnx'), '--data', text, '--positions', '2048', ...args);

  test('is calibrated on passages that begin elsewhere, and that is said', async () => {
    const args = ['--length', '256', '--inputs', '3', '--budget', '200', '--keep', '0'];
    const { code, stdout } = await calibrate(original, ...args);
    expect(code).toBe(0);
    expect(stdout).toContain('calibrated on 3 passages of 256 tokens, spread over 2048 positions');
  });
  test('a model that counts positions itself', async () => {
    const { code, stderr } = await calibrate(graphFile('llama.genai-gqa.onnx'), '--force');
    expect(code).toBe(2);
    expect(stderr).toContain(
      'PF501  passages can begin elsewhere where a model of text has rotary embeddings and takes position_ids',
    );
  });
});

describe('bad input', () => {
  test('lengths beyond the positions of the config', async () => {
    const config = JSON.parse(readFileSync(join(shipped, 'config.json'), 'utf8'));
    writeFileSync(join(root, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 64 }));
    const { code, stderr } = await verify('--task', 'generation', '--lengths', '65');
    writeFileSync(join(root, 'config.json'), JSON.stringify(config));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^PF304 {2}65 tokens are more than the 64 positions of the model/);
  });

  test('passages without room for a prompt; texts without room for a code', async () => {
    const generation = await verify('--task', 'generation', '--lengths', '16');
    expect(generation.stderr).toMatch(/^PF501 .*leaves no prompt before 32 generated ones/);
    const retrieval = await verify('--task', 'retrieval', '--lengths', '40');
    expect(retrieval.stderr).toMatch(/^PF501 .*texts of 16 tokens/);
  });
});
