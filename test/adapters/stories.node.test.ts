/** The language model that ships: what its file is made of, and that unmodified transformers.js generates with it. */
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor as LibraryTensor, pipeline } from '@huggingface/transformers';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import manifest from '../../models/manifest.json' with { type: 'json' };
import { linearize, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { findAttention } from '../../src/rewrite/find.js';
import { close, expectMutantFails } from '../close.js';

const name = 'performer-stories';
const models = fileURLToPath(new URL('../../models/', import.meta.url));
const read = (file: string) => new Uint8Array(readFileSync(`${models}${name}/${file}`));
const readJson = (file: string) => JSON.parse(new TextDecoder().decode(read(file)));
const bytes = read('onnx/model.onnx');
const prompt = 'Once upon a time, there was a little girl named Lily.';

Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: models });
const options = { dtype: 'fp32', device: 'cpu', local_files_only: true } as const;
const open = (model: Uint8Array) =>
  InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 });

interface Reading {
  /** Of the first token, default 0. */
  readonly first?: number;
  /** Where calls end. */
  readonly ends?: readonly number[];
}

/** Logits [tokens · vocabulary] of a text, and the sizes of the state after each call. */
async function logitsOf(
  session: InferenceSession,
  ids: readonly bigint[],
  { first = 0, ends = [ids.length] }: Reading = {},
) {
  const { num_hidden_layers: layers, num_attention_heads: heads, head_dim: width } = readJson('config.json');
  const empty = () => new Tensor('float32', new Float32Array(), [1, heads, 0, width]);
  const names = Array.from({ length: layers }, (_, i) => [
    `past_key_values.${i}.key`,
    `past_key_values.${i}.value`,
  ]).flat();
  let past: Record<string, Tensor> = Object.fromEntries(names.map((past) => [past, empty()]));
  const int64 = (data: readonly bigint[]) => new Tensor('int64', BigInt64Array.from(data), [1, data.length]);
  const logits: Float32Array[] = [];
  const sizes: number[][][] = [];
  let from = 0;
  for (const to of ends) {
    const outputs = await session.run({
      input_ids: int64(ids.slice(from, to)),
      attention_mask: int64(Array.from({ length: to }, () => 1n)),
      position_ids: int64(Array.from({ length: to - from }, (_, i) => BigInt(first + from + i))),
      ...past,
    });
    logits.push(outputs.logits.data as Float32Array);
    past = Object.fromEntries(names.map((past) => [past, outputs[past.replace('past_key_values', 'present')]]));
    sizes.push(Object.values(past).map(({ dims }) => [...dims]));
    from = to;
  }
  return { logits: Float32Array.from(logits.flatMap((part) => [...part])), sizes };
}

async function encode(text: string): Promise<bigint[]> {
  const tokenizer = await AutoTokenizer.from_pretrained(name, { local_files_only: true });
  return Array.from(tokenizer(text).input_ids.data as BigInt64Array);
}

/** Mean nats of the tokens of a text but the first. */
async function lossOf(session: InferenceSession, ids: readonly bigint[]): Promise<number> {
  const { logits } = await logitsOf(session, ids);
  const size = logits.length / ids.length;
  const nats = ids.slice(1).map((id, i) => {
    const row = logits.subarray(i * size, (i + 1) * size);
    const most = row.reduce((a, b) => Math.max(a, b));
    return most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - row[Number(id)];
  });
  return nats.reduce((a, b) => a + b, 0) / nats.length;
}

describe('the file', () => {
  test('is what linearize() makes of its softmax form and the saved plan', async () => {
    const original = restore(bytes, readJson('onnx/model.performers.json'));
    const { sites } = findAttention(openModel(decode(original)));
    const expected = manifest.models.find((model) => model.name === name)?.sites ?? [];
    expect(sites).toMatchObject(expected.map((site) => ({ ...site, scale: expect.closeTo(site.scale, 6) })));
    const again = await linearize(original, { saved: readJson('features.plan.json') });
    expect(Buffer.compare(again.bytes, bytes)).toBe(0);
    expect(again.report.sites.map(({ cache }) => cache?.perToken)).toEqual(sites.map(() => 0));
  });

  test('cuts the new tokens out of the mask before it computes on it: a token costs no more in a longer text', () => {
    const { graph } = decode(bytes);
    const readers = (value: string) => graph?.node.filter((node) => node.input.includes(value)) ?? [];
    const [reshape, ...more] = readers('attention_mask');
    expect([reshape.opType, more]).toEqual(['Reshape', []]);
    expect(readers(reshape.output[0]).map(({ opType }) => opType)).toEqual(['Slice']);
  });

  test('and all that ships with it is 3 MB at most', () => {
    const files = manifest.models.find((model) => model.name === name)?.files ?? [];
    expect(files.reduce((sum, file) => sum + file.bytes, 0)).toBeLessThanOrEqual(3e6);
  });
});

