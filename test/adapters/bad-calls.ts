/** What a generate() can hand on wrongly to a decoder with a state: refused in the caller's words, the session usable afterwards. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { BackendRuntime } from '../../src/adapters/backend.js';
import { performers } from '../../src/adapters/transformers.node.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel, tensorOf } from '../../src/onnx/graph.js';
import { folder, generate, ids, type Library, load, readGraph, sitesOf } from './generate.js';

const plan = 'hybrid-causal:window=32,globals=0,sinks=0,codes=0';
const otherPlan = 'hybrid-causal:window=64,globals=0,sinks=0,codes=0';
const graph = 'llama.optimum-sdpa-past';
const positions = 48;

export function describeBadCalls(lib: Library, version: string, ort?: BackendRuntime): void {
  describe(`bad calls in transformers.js ${version}`, () => {
    beforeAll(() => {
      lib.env.logLevel = 50;
    });
    const open = (name: string, options: object = {}) =>
      load(lib, name, performers({ ...(ort && { ort }), device: 'cpu', plan, ...options }));
    const llama = () => {
      const bytes = readGraph(graph);
      return folder(`bad-${version}`, bytes, sitesOf(bytes)[0], { max_position_embeddings: positions });
    };

    test('a prompt beyond the table of positions, and an answer that reaches its end', async () => {
      const bytes = readGraph('gpt2.optimum-sdpa-past');
      const model = await open(folder(`bad-gpt2-${version}`, bytes, sitesOf(bytes)[0]));
      await expect(generate(lib, model, [ids(3, 33)], 1)).rejects.toThrow(
        /^PF304 {2}33 tokens are more than the 32 positions of the model\n {2}at {3}input_ids \[1,33\]\n {2}mend /,
      );
      await expect(generate(lib, model, [ids(3, 30)], 6)).rejects.toMatchObject({ code: 'PF304' });
      // Padding has no position.
      const { rows } = await generate(lib, model, [ids(3, 20), ids(5, 31)], 2);
      expect(rows.map(({ length }) => length)).toEqual([2, 2]);
    });

    test('a prompt beyond what the config says; an answer may go on', async () => {
      const model = await open(llama());
      await expect(generate(lib, model, [ids(3, positions + 1)], 1)).rejects.toMatchObject({ code: 'PF304' });
      const { rows } = await generate(lib, model, [ids(3, positions)], 4);
      expect(rows[0]).toHaveLength(4);
    });

    test('the state of another plan, a cache of keys, and a state where keys are kept', async () => {
      const name = llama();
      const [model, other, keys] = [
        await open(name),
        await open(name, { plan: otherPlan }),
        await open(name, { plan: 'exact-blocked' }),
      ];
      const turn = { first: ids(5, 20), second: ids(9, 30) };
      const want = await generate(lib, model, [turn.second], 5);
      const past = async (from: typeof model) => ({
        past_key_values: (await generate(lib, from, [turn.first], 3)).past,
      });
      const cases = [
        [model, await past(other), /^PF305 {2}the cache holds a state that another model or plan made/],
        [model, await past(keys), /^PF305 {2}the cache holds keys, and this model keeps a state/],
        [keys, await past(model), /^PF305 {2}the cache holds a state, and this model keeps keys/],
      ] as const;
      for (const [to, given, message] of cases)
        await expect(generate(lib, to, [turn.second], 5, given)).rejects.toThrow(message);
      expect((await generate(lib, model, [turn.second], 5)).rows).toEqual(want.rows);
    });

    test('another number of rows than the cache has', async () => {
      const model = await open(llama());
      const two = await generate(lib, model, [ids(5, 20), ids(7, 20)], 3);
      await expect(generate(lib, model, [ids(9, 30)], 3, { past_key_values: two.past })).rejects.toThrow(
        /^PF306 {2}the cache is of 2 rows, and there are 1 of new tokens\n {2}at {3}past_key_values\.0\.\w+ \[2,/,
      );
      expect((await generate(lib, model, [ids(9, 30)], 3)).rows[0]).toHaveLength(3);
    });

    test('logits that are not numbers', async () => {
      const name = `bad-nan-${version}`;
      const bytes = poisoned(readGraph(graph), 63);
      folder(name, bytes, sitesOf(bytes)[0]);
      const model = await open(name);
      const bad = [...ids(5, 20), 63];
      await expect(generate(lib, model, [bad], 3)).rejects.toThrow(
        /^PF307 {2}the model gave logits that are not numbers\n {2}at {3}logits \[1,\d+,64\], row 0/,
      );
      const { rows } = await generate(lib, model, [ids(5, 20)], 3);
      expect(rows[0]).toHaveLength(3);
    });
  });
}

/** The graph with an embedding of NaN for one token. */
function poisoned(given: Uint8Array, token: number): Uint8Array {
  const bytes = given.slice();
  const model = openModel(decode(bytes));
  const table = model.graph
    .consumers('input_ids')
    .flatMap(({ opType, input }) => (opType === 'Gather' ? input[0] : []));
  const tensor = tensorOf(model.graph, table[0] ?? '');
  if (!tensor?.raw) throw new Error('the embedding is not where it was');
  const width = tensor.dims[1];
  // A view of the file.
  const { buffer, byteOffset, byteLength } = tensor.raw;
  const view = new DataView(buffer, byteOffset, byteLength);
  for (let i = 0; i < width; i++) view.setFloat32(4 * (token * width + i), Number.NaN, true);
  return bytes;
}
