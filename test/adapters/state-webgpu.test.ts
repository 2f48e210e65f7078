/** A decoder with a state on WebGPU and on wasm: linear heads, and exact ones whose keys are kept, in the pieces of a stream. */
import { expect, test } from 'vitest';
import { linearize } from '../../src/linearize.js';
import { close, expectMutantFails } from '../close.js';
import { noDevice } from '../kernels/device.js';
import { ort, readFile } from './ort-webgpu.js';

type Tensors = Record<string, InstanceType<typeof ort.Tensor>>;

const [layers, kvHeads, headDim] = [2, 2, 8];
const names = Array.from({ length: layers }, (_, i) => [
  `past_key_values.${i}.key`,
  `past_key_values.${i}.value`,
]).flat();
const wide = 'hybrid-causal:window=128,globals=0,sinks=0,codes=0';
const ends = [9, 10, 34];

/** Logits of a text in its pieces. */
async function logits(bytes: Uint8Array, provider: 'webgpu' | 'wasm'): Promise<Float32Array> {
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
