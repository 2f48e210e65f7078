/** The README's code is the files under examples/, and those run. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const examples = readdirSync(`${root}examples`);
/** A line that each must print. */
const printed: Readonly<Record<string, string>> = {
  'bytes.ts': 'true',
  'pipeline.ts': '[ 600, 400 ] 12',
  'stories.ts':
    '[{"generated_text":"Once upon a time, there was a little girl named Lily. She loved to play outside in the park."}]',
};

it.each(examples)('examples/%s is in the README as it stands, and runs', async (name) => {
  const code = readFileSync(`${root}examples/${name}`, 'utf8').trimEnd();
  expect(readFileSync(`${root}README.md`, 'utf8')).toContain(`// examples/${name}\n${code}\n`);
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', `examples/${name}`], {
    cwd: root,
  });
  expect(stdout.trim().split('\n')).toContain(printed[name]);
});
