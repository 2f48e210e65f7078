/** What a bench calls an error is one: its reference against the oracle, and an output that is wrong on one head. */
import { expect, test } from 'vitest';
import { layerInputs } from '../../src/bench/inputs.js';
import { exactRows, rowError, sampleRows } from '../../src/bench/reference.js';
import type { LayerShape } from '../../src/bench/shape.js';
import { close, expectMutantFails } from '../close.js';
import { softmaxAttention } from '../oracle/attention.js';

const shape = (causal: boolean): LayerShape => ({ what: 'a layer', heads: 3, width: 8, causal });
const n = 37;

/** [1,N,H·D] → [H,N,D] */
function byHead(x: Float32Array, heads: number, width: number): Float64Array {
  return Float64Array.from(x, (_, at) => {
    const [h, i, d] = [Math.floor(at / (n * width)), Math.floor(at / width) % n, at % width];
    return x[(i * heads + h) * width + d];
  });
}

/** [N,H·D] of the oracle. */
function oracle({ heads, width, causal }: LayerShape): Float32Array {
  const { q, k, v } = layerInputs(shape(causal), 1)(n);
  const bias = Float64Array.from({ length: heads * n * n }, (_, at) =>
    causal && at % n > Math.floor(at / n) % n ? Number.NEGATIVE_INFINITY : 0,
  );
  const [a, b, c] = [q, k, v].map((x) => byHead(x, heads, width));
  const input = { B: 1, H: heads, N: n, S: n, D: width, E: width, q: a, k: b, v: c, scale: width ** -0.5, bias };
  const out = softmaxAttention(input);
  return Float32Array.from(out, (_, at) => {
    const [i, h, d] = [Math.floor(at / (heads * width)), Math.floor(at / width) % heads, at % width];
    return out[(h * n + i) * width + d];
  });
}

test.each([false, true])('rows are the oracle’s, causal %s', (causal) => {
  const layer = shape(causal);
  const inputs = layerInputs(layer, 1)(n);
  const want = oracle(layer);
  const all = Array.from({ length: n }, (_, i) => i);
  close(exactRows(layer, inputs, all), want, 1e-6);
  expectMutantFails(() => close(exactRows(shape(!causal), inputs, all), want, 1e-6));
  expect(rowError(layer, inputs, want)).toBeLessThan(1e-6);
  const wrong = want.slice();
  const row = sampleRows(n)[3];
  for (let d = 0; d < layer.width; d++) wrong[row * layer.heads * layer.width + d] *= 1.01;
  expect(rowError(layer, inputs, wrong)).toBeGreaterThan(1e-4);
});

test('sampled rows are of the whole length, the first and the last among them', () => {
  expect(sampleRows(1)).toEqual([0]);
  expect(sampleRows(3)).toEqual([0, 1, 2]);
  expect(sampleRows(1024)).toEqual([0, 146, 292, 438, 585, 731, 877, 1023]);
});

test('a longer input begins with the shorter one', () => {
  const inputs = layerInputs(shape(false), 5);
  const short = Float32Array.from(inputs(4).q);
  expect(Array.from(inputs(9).q.subarray(0, short.length))).toEqual(Array.from(short));
  expect(Array.from(inputs(4).q)).not.toEqual(Array.from(inputs(4).k));
});
