import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { fusedModel, type Input } from '../fused-model.js';
import { graphFile, modelFile, noModels } from '../shared.js';

const vit = new URL('../../models/vit-s14-saliency/onnx/model.onnx', import.meta.url).pathname;
const open = (path: string) => openModel(decode(new Uint8Array(readFileSync(path))));
const graph = (name: string) => graphFile(`${name}.onnx`);

function shapes(path: string, tokens: number, batch = 1): Record<string, string> {
  const { feeds } = generateInputs(open(path), { tokens, batch });
  return Object.fromEntries(Object.entries(feeds).map(([name, { type, dims }]) => [name, `${type} ${dims.join('×')}`]));
}

describe('sizes', () => {
  test('text', () => {
    expect(shapes(graph('bert.optimum-eager'), 9, 2)).toMatchInlineSnapshot(`
      {
        "attention_mask": "int64 2×9",
        "input_ids": "int64 2×9",
        "token_type_ids": "int64 2×9",
      }
    `);
  });

  test('a decoder begins with an empty cache', () => {
    expect(shapes(graph('gpt2.optimum-sdpa-past'), 9, 2)).toMatchInlineSnapshot(`
      {
        "attention_mask": "int64 2×9",
        "input_ids": "int64 2×9",
        "past_key_values.0.key": "float32 2×4×0×8",
        "past_key_values.0.value": "float32 2×4×0×8",
        "past_key_values.1.key": "float32 2×4×0×8",
        "past_key_values.1.value": "float32 2×4×0×8",
        "position_ids": "int64 2×9",
      }
    `);
  });

  test('names that say nothing are told by their place', () => {
    expect(shapes(graph('llama.dynamo18-sdpa-past'), 9, 2)).toMatchInlineSnapshot(`
      {
        "attention_mask": "int64 2×9",
        "input_ids": "int64 2×9",
        "past_key_values.0.key": "float32 2×2×0×8",
        "past_key_values.0.value": "float32 2×2×0×8",
        "past_key_values.1.key": "float32 2×2×0×8",
        "past_key_values.1.value": "float32 2×2×0×8",
        "position_ids": "int64 2×9",
      }
    `);
  });

  test('both sides of a decoder with an encoder', () => {
    expect(shapes(graph('whisper-decoder-merged.optimum-eager'), 9)).toMatchInlineSnapshot(`
      {
        "encoder_hidden_states": "float32 1×12×32",
        "input_ids": "int64 1×9",
        "past_key_values.0.decoder.key": "float32 1×4×0×8",
        "past_key_values.0.decoder.value": "float32 1×4×0×8",
        "past_key_values.0.encoder.key": "float32 1×4×12×8",
        "past_key_values.0.encoder.value": "float32 1×4×12×8",
        "past_key_values.1.decoder.key": "float32 1×4×0×8",
        "past_key_values.1.decoder.value": "float32 1×4×0×8",
        "past_key_values.1.encoder.key": "float32 1×4×12×8",
        "past_key_values.1.encoder.value": "float32 1×4×12×8",
        "use_cache_branch": "bool 1",
      }
    `);
  });

  test('pictures: a square of patches', () => {
    expect(generateInputs(open(vit), { tokens: 1024 })).toMatchObject({
      tokens: 1024,
      feeds: { pixel_values: { type: 'float32', dims: [1, 3, 448, 448] } },
    });
  });

  test('pictures whose position table allows one size', () => {
    expect(generateInputs(open(graph('vit.optimum-eager')), { tokens: 900 }).tokens).toBe(16);
  });

  test.skipIf(noModels)('a signal: as many samples as its convolutions need', () => {
    const moonshine = modelFile('moonshine-tiny/onnx/encoder_model.onnx');
    expect(generateInputs(open(moonshine), { tokens: 40 }).tokens).toBe(40);
    expect(shapes(moonshine, 40)).toMatchInlineSnapshot(`
      {
        "input_values": "float32 1×15871",
      }
    `);
  });
});

