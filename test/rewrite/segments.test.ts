/**
 * Models cut at their attention, the kernels between the segments being the oracle: what crosses the cuts, and what kernels are told, must be
 * all that there is to know. On a device the same is asked in test/adapters/splice.test.ts.
 */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { readTensor } from '../../src/onnx/tensor.js';
import { placeKernels } from '../../src/rewrite/place-kernels.js';
import { cutAtKernels, type KernelCall, type Segmented } from '../../src/rewrite/segments.js';
import { attentionModel } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { manifestOf } from '../graphs-manifest.js';
import { softmaxAttention } from '../oracle/attention.js';
import { graphFile } from '../shared.js';

interface Case {
  readonly file: string;
  readonly io: string;
  readonly dtype: string;
  readonly externalData?: string;
}
interface Saved {
  readonly type: string;
  readonly dims: number[];
  readonly data: (number | string)[];
}
const cases = manifestOf<Case>().filter(({ dtype, externalData }) => dtype === 'float32' && !externalData);
const splice = placeKernels(() => ({ as: 'splice', why: 'as asked' }));

async function cut(bytes: Uint8Array): Promise<Segmented> {
  const segmented = cutAtKernels(openModel(decode(bytes)));
  if ('uncut' in segmented) throw new Error(segmented.uncut);
  return segmented;
}

type Values = Map<string, Tensor>;

/** Every value that crosses a cut, and the outputs. `attend` is what kernels do. */
async function runSegments(
  { segments }: Segmented,
  feeds: Values,
  attend: (call: KernelCall, values: Values) => Tensor,
) {
  const values = new Map(feeds);
  for (const { model, inputs, outputs, calls } of segments) {
    if (outputs.length > 0) {
      const session = await InferenceSession.create(concat(encode(model)), { logSeverityLevel: 3 });
      const given = inputs.map((name) => [name, values.get(name)] as const);
      const made = await session.run(
        Object.fromEntries(given.filter(([, tensor]) => tensor)) as Record<string, Tensor>,
      );
      for (const { name } of outputs) values.set(name, made[name]);
      await session.release();
    }
    for (const call of calls) values.set(call.output, attend(call, values));
  }
  return values;
}

const numbers = (tensor: Tensor | undefined) => Float64Array.from(tensor?.data as Float32Array);

/** `Attend` by its definition. */
function attendBy({ q, k, v, keyBias, attributes }: KernelCall, values: Values, scale = attributes.scale): Tensor {
  const [queries, keys, means] = [q, k, v].map((name) => values.get(name)) as Tensor[];
  const [B, G, S, D] = keys.dims;
  const [, H, N] = queries.dims;
  const E = means.dims[3];
  const perHead = (tensor: Tensor, width: number) =>
    Float64Array.from({ length: B * H * S * width }, (_, at) => {
      const [row, unit] = [at % (S * width), Math.floor(at / (S * width))];
      const head = Math.floor(((unit % H) * G) / H);
      return Number((tensor.data as Float32Array)[(Math.floor(unit / H) * G + head) * S * width + row]);
    });
  const { causal, before = Number.POSITIVE_INFINITY, after = Number.POSITIVE_INFINITY } = attributes;
  const bias = Float64Array.from({ length: H * N * S }, (_, at) => {
    const distance = (at % S) - (Math.floor(at / S) % N) - (S - N);
    return (causal && distance > 0) || distance > after || -distance > before ? -Infinity : 0;
  });
  const weights = keyBias === undefined ? undefined : numbers(values.get(keyBias));
  const hidden = weights && Float64Array.from({ length: B * S }, (_, at) => weights[at % weights.length]);
  const out = softmaxAttention({
    ...{ B, H, N, S, D, E, scale, bias },
    q: Float64Array.from({ length: B * H * N * D }, (_, at) => numbers(queries)[at % queries.size]),
    k: perHead(keys, D),
    v: perHead(means, E),
    keyBias: hidden?.map((value) => (value < -1e30 ? -Infinity : value)),
  });
  return new Tensor('float32', Float32Array.from(out), [B, H, N, E]);
}

