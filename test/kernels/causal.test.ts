import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { download, type GpuArray, upload } from '../../src/kernels/array.js';
import { causalAttention, decodeStep, emptyState } from '../../src/kernels/causal.js';
import { type FeatureState, featureAttention } from '../../src/kernels/double-softmax.js';
import type { Gpu } from '../../src/kernels/gpu.js';
import { run } from '../../src/kernels/record.js';
import { close, expectMutantFails } from '../close.js';
import { type CausalFeatures, causalFeatureAttention } from '../oracle/causal-features.js';
import { noDevice, open, uploadAll } from './device.js';

const bound = 1e-5;

function draw(
  sizes: Partial<CausalFeatures>,
  seed: number,
  options: { qSize?: number; masked?: number } = {},
): CausalFeatures {
  const { B = 1, H = 2, G = H, N = 41, D = 8, E = 8, M = 12 } = sizes;
  const normal = gaussians(seed);
  const rows = (length: number, size = 1) => Float64Array.from({ length }, () => Math.fround(size * normal()));
  const { qSize, masked } = options;
  return {
    ...{ B, H, G, N, D, E, M },
    q: rows(B * H * N * D, qSize),
    k: rows(B * G * N * D),
    v: rows(B * G * N * E),
    omega: rows(G * M * D),
    featureBias: rows(G * M, 0.3),
    ...(masked !== undefined && {
      keyBias: Float64Array.from({ length: B * N }, (_, at) => (at % N < masked ? -Infinity : 0)),
    }),
    scale: D ** -0.5,
  };
}

const cases: Record<string, CausalFeatures> = {
  'one token': draw({ N: 1 }, 1),
  'one chunk': draw({ N: 32 }, 2),
  'whole chunks': draw({ N: 64 }, 3),
  'ragged, batch 2, E ≠ D': draw({ B: 2, N: 77, E: 12 }, 4),
  'grouped heads': draw({ H: 6, G: 2, N: 45 }, 5),
  'widths that are no multiples of 4': draw({ D: 7, E: 5, N: 50 }, 6),
  'more features than a tile': draw({ M: 40, D: 16, N: 40 }, 7),
  'padding on the left': draw({ N: 70 }, 8, { masked: 37 }),
  '|q| × 10': draw({ N: 70 }, 9, { qSize: 10 }),
};

const { shape, arrays } = {
  shape: ({ B, H, G, D, E, M, scale }: CausalFeatures) => ({ B, H, G, D, E, M, scale }),
  arrays: uploadAll,
};

/** Tokens [from, to) of all heads. */
function tokens(input: CausalFeatures, from: number, to: number): CausalFeatures {
  const { N, D, E } = input;
  const cut = (data: ArrayLike<number>, width: number) =>
    Float64Array.from(
      Array.from(data).filter((_, at) => Math.floor(at / width) % N >= from && Math.floor(at / width) % N < to),
    );
  const { keyBias } = input;
  return {
    ...input,
    N: to - from,
    q: cut(input.q, D),
    k: cut(input.k, D),
    v: cut(input.v, E),
    ...(keyBias && { keyBias: cut(keyBias, 1) }),
  };
}

async function prefill(gpu: Gpu, input: CausalFeatures, state?: FeatureState) {
  const { q, k, v, omega, featureBias, keyBias, N } = input;
  const given = arrays(gpu, { q, k, v, omega, featureBias, ...(keyBias && { keyBias }) });
  const result = await run(gpu, (recording) => causalAttention(recording, { ...shape(input), N, ...given, state }));
  return { out: await download(gpu, result.out), state: result.state };
}

async function decode(gpu: Gpu, input: CausalFeatures, state: FeatureState) {
  const { q, k, v, omega, featureBias } = input;
  const given = arrays(gpu, { q, k, v, omega, featureBias });
  return download(
    gpu,
    await run(gpu, (recording): GpuArray => decodeStep(recording, { ...shape(input), ...given, state })),
  );
}

