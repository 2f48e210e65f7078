import { gaussians } from '../../src/features/rng.js';
import type { Attention } from '../oracle/attention.js';

type Shape = Pick<Attention, 'B' | 'H' | 'N' | 'S' | 'D' | 'E'>;

/** Seeded N(0, 1) inputs with scale 1/√D; `masked` [B] is the number of keys masked at the end of each row. */
export function normalInput(
  shape: Shape,
  seed: number,
  options: { qSize?: number; masked?: number[] } = {},
): Attention {
  const { B, H, N, S, D, E } = shape;
  const { qSize = 1, masked } = options;
  const normal = gaussians(seed);
  const draw = (length: number, size = 1) => Float64Array.from({ length }, () => size * normal());
  const input = {
    ...shape,
    q: draw(B * H * N * D, qSize),
    k: draw(B * H * S * D),
    v: draw(B * H * S * E),
    scale: D ** -0.5,
  };
  if (!masked) return input;
  const visible = (index: number) => index % S < S - masked[Math.floor(index / S)];
  return { ...input, keyBias: Float64Array.from({ length: B * S }, (_, index) => (visible(index) ? 0 : -Infinity)) };
}

/** The shapes every attention module is judged on. */
export const cases: Readonly<Record<string, Attention>> = {
  'one token': normalInput({ B: 1, H: 2, N: 1, S: 1, D: 8, E: 8 }, 1),
  'one query': normalInput({ B: 1, H: 2, N: 1, S: 33, D: 8, E: 8 }, 2),
  'whole blocks': normalInput({ B: 1, H: 2, N: 96, S: 96, D: 16, E: 16 }, 3),
  'ragged, batch 2, E ≠ D': normalInput({ B: 2, H: 3, N: 77, S: 77, D: 8, E: 5 }, 4),
  'cross, N ≠ S': normalInput({ B: 1, H: 2, N: 37, S: 53, D: 8, E: 8 }, 5),
  padding: normalInput({ B: 2, H: 2, N: 41, S: 41, D: 8, E: 8 }, 6, { masked: [1, 17] }),
  'a fully masked row': normalInput({ B: 2, H: 2, N: 41, S: 41, D: 8, E: 8 }, 7, { masked: [3, 41] }),
  '|q| × 8': normalInput({ B: 1, H: 2, N: 41, S: 41, D: 8, E: 8 }, 8, { qSize: 8 }),
};

/** The same layer done wrong, as implementations get it wrong. Every numeric test must refuse all of them. */
export function mutants(input: Attention): Readonly<Record<string, Attention>> {
  const swapped = { ...input, k: swapHeads(input.k, input), v: swapHeads(input.v, input) };
  if (input.S === 1) return { 'heads swapped': swapped };
  return {
    'heads swapped': swapped,
    'scale + 1 %': { ...input, scale: input.scale * 1.01 },
    'mask off by one': { ...input, keyBias: maskOneMore(input) },
  };
}

/** Exchanges the first two heads of the first batch. */
function swapHeads(array: Float64Array, { B, H }: Attention): Float64Array {
  const size = array.length / (B * H);
  const out = array.slice();
  out.set(array.subarray(size, 2 * size), 0);
  out.set(array.subarray(0, size), size);
  return out;
}

/** Masks the last key that is visible in each batch. */
function maskOneMore({ B, S, keyBias }: Attention): Float64Array {
  const out = keyBias?.slice() ?? new Float64Array(B * S);
  for (let b = 0; b < B; b++) {
    const last = out.subarray(b * S, (b + 1) * S).lastIndexOf(0);
    if (last >= 0) out[b * S + last] = -Infinity;
  }
  return out;
}
