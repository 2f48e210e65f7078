/** Corrections of weights in real exports: what they compute, where they hold, and that they can be undone. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { lastMlpProduct } from '../../src/calibrate/heal/mlp-product.js';
import { gaussians } from '../../src/features/rng.js';
import { linearize, restore } from '../../src/linearize.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { inferShapes } from '../../src/onnx/shapes.js';
import { readTensor, writeTensor } from '../../src/onnx/tensor.js';
import { assignPlans } from '../../src/rewrite/assign-plans.js';
import { findAttention } from '../../src/rewrite/find.js';
import { type Correction, readPlan } from '../../src/rewrite/plan.js';
import { savePlan } from '../../src/rewrite/saved-plan.js';
import type { Feeds } from '../../src/session.js';
import { close, expectMutantFails } from '../close.js';
import { graphFile } from '../shared.js';

const createSession = sessionFactory(ort);
const open = (name: string) => {
  const bytes = new Uint8Array(readFileSync(graphFile(name)));
  const model = openModel(decode(bytes));
  return { bytes, model, sites: findAttention(model).sites };
};

function found(name: string): string[] {
  const { model, sites } = open(name);
  const scope = { graph: model.graph, shapes: inferShapes(model) };
  return sites.map((site) => {
    const product = lastMlpProduct(scope, site);
    return 'refused' in product ? product.refused : `${product.value} [${product.rows},${product.columns}]`;
  });
}

describe('the last matrix of an MLP', () => {
  it.each([
    ['bert.optimum-eager.onnx', /layer\.\d\/output\/dense\/MatMul_output_0 \[12,32\]/],
    ['bert.dynamo23-sdpa.onnx', /^val_\d+ \[12,32\]/],
    ['bert.torchscript15-constants.onnx', /\[12,32\]/],
    ['vit.optimum-eager.onnx', /layer\.\d\/output\/dense\/MatMul_output_0 \[12,32\]/],
    ['vit.ort-fused.onnx', /\/output\/dense\/MatMul_output_0 \[12,32\]/],
    ['llama.optimum-sdpa-past.onnx', /mlp\/down_proj\/MatMul_output_0 \[12,32\]/],
    ['llama.genai-gqa.onnx', /mlp\/down_proj\/MatMul\/output_0 \[48,32\]/],
    ['gpt2.optimum-sdpa-past.onnx', /mlp\/c_proj\/Gemm_output_0/],
    ['whisper-encoder.optimum-eager.onnx', /fc2\/MatMul_output_0 \[12,32\]/],
    ['segformer.optimum-eager.onnx', /mlp\/dense2\/MatMul_output_0 \[(32,16|64,32)\]/],
  ])('is found in %s', (name, expected) => {
    const all = found(name);
    expect(all.length).toBeGreaterThan(0);
    for (const one of all) expect(one).toMatch(expected);
  });

  it.each([
    ['nanogpt.dynamo23-is-causal.onnx', 'no sum of the stream and what a constant matrix made of it follows'],
    ['bert.optimum-eager.int8.onnx', 'what attention gives goes into DynamicQuantizeLinear, no residual sum'],
    ['whisper-decoder-merged.optimum-eager.onnx', 'it lies in the subgraph'],
    ['llama.genai-gqa-int4.onnx', 'is computed by MatMulNBits, no MatMul or Gemm'],
  ])('is refused with the reason in %s', (name, reason) => {
    for (const one of found(name)) expect(one).toContain(reason);
  });
});

/** A plan that corrects one product by a random matrix of rank 2 and a bias. */
function corrected(name: string, change: Partial<Correction> = {}, exactUpTo?: number) {
  const { bytes, model, sites } = open(name);
  const product = lastMlpProduct({ graph: model.graph, shapes: inferShapes(model) }, sites[0]);
  if ('refused' in product) throw new Error(product.refused);
  const normal = gaussians(7);
  const draw = (length: number) => Float32Array.from({ length }, () => 0.1 * normal());
  const { rows, columns, value, weight, transposed } = product;
  const correction = {
    product: value,
    rank: 2,
    down: draw(2 * rows),
    up: draw(2 * columns),
    bias: draw(columns),
    ...change,
  };
  const [first, ...rest] = assignPlans(sites, () => readPlan('exact'));
  const saved = savePlan([{ ...first, corrections: [correction], ...(exactUpTo && { exactUpTo }) }, ...rest]);
  return { bytes, model, saved: JSON.parse(JSON.stringify(saved)), correction, weight, transposed, rows, columns };
}