describe.skipIf(noDevice)('causal linear attention on a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open();
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(cases))('equals the oracle: %s', async (_name, input) => {
    const { out } = await prefill(gpu, input);
    close(out, causalFeatureAttention(input), bound);
    if (input.N === 1) return;
    const bias = Array.from(input.featureBias, (b, i) => b + 0.01 * (i % 2));
    for (const mutant of [{ scale: 1.01 * input.scale }, { ahead: 1 }, { ahead: -1 }, { featureBias: bias }]) {
      expectMutantFails(() => close(out, causalFeatureAttention({ ...input, ...mutant }), bound));
    }
  });

  it.each([1, 32, 45])('is the same cut in two at token %i, the state carried', async (cut) => {
    const input = cases['ragged, batch 2, E ≠ D'];
    const { N, E } = input;
    const first = await prefill(gpu, tokens(input, 0, cut));
    const second = await prefill(gpu, tokens(input, cut, N), first.state);
    const want = causalFeatureAttention(input);
    const row = (at: number) => Math.floor(at / E) % N;
    close(
      first.out,
      want.filter((_, at) => row(at) < cut),
      bound,
    );
    const rest = want.filter((_, at) => row(at) >= cut);
    close(second.out, rest, bound);
    const fresh = await prefill(gpu, tokens(input, cut, N));
    expectMutantFails(() => close(fresh.out, rest, bound));
  });

  it.each(['grouped heads', '|q| × 10'])('is the same a token at a time: %s', async (name) => {
    const input = tokens(cases[name], 0, 9);
    const { N, E } = input;
    const want = causalFeatureAttention(input);
    const state = emptyState(gpu, input);
    for (let i = 0; i < N; i++) {
      const out = await decode(gpu, tokens(input, i, i + 1), state);
      const rows = want.filter((_, at) => Math.floor(at / E) % N === i);
      close(out, rows, bound);
      expectMutantFails(() =>
        close(
          out.map((x, at) => (at % E === 0 ? 1.01 * x : x)),
          rows,
          bound,
        ),
      );
    }
  });

  it('decodes behind a prompt', async () => {
    const input = cases['ragged, batch 2, E ≠ D'];
    const { N, E } = input;
    const { state } = await prefill(gpu, tokens(input, 0, N - 1));
    const out = await decode(gpu, tokens(input, N - 1, N), state);
    close(
      out,
      causalFeatureAttention(input).filter((_, at) => Math.floor(at / E) % N === N - 1),
      bound,
    );
  });

  it('leaves, once all is read, the state that all queries at once would see', async () => {
    const input = cases['grouped heads'];
    const { N, E } = input;
    const { q, k, v, omega, featureBias } = input;
    const given = arrays(gpu, { q, k, v, omega, featureBias });
    const { out } = await run(gpu, (recording) => featureAttention(recording, { ...shape(input), N, S: N, ...given }));
    const last = (data: ArrayLike<number>) => Array.from(data).filter((_, at) => Math.floor(at / E) % N === N - 1);
    close(last(await download(gpu, out)), last((await prefill(gpu, input)).out), bound);
  });

  it('refuses features of a head that are larger than a binding', async () => {
    const small = await open({ device: gpu.device, limits: { bindingBytes: 1024 } });
    await expect(prefill(small, cases['whole chunks'])).rejects.toThrow(
      /PF706 {2}what does not come apart is larger than a binding/,
    );
    small.destroy();
  });

  it('says what is wrong with a state', async () => {
    const input = tokens(cases['one chunk'], 0, 1);
    const state = { ...emptyState(gpu, input), lse: upload(gpu, [1, 2]) };
    await expect(prefill(gpu, input, state)).rejects.toThrow('state.lse must hold [B,G,M] = [1,2,12], has 2 numbers');
    expect(input.N).toBe(1);
  });
});
