import { describe, expect, it, test } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { lossByPosition, lossFigures, nextToken, type TokenLoss, tokenLosses } from '../../src/tasks/token-loss.js';
import { close, expectMutantFails } from '../close.js';

const normal = gaussians(3);
const vocabulary = 7;
const ids = [3, 0, 2, 6, 1];
const logits = {
  type: 'float32',
  dims: [1, ids.length, vocabulary],
  data: Float32Array.from({ length: ids.length * vocabulary }, () => 3 * normal()),
};

/** −log softmax, in float64 and by its definition. */
function oracle(next: readonly number[], offset = 0): Float64Array {
  return Float64Array.from(next, (id, n) => {
    const row = Array.from(logits.data.subarray((n + offset) * vocabulary, (n + offset + 1) * vocabulary), Math.exp);
    return -Math.log(row[id] / row.reduce((a, b) => a + b, 0));
  });
}

describe('tokenLosses', () => {
  it('is −log of the softmax at the token that came next', () => {
    const next = ids.slice(1);
    const losses = Float64Array.from(tokenLosses(logits, next), ({ loss }) => loss);
    close(losses, oracle(next), 1e-12);
    expectMutantFails(() => close(losses, oracle(next, 1), 1e-12));
  });

  it('does not overflow where logits are large', () => {
    const loud = { ...logits, data: logits.data.map((x) => x + 1e4) };
    const losses = Float64Array.from(tokenLosses(loud, ids), ({ loss }) => loss);
    // 1e4 leaves float32 logits a thousandth.
    close(losses, oracle(ids), 2e-3);
  });

  it('knows the most likely token, of float16 too', () => {
    const bits = Uint16Array.of(0x3c00, 0x4000, 0xc200, 0xc000, 0xbc00, 0xc200);
    const half = { type: 'float16', dims: [1, 2, 3], data: bits };
    expect(tokenLosses(half, [0, 0]).map(({ top }) => top)).toEqual([1, 1]);
    expect(nextToken({ ...half, dims: [1, 2, 3] })).toBe(1);
    expect(nextToken({ type: 'float32', dims: [1, 2, 3], data: Float32Array.of(9, 0, 0, -3, -2, -1) })).toBe(2);
  });
});

describe('by position', () => {
  const tokens = (length: number, loss: (i: number) => number): TokenLoss[] =>
    Array.from({ length }, (_, i) => ({ loss: loss(i), top: i % 2 }));
  const passages = [
    { original: tokens(700, () => 2), patched: tokens(700, (i) => 2 + Number(i >= 512)) },
    { original: tokens(300, () => 4), patched: tokens(300, (i) => 4 + 0.5 * Number(i >= 256)) },
  ];

  test('every token is in the bucket of what came before it, every passage weighs by its tokens', () => {
    const buckets = lossByPosition(passages);
    expect(buckets.map(({ from, to, tokens, passages }) => [from, to, tokens, passages])).toEqual([
      [0, 256, 512, 2],
      [256, 512, 300, 2],
      [512, 700, 188, 1],
    ]);
    expect(buckets.map(({ change }) => change.value)).toEqual([0, (44 * 0.5) / 300, 1]);
    expect(buckets.map(({ original }) => original.value)).toEqual([3, (256 * 2 + 44 * 4) / 300, 2]);
    expect(buckets.map(({ sameTop }) => sameTop.value)).toEqual([1, 1, 1]);
  });

  test('intervals are over passages: one has none', () => {
    const [both, , one] = lossByPosition(passages);
    expect(both.change.interval).toEqual([0, 0]);
    expect(one.change.interval).toBeUndefined();
    const names = lossFigures(passages).map(({ name }) => name);
    expect(names).toEqual([
      'loss of the original',
      'change of the loss',
      'same most likely token',
      'change of the loss from token 0',
      'change of the loss from token 256',
      'change of the loss from token 512',
    ]);
  });
});