/** The same model with the weight itself changed, and no bias. */
function changedByHand({
  bytes,
  correction,
  weight,
  transposed,
  rows,
  columns,
}: ReturnType<typeof corrected>): Uint8Array {
  const proto = decode(bytes);
  const initializer = proto.graph?.initializer.map((each) => {
    const { name, raw, dims, dataType } = readTensor(each);
    if (name !== weight || !raw) return each;
    const data = new Float32Array(raw.slice().buffer);
    for (let k = 0; k < rows; k++)
      for (let m = 0; m < columns; m++)
        for (let r = 0; r < 2; r++)
          data[transposed ? m * rows + k : k * columns + m] +=
            correction.down[k * 2 + r] * correction.up[r * columns + m];
    return writeTensor({ name, dataType, dims, raw: new Uint8Array(data.buffer) });
  });
  if (!proto.graph || !initializer) throw new Error('no graph');
  return concat(encode({ ...proto, graph: { ...proto.graph, initializer } }));
}

async function answer(bytes: Uint8Array, feeds: Feeds): Promise<Float32Array> {
  const session = await createSession(bytes);
  try {
    return (await session.run(feeds))[session.outputNames[0]].data as Float32Array;
  } finally {
    await session.release();
  }
}

describe('a correction', () => {
  const models = [
    'bert.optimum-eager.onnx',
    'vit.optimum-eager.onnx',
    'gpt2.optimum-sdpa-past.onnx',
    'vit.ort-fused.onnx',
  ];

  it.each(models)('is the weight with the product of its factors added: %s', async (name) => {
    const given = corrected(name, { bias: new Float32Array(32) });
    const { feeds } = generateInputs(given.model, { tokens: 12 });
    const got = await answer((await linearize(given.bytes, { saved: given.saved })).bytes, feeds);
    const want = Float64Array.from(await answer(changedByHand(given), feeds));
    close(got, want, 5e-6);
    const twice = { ...given, correction: { ...given.correction, up: given.correction.up.map((x) => 1.01 * x) } };
    const mutant = Float64Array.from(await answer(changedByHand(twice), feeds));
    expectMutantFails(() => close(got, mutant, 5e-6));
  });

  it.each(models)('is undone byte for byte, and is the same bytes twice: %s', async (name) => {
    const { bytes, saved } = corrected(name);
    const { bytes: healed, report } = await linearize(bytes, { saved });
    expect(Buffer.compare(restore(healed, report), bytes)).toBe(0);
    expect(Buffer.compare((await linearize(bytes, { saved })).bytes, healed)).toBe(0);
    expect(report.sites[0].healed).toMatchObject([{ how: expect.stringContaining('kept, and a matrix of rank 2') }]);
  });

  it('does not hold where the input is attended exactly', async () => {
    const { bytes, saved, model } = corrected('bert.optimum-eager.onnx', {}, 16);
    const { bytes: healed } = await linearize(bytes, { saved });
    const at = async (tokens: number, file: Uint8Array) => answer(file, generateInputs(model, { tokens }).feeds);
    close(await at(16, healed), Float64Array.from(await at(16, bytes)), 5e-6);
    const long = Float64Array.from(await at(17, bytes));
    const got = await at(17, healed);
    expectMutantFails(() => close(got, long, 5e-6));
  });

  it('of what the model has not, or that does not fit, is refused', async () => {
    const other = corrected('bert.optimum-eager.onnx', { product: 'nowhere' });
    await expect(linearize(other.bytes, { saved: other.saved })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF502  the plan was made for another model: the main graph computes no value nowhere
        at   plan
        mend calibrate this model: performers linearize MODEL -o OUT --budget 176 --data FILE]
    `);
    const short = corrected('bert.optimum-eager.onnx', { rank: 3 });
    await expect(linearize(short.bytes, { saved: short.saved })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  the correction of /encoder/layer.0/output/dense/MatMul_output_0 does not fit its weight [12,32]
        at   plan
        mend restore the file, or calibrate again]
    `);
    const damaged = corrected('bert.optimum-eager.onnx', { up: Float32Array.of(Number.NaN) });
    await expect(linearize(damaged.bytes, { saved: damaged.saved })).rejects.toThrow(
      /PF202.*correction of .* damaged/s,
    );
  });
});
