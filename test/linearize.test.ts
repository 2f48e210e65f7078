import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { sessionFactory } from '../src/adapters/onnxruntime.js';
import { PerformersError } from '../src/errors.js';
import * as surface from '../src/index.js';
import { inspect, type Linearized, linearize, restore } from '../src/linearize.js';
import { decode } from '../src/onnx/decode.js';
import { concat, encode } from '../src/onnx/encode.js';
import { allGraphs, captured, openModel } from '../src/onnx/graph.js';
import type { Feeds } from '../src/session.js';
import { graphFile } from './shared.js';

const bert = readFileSync(graphFile('bert.optimum-eager.onnx'));
const vit = readFileSync(graphFile('vit.optimum-eager.onnx'));
const merged = readFileSync(graphFile('bart-decoder-merged.optimum-eager.onnx'));

it('the public surface', () => {
  expect(Object.keys(surface).sort()).toMatchInlineSnapshot(`
    [
      "PerformersError",
      "compare",
      "compareOutputs",
      "correlation",
      "inspect",
      "linearize",
      "linearizeChunks",
      "restore",
    ]
  `);
});

describe('what is written', () => {
  it('the same model twice gives the same bytes', async () => {
    const [a, b] = [await linearize(bert, { plan: 'features' }), await linearize(bert, { plan: 'features' })];
    expect(Buffer.compare(a.bytes, b.bytes)).toBe(0);
  });
  it('metadata says what was done', async () => {
    const { bytes } = await linearize(bert, { plan: 'window', rules: [{ layers: 1, heads: [2], plan: 'exact' }] });
    const entry = decode(bytes).metadataProps.find(({ key }) => key === 'performers.plan');
    expect(JSON.parse(entry?.value ?? '')).toMatchInlineSnapshot(`
      [
        {
          "output": "/encoder/layer.0/attention/self/Softmax_output_0",
          "plans": [
            "window:window=64,globals=4",
          ],
        },
        {
          "output": "/encoder/layer.1/attention/self/Softmax_output_0",
          "plans": [
            {
              "heads": [
                0,
                1,
                3,
              ],
              "plan": "window:window=64,globals=4",
            },
            {
              "heads": [
                2,
              ],
              "plan": "exact",
            },
          ],
        },
      ]
    `);
  });
  it('a second rewriting finds what the first left, keeps what it says, and both are undone', async () => {
    const exact = { layers: 0, plan: 'exact' } as const;
    const once = await linearize(bert, { plan: 'window', rules: [exact] });
    const { sites, refusals } = inspect(once.bytes);
    expect(sites).toEqual([]);
    expect(refusals.map(({ output, reason }) => [output, reason])).toEqual([
      [
        '/encoder/layer.0/attention/self/Softmax_output_0',
        'it was rewritten by performers (exact): restore the model first to plan it anew',
      ],
      [
        '/encoder/layer.1/attention/self/Softmax_output_0',
        'it was rewritten by performers (window:window=64,globals=4): restore the model first to plan it anew',
      ],
    ]);
    const twice = await linearize(once.bytes, { plan: 'features' });
    expect(inspect(twice.bytes).refusals).toEqual(refusals);
    const back = restore(restore(twice.bytes, twice.report), once.report);
    expect(Buffer.compare(back, bert)).toBe(0);
  });
  it.each(['', '{}', 'null', '[1, null, {"output": 3}]', '[['])('metadata %j of somebody else say nothing', (value) => {
    const proto = decode(bert);
    const named = { ...proto, metadataProps: [{ key: 'performers.plan', value }] };
    expect(inspect(concat(encode(named)))).toEqual(inspect(bert));
  });
  it.each(['exact', 'exact-blocked', 'features', 'window'])('%s leaves no dead node behind', async (plan) => {
    const dead = (bytes: Uint8Array) => {
      const { graph } = openModel(decode(bytes));
      return graph.nodes.filter(({ output }) =>
        output.every((value) => !value || (!graph.isOutput(value) && graph.consumers(value).length === 0)),
      );
    };
    expect(dead((await linearize(vit, { plan })).bytes)).toEqual([]);
  });
  it('every value that is read is defined', async () => {
    for (const original of [bert, vit, merged]) {
      const { graph } = openModel(decode((await linearize(original, { plan: 'exact-blocked' })).bytes));
      for (const inner of allGraphs(graph)) if (!inner.outer) expect([...captured(inner)]).toEqual([]);
    }
  });
});

