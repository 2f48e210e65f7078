/**
 * A folder that `performers linearize` wrote, in @xenova/transformers 2.17.2 (onnxruntime 1.14: IR ≤ 8, opset ≤ 18), which
 * is installed into an empty project for it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as transformers from '@huggingface/transformers';
import { afterAll, expect, test } from 'vitest';
import { linearize, restore } from '../../src/linearize.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { folder, folderPath, generate, ids, load, readGraph, sitesOf, statePlan } from '../adapters/generate.js';
import { close, expectMutantFails } from '../close.js';
import { modelFile, noModels } from '../shared.js';

const name = 'all-MiniLM-L6-v2';
const opening = 'Once upon a time, there was a little girl named Lily.';
const scratch = mkdtempSync(join(tmpdir(), 'performers-xenova-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Reads folders of models from its arguments, prints their embeddings. */
const program = `
import { env, pipeline } from '@xenova/transformers';
env.allowRemoteModels = false;
const embeddings = [];
for (const folder of process.argv.slice(2)) {
  env.localModelPath = folder;
  const embed = await pipeline('feature-extraction', '${name}', { quantized: false });
  const text = ['Attention in linear time.', 'The cat sat on the mat, and a second, longer sentence pads the first.'];
  const { data } = await embed(text, { pooling: 'mean', normalize: true });
  embeddings.push([...data]);
}
console.log('\\n' + JSON.stringify(embeddings));
`;

const project = {
  name: 'consumer',
  private: true,
  type: 'module',
  dependencies: { '@xenova/transformers': '2.17.2' },
  // The sharp it asks for builds itself from sources; this one comes built.
  overrides: { sharp: '0.33.5' },
};

/** The library in a project of its own, once for all tests. */
function installed(): void {
  if (existsSync(join(scratch, 'node_modules'))) return;
  writeFileSync(join(scratch, 'package.json'), JSON.stringify(project));
  run('npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund');
}

test.skipIf(noModels)('MiniLM patched ahead gives its own embeddings in @xenova/transformers', async () => {
  installed();
  writeFileSync(join(scratch, 'embed.mjs'), program);
  const original = modelFile(name);
  const plans = { exact: 'exact-blocked', wrong: 'features:m=8' };
  for (const [folder, plan] of Object.entries(plans)) {
    await linearizeFiles(original, join(scratch, folder, name), { plan });
  }
  const folders = [dirname(original), ...Object.keys(plans).map((folder) => join(scratch, folder))];
  const [want, exact, wrong] = JSON.parse(run(process.execPath, 'embed.mjs', ...folders)) as number[][];
  close(exact, want, 1e-5);
  expectMutantFails(() => close(wrong, want, 1e-5));
});

/** Reads a list of [folder, model, options] from its argument, prints how each of them goes on with the opening. */
const storyteller = `
import { env, pipeline } from '@xenova/transformers';
env.allowRemoteModels = false;
const told = [];
for (const [folder, model, options] of JSON.parse(process.argv[2])) {
  env.localModelPath = folder;
  const generate = await pipeline('text-generation', model, { quantized: false, model_file_name: 'model' });
  const [{ generated_text }] = await generate(${JSON.stringify(opening)}, { max_new_tokens: 90, do_sample: false, ...options });
  told.push(generated_text);
  await generate.dispose();
}
console.log('\\n' + JSON.stringify(told));
`;

type Teller = readonly [folder: string, model: string, options: object];

/** What 2.17.2 tells, and the same of 4.3.1. */
async function tell(tellers: readonly Teller[]): Promise<{ then: string[]; now: string[] }> {
  installed();
  writeFileSync(join(scratch, 'tell.mjs'), storyteller);
  const then = JSON.parse(run(process.execPath, 'tell.mjs', JSON.stringify(tellers))) as string[];
  const now: string[] = [];
  for (const [folder, model, options] of tellers) {
    Object.assign(transformers.env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: folder });
    const teller = await transformers.pipeline('text-generation', model, { dtype: 'fp32', device: 'cpu' });
    const [{ generated_text }] = [await teller(opening, { max_new_tokens: 90, do_sample: false, ...options })].flat(2);
    now.push(String(generated_text));
    await teller.dispose();
  }
  return { then, now };
}

