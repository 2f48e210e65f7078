/** Float32 numbers as pairs of halves, packed and unpacked by onnxruntime. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { builder, constantPool } from '../../src/onnx/build.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../../src/onnx/message.js';
import { joinHalves, splitHalves } from '../../src/rewrite/halves.js';
import { close, expectMutantFails } from '../close.js';

const normal = gaussians(7);
const sizes = [1e-3, 1, 40, 3000, 1e5, 1e7];
const drawn = Float32Array.from({ length: 600 }, (_, i) => sizes[i % sizes.length] * normal());

/** Numbers through a float16 tensor and back; both halves, or the high one alone. */
async function through(data: Float32Array, { low = true } = {}): Promise<Float32Array> {
  const pool = constantPool('t/');
  const build = builder(17, 't/', pool);
  const kept = build.op('Cast', [splitHalves(build, 'x')], { to: 10 });
  const [high, rest] = build.ops('Split', [build.op('Cast', [kept], { to: 1 })], 2, { axis: 1 });
  const zero = build.op('Sub', [rest ?? '', rest ?? '']);
  build.rename(joinHalves(build, high ?? '', low ? (rest ?? '') : zero), 'y');
  const graph = makeGraph({
    name: 'halves',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [makeValueInfo('x', 1, [1, data.length])],
    output: [makeValueInfo('y', 1, [1, data.length])],
  });
  const session = await InferenceSession.create(concat(encode(makeModel(graph, 17))), { logSeverityLevel: 4 });
  const { y } = await session.run({ x: new Tensor('float32', data, [1, data.length]) });
  await session.release();
  return y.data as Float32Array;
}

it('keeps 22 of the 24 bits of numbers of any size that sums have', async () => {
  const got = await through(drawn);
  for (const [i, x] of drawn.entries())
    expect(Math.abs(got[i] - x)).toBeLessThanOrEqual(2 ** -22 * Math.abs(x) + 2 ** -26);
  expectMutantFails(() =>
    close(
      got.map((x) => 1.000001 * x),
      Float64Array.from(drawn),
      2 ** -22,
    ),
  );
  const high = await through(drawn, { low: false });
  expectMutantFails(() => close(high, Float64Array.from(drawn), 2 ** -22));
});

it('keeps whole numbers: places in a text, marks of plans', async () => {
  const whole = Float32Array.from({ length: 500 }, (_, i) => (i < 100 ? i : (i * 7919 * 31) % 2 ** 20));
  expect(await through(whole)).toEqual(whole);
  expect(await through(whole, { low: false })).not.toEqual(whole);
});

it('gives back ever and never as larger than anything', async () => {
  const [ever, never] = await through(Float32Array.of(1e9, -1e30));
  expect(ever).toBeGreaterThan(1e29);
  expect(never).toBeLessThan(-1e29);
  expect(Number.isFinite(ever) && Number.isFinite(never)).toBe(true);
});