describe('undo', () => {
  it.each([
    ['bert', bert],
    ['vit', vit],
    ['a merged decoder, sites inside If', merged],
  ])('%s comes back byte for byte', async (_, original) => {
    for (const plan of ['exact', 'features:m=16', 'window']) {
      const { bytes, report } = await linearize(original, { plan });
      expect(report.sites.length).toBeGreaterThan(0);
      expect(Buffer.compare(bytes, original)).not.toBe(0);
      expect(Buffer.compare(restore(bytes, JSON.parse(JSON.stringify(report))), original)).toBe(0);
    }
  });
  it("another model's record is refused", async () => {
    const { report } = await linearize(bert, { plan: 'features' });
    const { bytes } = await linearize(vit, { plan: 'window' });
    expect(() => restore(bytes, report)).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF205  the undo record does not belong to this model
        at   undo
        mend pass the rewritten file together with the report that linearize returned for it]
    `);
    expect(() => restore(vit, report)).toThrowError(/^PF205/);
  });
});

describe('wrong plans', () => {
  it.each([
    ['unknown, with the near name', 'exact-bloked'],
    ['m = 0', 'features:m=0'],
    ['no such option', 'window:size=3'],
    ['no option=value', 'features:64'],
    ['an odd window', 'window:window=65'],
    ['a global twice', 'window:globals=1+1'],
    ['not a number', 'features:m=many'],
  ])('%s', async (_, plan) => {
    await expect(linearize(bert, { plan })).rejects.toThrowError(PerformersError);
    await expect(linearize(bert, { plan })).rejects.toThrowErrorMatchingSnapshot();
  });
  it('a layer or head the model does not have', async () => {
    await expect(
      linearize(bert, { plan: 'exact', rules: [{ layers: 2, plan: 'window' }] }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF203  no layer 2: the model has 2
        at   rules
        mend count from 0 to 1; performers inspect lists them]
    `);
    await expect(
      linearize(bert, { plan: 'exact', rules: [{ layers: 0, heads: [4], plan: 'window' }] }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF203  no head 4: layer 0 has 4
        at   rules
        mend count from 0 to 3; performers inspect lists them]
    `);
  });
  it('auto with nothing to measure on', async () => {
    await expect(linearize(bert, { plan: 'auto' })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF204  plan 'auto' measures, and has no sample input
        at   plan
        mend pass sample and createSession (performers.js/onnxruntime), or name a plan such as 'exact-blocked']
    `);
  });
});

describe('auto', () => {
  const ids = BigInt64Array.from({ length: 26 }, (_, i) => BigInt((i * 7) % 60));
  const sample: Feeds = {
    input_ids: { type: 'int64', dims: [1, 26], data: ids },
    attention_mask: { type: 'int64', dims: [1, 26], data: ids.map(() => 1n) },
    token_type_ids: { type: 'int64', dims: [1, 26], data: ids.map(() => 0n) },
  };
  const createSession = sessionFactory(ort);
  let generous: Linearized;
  beforeAll(async () => {
    generous = await linearize(bert, { sample, createSession, maxError: 0.5 });
  });
  it('keeps the cheapest plan under the error allowed, and reports what it measured', () => {
    expect(generous.report.sites.map(({ plans }) => plans[0]?.plan)).toEqual([
      'window:window=64,globals=4',
      'window:window=64,globals=4',
    ]);
    expect(generous.report.measured?.[0]?.relRMS).toBeLessThan(0.5);
  });
  it('is exact where nothing holds, and says why', async () => {
    const { report } = await linearize(bert, { sample, createSession, maxError: 1e-9 });
    for (const { plans, why } of report.sites) {
      expect(plans).toEqual([{ heads: [0, 1, 2, 3], plan: 'exact-blocked:block=256' }]);
      expect(why).toMatch(/^exact in linear memory: .* alone changes the output by/);
    }
  });
  it('rules given beside it win', async () => {
    const { report } = await linearize(bert, {
      plan: 'auto',
      sample,
      createSession,
      maxError: 0.5,
      rules: [{ layers: 1, plan: 'exact' }],
    });
    expect(report.sites[1]?.plans).toEqual([{ heads: [0, 1, 2, 3], plan: 'exact' }]);
  });
  it('tells how far it is', async () => {
    const seen: number[] = [];
    await linearize(bert, { sample, createSession, onProgress: ({ done, total }) => seen.push(done / total) });
    expect(seen.length).toBeGreaterThan(3);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBeLessThanOrEqual(1);
  });
});
