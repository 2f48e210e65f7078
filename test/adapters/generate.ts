/**
 * generate() of transformers.js, unmodified, on decoders whose key cache is a state: the real graphs of four exporters, both
 * versions of transformers.js.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as v4 from '@huggingface/transformers';
import { afterAll, describe, expect, test } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { findAttention } from '../../src/rewrite/find.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { savePlan } from '../../src/rewrite/saved-plan.js';
import type { Site } from '../../src/rewrite/site.js';
import { graphFile } from '../shared.js';

const scratch = mkdtempSync(join(tmpdir(), 'performers-generate-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const graphs = ['llama.optimum-sdpa-past', 'llama.optimum-eager-past.q4', 'llama.genai-mha'];
export const readGraph = (name: string) => new Uint8Array(readFileSync(graphFile(`${name}.onnx`)));

const config = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 64,
};

export const sitesOf = (bytes: Uint8Array) => findAttention(openModel(decode(bytes))).sites;

export const folderPath = (name: string) => join(scratch, name);

/** A model folder as transformers.js reads it. */
export function folder(name: string, bytes: Uint8Array, { heads, kvHeads, headDim }: Site, more: object = {}): string {
  const root = folderPath(name);
  mkdirSync(join(root, 'onnx'), { recursive: true });
  writeFileSync(
    join(root, 'config.json'),
    JSON.stringify({
      ...config,
      hidden_size: heads * headDim,
      head_dim: headDim,
      num_key_value_heads: kvHeads,
      ...more,
    }),
  );
  writeFileSync(join(root, 'onnx/model.onnx'), bytes);
  return name;
}

/** The hybrid with constants that calibration might have made, some heads exact. */
export function statePlan(bytes: Uint8Array, exact: readonly number[] = []) {
  const plan = readPlan('hybrid-causal:window=32,globals=3,sinks=2,codes=4');
  const normal = gaussians(3);
  const draw = (length: number) => Float32Array.from({ length }, () => normal());
  return savePlan(
    sitesOf(bytes).map((site) => {
      const { heads, headDim } = site;
      const linear = Array.from({ length: heads }, (_, h) => h).filter((h) => !exact.includes(h));
      return {
        site,
        groups: [
          { heads: linear, plan },
          ...(exact.length > 0 ? [{ heads: exact, plan: readPlan('exact-blocked') }] : []),
        ],
        why: 'test',
        constants: {
          query: draw(heads * headDim),
          'keys4.weights': draw(heads * headDim * 4),
          'keys4.offsets': draw(heads * 4),
        },
      };
    }),
  );
}

export const ids = (seed: number, length: number) => Array.from({ length }, (_, i) => (7 * i * i + seed * i + 5) % 60);

export type Library = typeof v4;
type Model = Awaited<ReturnType<Library['AutoModelForCausalLM']['from_pretrained']>>;

export async function load(library: Library, name: string, options: object = {}): Promise<Model> {
  Object.assign(library.env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: `${scratch}/` });
  const given = { dtype: 'fp32', device: 'cpu', local_files_only: true, ...options } as const;
  return library.AutoModelForCausalLM.from_pretrained(name, given);
}

/** Greedy continuations of prompts, padded on the left to one length. */
export async function generate(
  library: Library,
  model: Model,
  prompts: readonly number[][],
  more: number,
  options: object = {},
) {
  const length = Math.max(...prompts.map((prompt) => prompt.length));
  const tensor = (value: (prompt: readonly number[], i: number) => number) =>
    new library.Tensor(
      'int64',
      BigInt64Array.from(
        prompts.flatMap((prompt) =>
          Array.from({ length }, (_, i) => BigInt(value(prompt, i - (length - prompt.length)))),
        ),
      ),
      [prompts.length, length],
    );
  const output = (await model.generate({
    input_ids: tensor((prompt, i) => (i < 0 ? 0 : prompt[i])),
    attention_mask: tensor((_, i) => (i < 0 ? 0 : 1)),
    max_new_tokens: more,
    do_sample: false,
    eos_token_id: -1,
    pad_token_id: 0,
    return_dict_in_generate: true,
    ...options,
  })) as { sequences: InstanceType<Library['Tensor']>; past_key_values: Record<string, { dims: number[] }> };
  const rows = output.sequences.tolist().map((row: bigint[]) => row.map(Number));
  return { rows: rows.map((row: number[]) => row.slice(length)), past: output.past_key_values };
}

/** The two versions load native libraries that do not go into one process: a test file each. */
export function describeGenerate(lib: Library, version: string): void {
  describe(`generate() of transformers.js ${version}`, () => {
    // onnxruntime 1.21, in 3.8.1, does not load today's GroupQueryAttention.
    const known = version.startsWith('3') ? graphs : [...graphs, 'llama.genai-gqa'];
    test.each(known)('%s: a window that holds everything generates what the original does', async (graph) => {
      const bytes = readGraph(graph);
      const [site] = sitesOf(bytes);
      const wide = await linearize(bytes, { plan: 'hybrid-causal:window=128,globals=0,sinks=0,codes=0' });
      const prompt = [ids(3, 21)];
      const want = await generate(lib, await load(lib, folder(`${graph}-${version}`, bytes, site)), prompt, 30);
      const patched = await load(lib, folder(`${graph}-${version}-wide`, wide.bytes, site));
      const got = await generate(lib, patched, prompt, 30);
      expect(got.rows).toEqual(want.rows);
      expect(new Set(want.rows[0]).size).toBeGreaterThan(3);
    });

    test('unequal prompts in one batch give what each gives alone; the state does not grow, but for exact heads', async () => {
      const bytes = readGraph('llama.optimum-sdpa-past');
      const sizes: number[][] = [];
      for (const exact of [[], [1]]) {
        const { bytes: model, report } = await linearize(bytes, { saved: statePlan(bytes, exact) });
        const patched = await load(lib, folder(`batch-${version}-${exact.length}`, model, sitesOf(bytes)[0]));
        const prompts = [ids(5, 71), ids(11, 44)];
        const together = await generate(lib, patched, prompts, 25);
        const alone = [];
        for (const prompt of prompts) alone.push((await generate(lib, patched, [prompt], 25)).rows[0]);
        expect(together.rows).toEqual(alone);
        const state = together.past['past_key_values.0.value'];
        sizes.push([state.dims[2]]);
        const { constant = 0, perToken = 0 } = report.sites[0].cache ?? {};
        const row = 4 * state.dims.slice(1).reduce((a, b) => a * b, 1);
        expect(row).toBeGreaterThanOrEqual(constant + 95 * perToken);
        expect(row).toBeLessThan(constant + 95 * perToken + 4 * 2 * 8);
        expect(together.past['past_key_values.0.key'].dims).toEqual([2, 1, 95, 0]);
      }
      const [[constant], [grown]] = sizes;
      expect(grown).not.toBe(constant);
    });

    test('a second turn on the state of the first gives what one prompt of both gives', async () => {
      const bytes = readGraph('llama.optimum-sdpa-past');
      const { bytes: model } = await linearize(bytes, { saved: statePlan(bytes) });
      const patched = await load(lib, folder(`turns-${version}`, model, sitesOf(bytes)[0]));
      const prompt = ids(5, 50);
      const first = await generate(lib, patched, [prompt], 20);
      const second = [...prompt, ...first.rows[0], ...ids(9, 17)];
      const continued = await generate(lib, patched, [second], 15, { past_key_values: first.past });
      const whole = await generate(lib, patched, [second], 15);
      expect(continued.rows).toEqual(whole.rows);
    });
  });
}
