/**
 * A folder that `performers linearize` wrote, in @xenova/transformers 2.17.2 (onnxruntime 1.14: IR ≤ 8, opset ≤ 18), which
 * is installed into an empty project for it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { env, pipeline } from '@huggingface/transformers';
import { afterAll, expect, test } from 'vitest';
import { restore } from '../../src/linearize.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
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

/** Reads the name of a model and folders that have it from its arguments, prints what each of them tells. */
const storyteller = `
import { env, pipeline } from '@xenova/transformers';
env.allowRemoteModels = false;
const [model, ...folders] = process.argv.slice(2);
const told = [];
for (const folder of folders) {
  env.localModelPath = folder;
  const generate = await pipeline('text-generation', model, { quantized: false, model_file_name: 'model' });
  const [{ generated_text }] = await generate(${JSON.stringify(opening)}, { max_new_tokens: 90, do_sample: false });
  told.push(generated_text);
}
console.log('\\n' + JSON.stringify(told));
`;

test('a model with a state tells what it tells in transformers.js 4; another one does not', async () => {
  installed();
  writeFileSync(join(scratch, 'tell.mjs'), storyteller);
  const story = 'performer-stories';
  const models = fileURLToPath(new URL('../../models/', import.meta.url));
  for (const kind of ['state', 'softmax']) {
    const folder = join(scratch, kind, story);
    cpSync(join(models, story), folder, { recursive: true });
    withOldTokenizer(folder);
  }
  // The same weights under softmax, which they were not trained for.
  const softmax = join(scratch, 'softmax', story);
  const file = join(softmax, 'onnx/model.onnx');
  const report = JSON.parse(readFileSync(join(softmax, 'onnx/model.performers.json'), 'utf8'));
  writeFileSync(file, restore(new Uint8Array(readFileSync(file)), report));
  const folders = ['state', 'softmax'].map((kind) => join(scratch, kind));
  const [state, other] = JSON.parse(run(process.execPath, 'tell.mjs', story, ...folders)) as string[];
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: models });
  const generate = await pipeline('text-generation', story, { dtype: 'fp32', device: 'cpu' });
  const want = [await generate(opening, { max_new_tokens: 90, do_sample: false })].flat(2)[0];
  expect(state).toBe(want.generated_text);
  expect(state.length).toBeGreaterThan(200);
  expect(other).not.toBe(state);
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