describe('the model', () => {
  const ids = encode(Array.from({ length: 12 }, () => prompt).join(' '));

  test('gives the same in one call, in pieces and token by token, with a state that does not grow', async () => {
    const text = await ids;
    const session = await open(bytes);
    const whole = Float64Array.from((await logitsOf(session, text)).logits);
    const each = Array.from({ length: text.length }, (_, i) => i + 1);
    for (const ends of [[70, 71, 72, text.length], each]) {
      const { logits, sizes } = await logitsOf(session, text, { ends });
      close(logits, whole, 5e-6);
      const states = sizes.map((dims) => dims.filter((_, i) => i % 2 === 1).join(' '));
      expect(new Set(states).size).toBe(1);
      expect(sizes.map(([carrier]) => carrier)).toEqual(ends.map((end) => [1, 1, end, 0]));
    }
    await session.release();
  });

  test('does not depend on where a text begins: positions are relative, and end nowhere', async () => {
    const text = await ids;
    const session = await open(bytes);
    const { logits } = await logitsOf(session, text);
    const want = Float64Array.from(logits);
    close((await logitsOf(session, text, { first: 65536 })).logits, want, 1e-3);
    const shuffled = text.map((_, i) => text[(7 * i) % text.length]);
    const other = (await logitsOf(session, shuffled)).logits;
    expectMutantFails(() => close(other, want, 1e-3));
    await session.release();
  });

  test('has learned to read: a story surprises it less than its words in another order', async () => {
    const session = await open(bytes);
    const [story, shuffled] = await Promise.all([
      encode(`${prompt} She liked to play in the park with her mom.`),
      encode('Lily little park named. there was in a play a Once, upon time with girl She mom. the to her liked'),
    ]);
    const { vocab_size: vocabulary } = readJson('config.json');
    const loss = await lossOf(session, story);
    expect(loss).toBeLessThan(0.5 * Math.log(vocabulary));
    expect(await lossOf(session, shuffled)).toBeGreaterThan(1.3 * loss);
    await session.release();
  });
});

describe('transformers.js, unmodified', () => {
  test('pipeline("text-generation") goes on with a story, greedily as the logits of one call say', async () => {
    const generate = await pipeline('text-generation', name, options);
    const { model, tokenizer } = generate;
    const rules = { max_new_tokens: 100, do_sample: false };
    const [{ generated_text: text }] = (await generate(prompt, rules)) as { generated_text: string }[];
    expect(text.startsWith(prompt)).toBe(true);
    expect(new Set(text.slice(prompt.length).split(' ')).size).toBeGreaterThan(10);

    const inputs = tokenizer(prompt);
    const sequence = (await model.generate({ ...inputs, ...rules })) as LibraryTensor;
    const ids = Array.from(sequence.data as BigInt64Array);
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe(text);
    await generate.dispose();
    const session = await open(bytes);
    const { logits } = await logitsOf(session, ids);
    const size = logits.length / ids.length;
    const greedy = ids.map((_, i) => {
      const row = logits.subarray(i * size, (i + 1) * size);
      return BigInt(row.indexOf(row.reduce((a, b) => Math.max(a, b))));
    });
    const begun = inputs.input_ids.dims[1];
    expect(ids.length).toBeGreaterThan(begun + 20);
    expect(greedy.slice(begun - 1, -1)).toEqual(ids.slice(begun));
    await session.release();
  });

  test('generate(): the state after 300 tokens is of the size it was after 20', async () => {
    const model = await AutoModelForCausalLM.from_pretrained(name, options);
    const ids = await encode(prompt);
    const sizeAfter = async (more: number) => {
      const tensor = (data: bigint[]) => new LibraryTensor('int64', BigInt64Array.from(data), [1, data.length]);
      const output = (await model.generate({
        input_ids: tensor(ids),
        attention_mask: tensor(ids.map(() => 1n)),
        max_new_tokens: more,
        do_sample: true,
        eos_token_id: -1,
        return_dict_in_generate: true,
      })) as { past_key_values: Record<string, { dims: number[] }> };
      const dims = Object.values(output.past_key_values).map(({ dims }) => dims);
      return dims.reduce((sum, each) => sum + 4 * each.reduce((a, b) => a * b, 1), 0);
    };
    const few = await sizeAfter(20);
    expect(few).toBeGreaterThan(0);
    expect(await sizeAfter(300)).toBe(few);
    await model.dispose();
  });
});
