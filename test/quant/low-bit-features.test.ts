import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../src/features/kernels/kernel.js';
import { kernels } from '../../src/features/kernels/registry.js';
import { methods } from '../../src/features/signed/registry.js';
import { type LowBitFeatures, lowBitFeatures } from '../../src/quant/low-bit-features.js';
import { schemes } from '../../src/quant/registry.js';
import { expectMutantFails } from '../close.js';

const x = Float64Array.of(0.9, -0.3, 0.4, 0.1);
const y = Float64Array.of(0.2, 0.4, -0.1, 0.8);
const d = 4;
const product = (map: LowBitFeatures, a: Float64Array, b: Float64Array) =>
  map.signs.reduce((sum, sign, r) => sum + sign * a[r] * b[r], 0);

/** k̂(x, y) of `count` independent maps. */
function estimates(kernel: Kernel, name: 'stochastic' | 'universal', bits: number, count: number): number[] {
  return Array.from({ length: count }, (_, seed) => {
    const map = lowBitFeatures(kernel, methods.grff(kernel, { m: 64, seed }), { scheme: schemes[name], bits, seed });
    const queries = name === 'universal' ? map.real(x) : map.decode(map.encode(x));
    return product(map, queries, map.decode(map.encode(y, 1)));
  });
}

describe.each([
  ['rbf', kernels.rbf({ d }), 1],
  ['delta-gaussian, indefinite', kernels['delta-gaussian']({ d }), -1],
] as const)('low-bit features of %s', (_, kernel, sign) => {
  it.each([
    ['stochastic', 1],
    ['stochastic', 4],
    ['universal', 1],
  ] as const)('%s at %i bits are unbiased over maps, phases and roundings', (name, bits) => {
    const got = estimates(kernel, name, bits, 4000);
    const mean = got.reduce((sum, value) => sum + value, 0) / got.length;
    const spread = got.reduce((sum, value) => sum + (value - mean) ** 2, 0) / got.length;
    const k = kernel.value(x, y);
    expect(Math.sign(k)).toBe(sign);
    // No closed form here: parts, phases and roundings are mixed. The estimates are bounded, so that their sample variance is sound.
    const check = (want: number) => expect(Math.abs(mean - want) / Math.sqrt(spread / got.length)).toBeLessThan(4);
    check(k);
    expectMutantFails(() => check(k + 0.06));
    expectMutantFails(() => check(k - 0.06));
  });
});

describe('low-bit features', () => {
  const kernel = kernels.rbf({ d });
  const options = { scheme: schemes.nearest, bits: 4, seed: 2 };

  it('are close to the real ones at 8 bits, have a channel a frequency, and take the bytes they say', () => {
    const map = lowBitFeatures(kernel, methods.orf(kernel, { m: 200, seed: 1 }), { ...options, bits: 8 });
    expect(map.features).toBe(100);
    expect(map.rowBytes).toBe(100);
    const codes = map.encode([...x, ...y]);
    expect(codes.data.length).toBe(2 * map.rowBytes);
    const [real, low] = [map.real(x), map.decode(codes).subarray(0, 100)];
    const most = Math.max(...real.map((value, r) => Math.abs(value - low[r])));
    // Half a step of 2/255, times the amplitude √(2/100).
    expect(most).toBeLessThanOrEqual((1 / 255) * Math.sqrt(2 / 100) * 1.0001);
  });

  it('keep a constant exactly', () => {
    const log = kernels.log({ d });
    const map = methods.gorf(log, { m: 200, seed: 1 });
    const low = lowBitFeatures(log, map, options);
    const constants = [map.fourier?.positive.constant ?? 0, map.fourier?.negative.constant ?? 0].filter(
      (value) => value > 0,
    );
    expect(constants.length).toBeGreaterThan(0);
    expect(Array.from(low.decode(low.encode(x)).slice(-constants.length))).toEqual(constants.map(Math.sqrt));
  });

  it('refuse schemes and maps that have no such form', () => {
    const map = methods.rff(kernel, { m: 8 });
    expect(() => lowBitFeatures(kernel, map, { scheme: schemes.weights, bits: 4 })).toThrow(
      'PF420  the scheme must be of features, got one of weights',
    );
    expect(() => lowBitFeatures(kernel, methods.maclaurin(kernel, { m: 8 }), options)).toThrow(
      'PF420  the map must be made of frequencies',
    );
    expect(() => lowBitFeatures(kernel, map, options).encode([1, 2, 3])).toThrow(
      'PF202  x must be rows of d = 4 numbers, got 3',
    );
  });
});