describe('a past', () => {
  const sized = (name: string, options: Parameters<typeof generateInputs>[1]) => {
    const { feeds, ...rest } = generateInputs(open(graph(name)), options);
    const dims = Object.fromEntries(Object.entries(feeds).map(([input, { dims }]) => [input, dims.join('×')]));
    const values = (input: string) => Array.from(feeds[input]?.data ?? [], Number);
    return { ...rest, dims, values };
  };

  test('the mask covers the cache, whatever its size is called', () => {
    for (const name of [
      'llama.optimum-sdpa-past',
      'llama.dynamo23-sdpa-past',
      'llama.genai-mha',
      'gpt2-merged.optimum13',
    ]) {
      const { dims, past } = sized(name, { tokens: 3, batch: 2, past: 5 });
      expect(past, name).toBe(5);
      expect(dims, name).toMatchObject({ input_ids: '2×3', attention_mask: '2×8' });
      expect(dims['past_key_values.1.value'], name).toMatch(/^2×[24]×5×/);
    }
  });

  test('positions count on from the cache, and skip padding on the left', () => {
    const right = sized('llama.optimum-sdpa-past', { tokens: 3, batch: 2, past: 3 });
    expect(right.values('position_ids')).toEqual([3, 4, 5, 3, 4, 5]);
    expect(right.values('attention_mask')).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    const left = sized('llama.optimum-sdpa-past', { tokens: 3, batch: 2, past: 3, padding: 'left' });
    expect(left.values('position_ids')).toEqual([3, 4, 5, 1, 2, 3]);
    expect(left.values('attention_mask')).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]);
  });

  test('a merged decoder takes the branch for it', () => {
    const flag = (past: number) =>
      sized('whisper-decoder-merged.optimum-eager', { tokens: 1, past }).values('use_cache_branch');
    expect([flag(0), flag(4)]).toEqual([[0], [1]]);
  });

  test('GroupQueryAttention: no padded prompts, no batch of chunks, steps padded on the right', () => {
    const prompt = sized('llama.genai-gqa', { tokens: 4, batch: 2, padding: 'left' });
    expect(prompt).toMatchObject({ batch: 2, padding: undefined });
    expect(prompt.values('attention_mask')).toEqual(new Array(8).fill(1));
    expect(sized('llama.genai-gqa', { tokens: 4, batch: 2, past: 2 }).batch).toBe(1);
    const step = sized('llama.genai-gqa', { tokens: 1, batch: 2, past: 2, padding: 'left' });
    expect(step).toMatchObject({ batch: 2, padding: 'right' });
    expect(step.values('attention_mask')).toEqual([1, 1, 1, 1, 1, 0]);
  });

  test('lengths that are inputs themselves', () => {
    const lengths: Input[] = [
      { dims: ['B'], type: 'int32' },
      { dims: [], type: 'int32' },
    ];
    const parts: Input[] = [{ dims: ['B', 'N', 32] }, { dims: ['B', 'N', 32] }, { dims: ['B', 'N', 32] }];
    const cache: Input[] = [{ dims: ['B', 2, 'P', 16] }, { dims: ['B', 2, 'P', 16] }];
    const bytes = fusedModel({
      op: 'GroupQueryAttention',
      domain: 'com.microsoft',
      inputs: [...parts, ...cache, ...lengths],
      outputs: 3,
      attributes: { num_heads: 2, kv_num_heads: 2 },
    });
    const { feeds } = generateInputs(openModel(decode(bytes)), { tokens: 1, batch: 2 });
    expect([feeds.input5?.data, feeds.input6?.data]).toEqual([Int32Array.of(0, 0), Int32Array.of(1)]);
  });
});

describe('values', () => {
  test('what an encoder has read is filled on the right, where a decoder is on the left', () => {
    const model = open(graph('t5-decoder-merged.optimum-eager'));
    const { feeds } = generateInputs(model, { tokens: 6, batch: 2, padding: 'left' });
    expect(Array.from(feeds.encoder_attention_mask?.data as BigInt64Array, Number)).toEqual([
      ...new Array(15).fill(1),
      0,
      0,
      0,
    ]);
  });

  const { feeds } = generateInputs(open(graph('bert.optimum-eager')), { tokens: 9, batch: 2 });

  test('ids lie within the table, and are not all the same', () => {
    const ids = Array.from(feeds.input_ids.data, Number);
    expect(Math.min(...ids)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...ids)).toBeLessThan(64);
    expect(new Set(ids).size).toBeGreaterThan(5);
  });

  test('the second row ends with padding', () => {
    expect(Array.from(feeds.attention_mask.data, Number)).toEqual([
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0,
    ]);
  });

  test('the same seed gives the same values, another seed others', () => {
    const model = open(graph('bert.optimum-eager'));
    const again = (seed: number) => generateInputs(model, { tokens: 9, batch: 2, seed }).feeds.input_ids.data;
    expect(again(0)).toEqual(feeds.input_ids.data);
    expect(again(1)).not.toEqual(feeds.input_ids.data);
  });

  test('pictures are N(0, 1)', () => {
    const data = Array.from(generateInputs(open(vit), { tokens: 256 }).feeds.pixel_values.data, Number);
    const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
    const variance = data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length;
    // 150,528 draws: six standard errors.
    expect(Math.abs(mean)).toBeLessThan(6 / Math.sqrt(data.length));
    expect(Math.abs(variance - 1)).toBeLessThan(6 * Math.sqrt(2 / data.length));
  });
});

/** One token, a prime, a padded batch: what a graph itself cannot run is listed. */
const cannot: Record<string, readonly string[]> = {
  // Keys are made by a convolution of stride 8 behind one of stride 4.
  'segformer.optimum-eager': ['1×1'],
  // Windows of 4 × 4 patches, no remainder.
  'swin.optimum-eager': ['1×1'],
  // Traced with 13 tokens.
  'nn-transformer-encoder.torchscript14': ['1×1', '1×17'],
  // Its mask is a prompt's triangle, or one row.
  'llama.genai-mha': ['1×5+3'],
};
const manifest: { file: string }[] = JSON.parse(readFileSync(graphFile('manifest.json'), 'utf8'));

test.each(manifest.map(({ file }) => file.replace('.onnx', '')))('%s runs on what is made for it', async (name) => {
  const model = open(graph(name));
  const createSession = await nodeSessions('node', graph(name));
  const session = await createSession(new Uint8Array(readFileSync(graph(name))));
  const failed: string[] = [];
  for (const [batch, tokens, past] of [
    [1, 1, 0],
    [1, 17, 0],
    [2, 13, 0],
    [1, 1, 5],
    [2, 1, 5],
    [1, 3, 5],
  ]) {
    const made = generateInputs(model, { tokens, batch, past });
    if (made.past !== past) continue;
    await session.run(made.feeds).catch(() => failed.push(`${batch}×${past ? `${past}+` : ''}${tokens}`));
  }
  await session.release();
  expect(failed).toEqual(cannot[name] ?? []);
});
