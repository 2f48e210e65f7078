/** Positive features that are trained: what they compute, and their gradient, against the definition in float64. */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { doubleSoftmax } from '../../src/learn/double-softmax.js';
import { type JaxArray, loadJax } from '../../src/learn/peer.js';
import { mutants, normalInput } from '../attention/cases.js';
import { close, expectMutantFails } from '../close.js';
import { positiveAttention } from '../oracle/positive-attention.js';

const jax = await loadJax();
const { numpy: np } = jax;
const input = { ...normalInput({ B: 1, H: 2, N: 7, S: 19, D: 3, E: 4 }, 8), scale: 1 };
const { H, N, S, D, E, k, v } = input;
const M = 5;
const normal = gaussians(4);
const draw = (length: number) => Float64Array.from(Float32Array.from({ length }, () => normal()));
const map = { queryOmega: draw(H * M * D), keyOmega: draw(H * M * D), bias: draw(H * M) };
const direction = draw(H * N * E);

const array = (data: Float64Array, ...shape: number[]) => np.array(Float32Array.from(data), { shape });
const norms = Float64Array.from({ length: H * S }, (_, j) =>
  k.subarray(j * D, (j + 1) * D).reduce((sum, x) => sum - (x * x) / 2, 0),
);
/** [H,E,S] */
const columns = Float64Array.from({ length: H * E * S }, (_, at) => {
  const [h, e, j] = [Math.floor(at / E / S), Math.floor(at / S) % E, at % S];
  return v[(h * S + j) * E + e];
});
const attend = ([queryOmega, keyOmega, bias]: JaxArray[]) =>
  doubleSoftmax(
    jax,
    { queryOmega, keyOmega, bias },
    {
      queries: array(input.q, H, N, D),
      keys: array(k, H, S, D),
      offsets: array(norms, H, 1, S),
      values: array(columns, H, E, S),
    },
  );
const parameters = () => [array(map.queryOmega, H, M, D), array(map.keyOmega, H, M, D), array(map.bias, H, M, 1)];

describe('positive features that are trained', () => {
  it('attend by their definition', async () => {
    const got = await attend(parameters()).data();
    close(got, positiveAttention(input, map), 5e-6);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, positiveAttention(mutant, map), 5e-6));
  });

  it('have the gradient of finite differences', async () => {
    const gradient = jax.grad((all: JaxArray[]) => np.sum(attend(all).mul(array(direction, H, N, E))))(parameters());
    const got: number[] = [];
    for (const part of gradient) got.push(...(await part.data()));
    const step = 1e-5;
    const want = (['queryOmega', 'keyOmega', 'bias'] as const).flatMap((part) =>
      Array.from(map[part], (_, at) => {
        const lossAt = (by: number) => {
          const moved = { ...map, [part]: map[part].map((x, i) => (i === at ? x + by : x)) };
          return positiveAttention(input, moved).reduce((sum, x, i) => sum + x * direction[i], 0);
        };
        return (lossAt(step) - lossAt(-step)) / (2 * step);
      }),
    );
    close(got, want, 1e-4);
    expect(want.some((x) => Math.abs(x) > 0.1)).toBe(true);
    const mutant = want.map((x) => 1.01 * x);
    expectMutantFails(() => close(got, mutant, 1e-4));
  });
});