/** The pipeline of that age begins no text with the token that tokenizer_config.json's add_bos_token asks for, unless told to. */
const begun = { add_special_tokens: true };

test('a model with a state tells what it tells in transformers.js 4; another one does not', async () => {
  const story = 'performer-stories';
  const shipped = fileURLToPath(new URL(`../../models/${story}`, import.meta.url));
  for (const kind of ['state', 'softmax']) {
    const folder = join(scratch, kind, story);
    cpSync(shipped, folder, { recursive: true });
    withOldTokenizer(folder);
  }
  // The same weights under softmax, which they were not trained for.
  const file = join(scratch, 'softmax', story, 'onnx/model.onnx');
  const report = JSON.parse(readFileSync(file.replace('.onnx', '.performers.json'), 'utf8'));
  writeFileSync(file, restore(new Uint8Array(readFileSync(file)), report));
  const { then, now } = await tell([
    [join(scratch, 'state'), story, begun],
    [join(scratch, 'softmax'), story, begun],
    [join(scratch, 'state'), story, { add_special_tokens: false }],
  ]);
  expect(then).toEqual(now);
  expect(then[0].length).toBeGreaterThan(200);
  expect(new Set(then).size).toBe(3);
});

/** Reads folders and token ids from its arguments, prints how the model in each folder goes on with them. */
const continuer = `
import { AutoModelForCausalLM, Tensor, env } from '@xenova/transformers';
env.allowRemoteModels = false;
const [folders, ids] = process.argv.slice(2).map((text) => JSON.parse(text));
const continued = [];
for (const folder of folders) {
  env.localModelPath = folder;
  const model = await AutoModelForCausalLM.from_pretrained('.', { quantized: false, model_file_name: 'model' });
  const prompt = new Tensor('int64', BigInt64Array.from(ids.map(BigInt)), [1, ids.length]);
  const [row] = await model.generate(prompt, { max_new_tokens: 90, do_sample: false });
  continued.push(row.slice(ids.length));
}
console.log('\\n' + JSON.stringify(continued));
`;

test('a decoder with the hybrid, with kept keys beside it and with a bounded cache goes on as in transformers.js 4', async () => {
  installed();
  writeFileSync(join(scratch, 'continue.mjs'), continuer);
  const bytes = readGraph('llama.optimum-sdpa-past');
  const [site] = sitesOf(bytes);
  const plans = {
    exact: { plan: 'exact-blocked' },
    wide: { plan: 'hybrid-causal:window=128,globals=0,sinks=0,codes=0' },
    hybrid: { saved: statePlan(bytes) },
    kept: { saved: statePlan(bytes, [1]) },
    narrow: { plan: 'window-causal:window=8,sinks=1' },
  };
  const names = [folder('xenova-original', bytes, site)];
  for (const [kind, options] of Object.entries(plans))
    names.push(folder(`xenova-${kind}`, (await linearize(bytes, options)).bytes, site));
  const prompt = ids(3, 41);
  const roots = JSON.stringify(names.map((name) => folderPath(name)));
  const then = JSON.parse(run(process.execPath, 'continue.mjs', roots, JSON.stringify(prompt))) as number[][];
  const now: number[][] = [];
  for (const name of names)
    now.push((await generate(transformers, await load(transformers, name), [prompt], 90)).rows[0]);
  expect(then).toEqual(now);
  const [want, exact, wide, ...others] = then;
  expect([exact, wide]).toEqual([want, want]);
  for (const other of others) expect(other).not.toEqual(want);
});

/** A tokenizer as files had it then: pairs of a merge in one string, and the longest text said. */
function withOldTokenizer(folder: string): void {
  const edit = (name: string, change: (content: Content) => object) => {
    const file = join(folder, name);
    writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')) as Content)));
  };
  edit('tokenizer.json', ({ model, ...rest }) => ({
    ...rest,
    model: { ...model, merges: model?.merges.map((pair) => pair.join(' ')) },
  }));
  edit('tokenizer_config.json', (content) => ({ ...content, model_max_length: 2048 }));
}

interface Content {
  readonly model?: { readonly merges: readonly (readonly string[])[] };
}

/** The last line of what a program prints. */
function run(command: string, ...args: string[]): string {
  const stdout = execFileSync(command, args, { cwd: scratch, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return stdout.trim().split('\n').at(-1) ?? '';
}
