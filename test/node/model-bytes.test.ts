/** Models of gigabytes: opened by position, their weights never in memory, and rewritten within a small process. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspect } from '../../src/linearize.js';
import { openModelBytes } from '../../src/node/model-bytes.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { loaded } from '../../src/onnx/lazy-bytes.js';
import { command, root, scratchFolder } from '../cli/performers.js';
import { delimited, type Field, parse, serialize, text, varint } from '../fuzz/tree.js';
import { graphFile } from '../shared.js';

const scratch = scratchFolder();
const bert = new Uint8Array(readFileSync(graphFile('bert.optimum-eager.onnx')));

/** Bytes whose elements are a hole of the file system, between what comes before and after: [head, size, tail]. */
function writeSparse(path: string, head: Uint8Array, size: number, tail: Uint8Array): void {
  const file = openSync(path, 'w');
  writeSync(file, head);
  ftruncateSync(file, head.length + size);
  // A mark at each end of the weights: a byte that is moved or lost shows.
  writeSync(file, text('begin'), 0, 5, head.length);
  writeSync(file, text('end'), 0, 3, head.length + size - 3);
  writeSync(file, tail, 0, tail.length, head.length + size);
  closeSync(file);
}

/** The model with one more initializer, of `size` bytes, as the bytes before and after these. */
function around(size: number): readonly [Uint8Array, Uint8Array] {
  const fields = parse(bert);
  const graph = fields.find(({ number }) => number === 7);
  if (!graph) throw new Error('the test graph has no graph');
  const tensor = serialize([varint(1, BigInt(size)), varint(2, 2n), delimited(8, text('heavy'))]);
  const prefix = (number: number, length: number) => {
    const header = serialize([delimited(number, new Uint8Array(0))]);
    return concat([header.subarray(0, -1), varint(1, BigInt(length)).body as Uint8Array]);
  };
  const raw = prefix(9, size);
  const message = concat([tensor, raw]);
  const initializer = prefix(5, message.length + size);
  const part = (wanted: (field: Field) => boolean) => serialize(asFields(graph).filter(wanted));
  const [before, after] = [part(({ number }) => number <= 5), part(({ number }) => number > 5)];
  const length = before.length + initializer.length + message.length + size + after.length;
  const [top, bottom] = [fields.filter(({ number }) => number < 7), fields.filter(({ number }) => number > 7)].map(
    serialize,
  );
  return [concat([top, prefix(7, length), before, initializer, message]), concat([after, bottom])];
}

const asFields = ({ body }: Field) => (body instanceof Uint8Array ? [] : body);

/** Runs `performers` and gives the largest memory that its process had, in MB. */
function peakMB(...args: string[]): number {
  const [node, ...start] = command;
  const script = `process.on('exit', () => console.error('peak ' + process.resourceUsage().maxRSS));`;
  const preload = join(scratch, 'peak.mjs');
  writeFileSync(preload, script);
  const { stderr } = JSON.parse(
    execFileSync(
      process.execPath,
      [
        '-e',
        `const r = require('node:child_process').spawnSync(process.argv[1], process.argv.slice(2), { encoding: 'utf8', cwd: ${JSON.stringify(root)} });
        console.log(JSON.stringify({ stderr: r.stderr, status: r.status }))`,
        node,
        '--import',
        preload,
        ...start,
        ...args,
      ],
      { encoding: 'utf8', maxBuffer: 1e8 },
    ),
  );
  const peak = /peak (\d+)/.exec(stderr)?.[1];
  if (peak === undefined) throw new Error(stderr);
  return Number(peak) / 1024;
}

function readAt(path: string, at: number, length: number): string {
  const file = openSync(path, 'r');
  const bytes = new Uint8Array(length);
  readSync(file, bytes, 0, length, at);
  closeSync(file);
  return new TextDecoder().decode(bytes);
}

test('what is read of a file is what it says, weights when they are asked for', () => {
  const [head, tail] = around(300_000);
  const path = join(scratch, 'small.onnx');
  writeSparse(path, head, 300_000, tail);
  const whole = new Uint8Array(readFileSync(path));
  const model = openModelBytes(path);
  const { bytes } = model;
  expect(Buffer.compare(bytes, whole)).not.toBe(0);
  expect(inspect(bytes).sites).toEqual(inspect(whole).sites);
  expect(Buffer.compare(Buffer.concat([...model.read(bytes)].map((piece) => piece.slice())), whole)).toBe(0);
  expect(Buffer.compare(concat(encode({ ...decode(bytes) })), whole)).toBe(0);
  expect(Buffer.compare(loaded(bytes), whole)).toBe(0);
  model.close();
});

test.each([0, 1, 17, 1000, 40_000, bert.length - 1])('damage is damage, wherever the file ends: %i bytes', (length) => {
  const path = join(scratch, `cut-${length}.onnx`);
  writeFileSync(path, bert.subarray(0, length));
  const { bytes, close } = openModelBytes(path);
  expect(() => decode(bytes, 'x')).toThrow(/^PF10[123]/);
  close();
});

test('PF111: more than protobuf takes', () => {
  const path = join(scratch, 'too-large.onnx');
  writeSparse(path, new Uint8Array(), 2 ** 31, new Uint8Array());
  expect(() => openModelBytes(path)).toThrow('PF111  a model file of 2147483648 bytes');
});

test('a file just under 2 GB: linearize and restore in a process of a quarter of it, weights where they belong', () => {
  const size = 2 ** 31 - 2 ** 20;
  const [head, tail] = around(size);
  const [path, out, back] = ['heavy', 'out', 'back'].map((name) => join(scratch, `${name}.onnx`));
  writeSparse(path, head, size, tail);
  expect(peakMB('linearize', path, '-o', out)).toBeLessThan(500);
  const [total] = [statSync(out).size];
  expect(total).toBeGreaterThan(statSync(path).size);
  expect(peakMB('restore', out, join(scratch, 'out.performers.json'), '-o', back)).toBeLessThan(500);
  expect(statSync(back).size).toBe(statSync(path).size);
  expect(readAt(back, head.length, 5)).toBe('begin');
  expect(readAt(back, head.length + size - 3, 3)).toBe('end');
  execFileSync('cmp', [path, back]);
}, 600_000);

test('external weights beyond 2 GB are copied in pieces', () => {
  const folder = join(scratch, 'external');
  mkdirSync(folder);
  const name = 'bert.dynamo18-sdpa.external.onnx';
  writeFileSync(join(folder, 'model.onnx'), readFileSync(graphFile(name)));
  const weights = readFileSync(graphFile(`${name}_data`));
  const size = 2 ** 31 + 2 ** 20;
  writeSparse(join(folder, `${name}_data`), weights, size, text('tail'));
  expect(peakMB('linearize', folder, '-o', join(scratch, 'external-out'))).toBeLessThan(500);
  const copied = join(scratch, 'external-out', `${name}_data`);
  expect(statSync(copied).size).toBe(weights.length + size + 4);
  expect(readAt(copied, weights.length + size, 4)).toBe('tail');
}, 600_000);
