/**
 * A folder that `performers linearize` wrote, in @xenova/transformers 2.17.2 (onnxruntime 1.14: IR ≤ 8, opset ≤ 18), which
 * is installed into an empty project for it.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, test } from 'vitest';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { close, expectMutantFails } from '../close.js';
import { modelFile, noModels } from '../shared.js';

const name = 'all-MiniLM-L6-v2';
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

test.skipIf(noModels)('MiniLM patched ahead gives its own embeddings in @xenova/transformers', async () => {
  writeFileSync(join(scratch, 'package.json'), JSON.stringify(project));
  writeFileSync(join(scratch, 'embed.mjs'), program);
  run('npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund');
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

/** The last line of what a program prints. */
function run(command: string, ...args: string[]): string {
  const stdout = execFileSync(command, args, { cwd: scratch, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return stdout.trim().split('\n').at(-1) ?? '';
}
