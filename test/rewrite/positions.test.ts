import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { builder, constantPool } from '../../src/onnx/build.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { makeGraph, makeModel, makeValueInfo } from '../../src/onnx/message.js';
import { positionLimit, trainedPositions } from '../../src/rewrite/positions.js';
import { graphFile } from '../shared.js';

const limitOf = (bytes: Uint8Array) => positionLimit(openModel(decode(bytes)));

// Positions in the exporters' configs: 64 with rotary tables, 32 learned; the others compute angles of any position.
test.each([
  ['llama.genai-gqa', 64],
  ['llama.genai-mha', 64],
  ['gpt2.optimum-sdpa-past', 32],
  ['llama.optimum-sdpa-past', undefined],
  ['bloom.optimum-eager-past', undefined],
  ['bert.optimum-eager', undefined],
])('%s has positions for %s tokens', (name, want) => {
  expect(limitOf(new Uint8Array(readFileSync(graphFile(`${name}.onnx`))))).toBe(want);
});

test('a table that the sum of a mask looks up, past two rows that no position has (OPT)', () => {
  const rows = 34;
  const pool = constantPool('t/');
  const build = builder(17, 't/', pool);
  const upTo = build.op('CumSum', ['attention_mask', build.int64([1], [])]);
  const seen = build.op('Mul', [upTo, 'attention_mask']);
  const positions = build.op('Sub', [seen, build.int64([1], [])]);
  const table = build.float(new Float32Array(4 * rows), [rows, 4]);
  build.rename(build.op('Gather', [table, build.op('Add', [positions, build.int64([2], [])])], { axis: 0 }), 'out');
  const graph = makeGraph({
    name: 'opt',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [makeValueInfo('attention_mask', 7, ['batch', 'tokens'])],
    output: [makeValueInfo('out', 1, ['batch', 'tokens', 4])],
  });
  expect(limitOf(concat(encode(makeModel(graph, 17))))).toBe(rows - 2);
});

test('positions by a config, under either name', () => {
  expect(trainedPositions({ max_position_embeddings: 8192 })).toBe(8192);
  expect(trainedPositions({ n_positions: 1024 })).toBe(1024);
  expect(trainedPositions({ max_position_embeddings: 'many' })).toBeUndefined();
  expect(trainedPositions(undefined)).toBeUndefined();
});