function feedsOf(file: string): Values {
  const { inputs }: { inputs: Record<string, Saved> } = JSON.parse(readFileSync(graphFile(file), 'utf8'));
  return new Map(
    Object.entries(inputs).map(([name, { type, dims, data }]): [string, Tensor] => {
      if (type === 'int64') return [name, new Tensor('int64', BigInt64Array.from(data, BigInt), dims)];
      if (type === 'bool') return [name, new Tensor('bool', Uint8Array.from(data, Number), dims)];
      return [name, new Tensor('float32', Float32Array.from(data, Number), dims)];
    }),
  );
}

describe('a model cut at its attention', () => {
  it.each(cases.map((entry) => [entry.file, entry] as const))('%s', async (file, { io }) => {
    const bytes = readFileSync(graphFile(file));
    const { bytes: spliced, report } = await linearize(bytes, { plan: 'exact', place: splice });
    const segmented = await cut(spliced);
    const calls = segmented.segments.flatMap((segment) => segment.calls);
    expect(calls).toHaveLength(report.sites.filter(({ placement }) => placement?.as === 'splice').length);
    for (const { placement } of report.sites) expect(placement?.why).not.toBe('');
    if (calls.length === 0) return;
    const feeds = feedsOf(io);
    const original = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
    const want = await original.run(Object.fromEntries(feeds));
    const got = await runSegments(segmented, feeds, attendBy);
    const wrong = await runSegments(segmented, feeds, (call, values) =>
      attendBy(call, values, 1.5 * call.attributes.scale),
    );
    for (const name of original.outputNames) {
      if (want[name].size === 0 || want[name].type !== 'float32') continue;
      close(numbers(got.get(name)), numbers(want[name]), 1e-5);
    }
    expectMutantFails(() => {
      for (const name of original.outputNames) close(numbers(wrong.get(name)), numbers(want[name]), 1e-5);
    });
    await original.release();
  });

  it('has each weight in the segments that read it, and no other', async () => {
    const bytes = readFileSync(graphFile('bert.optimum-eager.onnx'));
    const { bytes: spliced } = await linearize(bytes, { plan: 'exact', place: splice });
    const { segments } = await cut(spliced);
    const large = segments.flatMap(({ model }) =>
      (model.graph?.initializer ?? []).map(readTensor).filter(({ raw }) => (raw?.byteLength ?? 0) > 1024),
    );
    expect(new Set(large.map(({ name }) => name)).size).toBe(large.length);
    expect(segments).toHaveLength(1 + inspect(bytes).sites.length);
  });

  it('whose inputs are the operands of the kernel has nothing to run before it', async () => {
    const model = attentionModel({ heads: 2, headDim: 8, self: true });
    const { bytes } = await linearize(model, { plan: 'window', place: splice });
    const { segments } = await cut(bytes);
    expect(segments.map(({ outputs, calls }) => [outputs.length, calls.length])).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect(segments[0].calls[0]).toMatchObject({
      operator: 'HybridAttention',
      ...{ q: 'q', k: 'k', v: 'v' },
      // The first four keys, as a list.
      constants: [undefined, undefined, undefined, Float32Array.of(0, 1, 2, 3)],
      attributes: { block: 32, window: 64, globals: 0, sinks: 0, codes: 0 },
    });
  });

  it('stays in the graph where no kernel serves its plan, and says why', async () => {
    const model = attentionModel({ heads: 2, headDim: 8, self: true });
    const { report, bytes } = await linearize(model, { plan: 'signed', place: splice });
    expect(report.sites[0].placement).toEqual({ as: 'in-graph', why: 'no kernel serves the plan signed' });
    expect((await cut(bytes)).segments).toHaveLength(1);
  });
});
