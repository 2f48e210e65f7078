/**
 * One token on the kept keys of exact heads: all keys read, against blocks of 8 selected by a low-bit estimate of every score (SALE:
 * largest estimate a block, the best 32 blocks read exactly), in operators that onnxruntime has everywhere.
 *
 *   npx tsx bench/generate/block-selection.ts [--runtime node|wasm] [--lengths 1024,2048,4096,8192] [--name block-selection]
 *
 * Two key heads of 64, one query each. Random inputs: times only, the least of many runs, and the selection alone: no window, no
 * summaries of the rest, no copy of keys to keep up, which it would need besides. The state is floats: what has fewer bits lies
 * packed in them (`in floats`, 4 numbers of 4 bits in each); `int8` is what it would cost if a state could hold bytes.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { gaussians } from '../../src/features/rng.js';
import { type Builder, builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../../src/onnx/message.js';
import type { TensorLike } from '../../src/session.js';
import { machine } from '../machine.js';
import { round } from '../suite.js';

const { values } = parseArgs({
  options: {
    runtime: { type: 'string', default: 'node' },
    lengths: { type: 'string', default: '1024,2048,4096,8192' },
    name: { type: 'string', default: 'block-selection' },
  },
});
const [heads, width, block, selected, opset, runs] = [2, 64, 8, 32, 17, 100];

type Form = (build: Builder) => string;

/** softmax(q·kᵀ)·v, keys and values [1,H,S,D]. */
function attend(build: Builder, keys: string, values: string): string {
  const product = build.op('MatMul', ['q', build.op('Transpose', [keys], { perm: [0, 1, 3, 2] })]);
  return build.op('MatMul', [build.op('Softmax', [product], { axis: -1 }), values]);
}

/** The blocks with the largest of these estimates [1,H,S,1]. */
function select(build: Builder, estimate: string): string {
  const byBlock = build.op('Reshape', [estimate, build.int64([1, heads, -1, block])]);
  const largest = build.op('ReduceMax', [byBlock], { axes: [3], keepdims: 0 });
  const [, at] = build.ops('TopK', [largest, build.int64([selected])], 2, { axis: 2 });
  const count = build.op('Gather', [build.op('Shape', [largest]), build.int64([2])], { axis: 0 });
  const base = build.op('Mul', [build.int64([0, 1], [1, heads, 1]), count]);
  const rows = build.op('Add', [at, base]);
  const pick = (value: string) => {
    const blocks = build.op('Reshape', [value, build.int64([-1, block * width])]);
    return build.op('Reshape', [build.op('Gather', [blocks, rows]), build.int64([1, heads, -1, width])]);
  };
  return attend(build, pick('k'), pick('v'));
}

/** The query as a column [1,H,D,1]. */
const column = (build: Builder) => build.op('Transpose', ['q'], { perm: [0, 1, 3, 2] });

/** Digits of base 16 of numbers below 2¹⁶. */
function unpacked(build: Builder): string {
  const whole = build.op('Unsqueeze', ['packed', build.int64([4])]);
  const above = (digits: readonly number[]) => {
    const scales = digits.map((digit) => 16 ** -digit);
    return build.op('Floor', [build.op('Mul', [whole, build.float(scales, [4])])]);
  };
  const higher = build.op('Mul', [above([4, 3, 2, 1]), build.float([16], [])]);
  return build.op('Reshape', [build.op('Sub', [above([3, 2, 1, 0]), higher]), build.int64([1, heads, -1, width])]);
}

const forms: Readonly<Record<string, Form>> = {
  'all keys': (build) => attend(build, 'k', 'v'),
  'estimate by the keys themselves': (build) => select(build, build.op('MatMul', ['k', column(build)])),
  'int8 estimate': (build) => {
    const rounded = build.op('Round', [build.op('Mul', [column(build), build.float([30], [])])]);
    const product = build.op('MatMulInteger', ['bytes', build.op('Cast', [rounded], { to: 3 })]);
    return select(build, build.op('Cast', [product], { to: 1 }));
  },
  '4-bit estimate in floats': (build) => select(build, build.op('MatMul', [unpacked(build), column(build)])),
};

function modelOf(form: Form): Uint8Array {
  const pool = constantPool('b/');
  const build = builder(opset, 'b/', pool);
  build.rename(form(build), 'context');
  const keys = (name: string, type: number, last: number) => makeValueInfo(name, type, [1, heads, 'keys', last]);
  const read = new Set(build.nodes.flatMap(({ input }) => input));
  const inputs = [
    makeValueInfo('q', 1, [1, heads, 1, width]),
    keys('k', 1, width),
    keys('v', 1, width),
    keys('bytes', 2, width),
    keys('packed', 1, width / 4),
  ];
  const graph = makeGraph({
    name: 'selection',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: inputs.filter(({ name = '' }) => read.has(name)),
    output: [makeValueInfo('context', 1, [1, heads, 1, width])],
  });
  return concat(encode(makeModel(graph, opset)));
}

const normal = gaussians(1);
const file = join(mkdtempSync(join(tmpdir(), 'performers-bench-')), 'model.onnx');
writeFileSync(file, modelOf(forms['all keys']));
const create = await nodeSessions(values.runtime === 'wasm' ? 'wasm' : 'node', file);
const rows: Record<string, number | string | undefined>[] = [];
for (const length of values.lengths.split(',').map(Number)) {
  const floats = (tokens: number, of: () => number, last = width): TensorLike => ({
    type: 'float32',
    dims: [1, heads, tokens, last],
    data: Float32Array.from({ length: heads * tokens * last }, of),
  });
  const bytes = Uint8Array.from({ length: heads * length * width }, () => 128 + 30 * normal());
  const feeds: Record<string, TensorLike> = {
    q: floats(1, normal),
    k: floats(length, normal),
    v: floats(length, normal),
    bytes: { type: 'uint8', dims: [1, heads, length, width], data: bytes },
    packed: floats(length, () => Math.floor(65_535 * Math.abs(Math.sin(normal()))), width / 4),
  };
  let all = Number.NaN;
  for (const [name, form] of Object.entries(forms)) {
    const session = await create(modelOf(form));
    const own = Object.fromEntries(session.inputNames.map((input) => [input, feeds[input]]));
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < runs; i++) {
      const start = performance.now();
      await session.run(own);
      least = Math.min(least, performance.now() - start);
    }
    await session.release();
    if (name === 'all keys') all = least;
    rows.push({ form: name, keys: length, ms: round(least), 'all keys ÷ this': round(all / least) });
  }
}
console.table(rows);
writeFileSync(
  new URL(`../results/generate-${values.name}.json`, import.meta.url),
  `${JSON.stringify({ schema: 'performers.bench.generate/1', runtime: values.runtime, machine: machine(), rows }, undefined, 1)}\n`,
);
