/** A decoder with a state on WebGPU and on wasm: linear heads, and exact ones whose keys are kept, in the pieces of a stream. */
import { expect, test } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { close, expectMutantFails } from '../close.js';
import { noDevice } from '../kernels/device.js';
import { drawnPlan } from './drawn-plan.js';
import { ort, readFile } from './ort-webgpu.js';

type Tensors = Record<string, InstanceType<typeof ort.Tensor>>;

const [layers, kvHeads, headDim] = [2, 2, 8];
const names = Array.from({ length: layers }, (_, i) => [
  `past_key_values.${i}.key`,
  `past_key_values.${i}.value`,
]).flat();
/** Plans with little behind their windows, whose blocks end in prefill and in a step. */
const evicting = [
  'hybrid-causal:window=32,globals=4,sinks=2,codes=3',
  'features-causal:window=32,m=4',
  'features-causal:window=0,m=4',
  'window-causal:window=8,sinks=4',
];
const wide = 'hybrid-causal:window=128,globals=0,sinks=0,codes=0';

/** Logits of a text in its pieces. */
async function logits(
  bytes: Uint8Array,
  provider: 'webgpu' | 'wasm',
  ends: readonly number[] = [9, 10, 34],
): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: [provider], logSeverityLevel: 3 });
  const int64 = (from: number, to: number, value: (place: number) => number) =>
    new ort.Tensor(
      'int64',
      BigInt64Array.from({ length: to - from }, (_, i) => BigInt(value(from + i))),
      [1, to - from],
    );
  let past: Tensors = Object.fromEntries(
    names.map((name) => [name, new ort.Tensor('float32', new Float32Array(), [1, kvHeads, 0, headDim])]),
  );
  const parts: number[] = [];
  let from = 0;
  for (const to of ends) {
    const all: Tensors = {
      input_ids: int64(from, to, (i) => (7 * i * i + 3 * i + 5) % 60),
      attention_mask: int64(0, to, () => 1),
      position_ids: int64(from, to, (i) => i),
      ...past,
    };
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, all[name]]));
    const outputs = (await session.run(feeds)) as Tensors;
    parts.push(...((await outputs.logits.getData()) as Float32Array));
    past = Object.fromEntries(names.map((name) => [name, outputs[name.replace('past_key_values', 'present')]]));
    from = to;
  }
  await session.release();
  return Float32Array.from(parts);
}

const bytes = await readFile('test/graphs/llama.optimum-sdpa-past.onnx');
const rules = [{ layers: [0, 1], heads: [0, 1, 3], plan: 'exact-blocked' }];

test.skipIf(noDevice).each(['wasm', 'webgpu'] as const)(
  'gives on %s what the original gives there, while its window holds everything',
  async (provider) => {
    const patched = await linearize(bytes, { plan: wide, rules });
    expect(patched.report.sites.every(({ cache }) => cache && cache.constant > 0 && cache.perToken > 0)).toBe(true);
    const want = await logits(bytes, provider);
    close(await logits(patched.bytes, provider), want, 1e-5);
    const narrow = await linearize(bytes, { plan: 'window-causal:window=8,sinks=0', rules });
    const other = await logits(narrow.bytes, provider);
    expectMutantFails(() => close(other, want, 1e-5));
  },
  300_000,
);

test.skipIf(noDevice).each(evicting)(
  'gives on webgpu what it gives on wasm: %s',
  async (plan) => {
    const [{ headDim }] = inspect(bytes).sites;
    const codebook = { query: headDim, 'keys3.weights': 3 * headDim, 'keys3.offsets': 3 };
    const options = plan.startsWith('hybrid') ? { saved: drawnPlan(bytes, plan, codebook) } : { plan };
    const patched = await linearize(bytes, options);
    const ends = [94, 95, 96, 97, 110];
    const want = await logits(patched.bytes, 'wasm', ends);
    // The original differs by 1.9e-4 between the two here.
    close(await logits(patched.bytes, 'webgpu', ends), want, 5e-4);
    const other = await logits(bytes, 'wasm', ends);
    expectMutantFails(() => close(other, want, 5e-4));
  },
  300_000,
);
