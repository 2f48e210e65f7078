/**
 * Checks that imports go one way (see ARCHITECTURE.md), that only adapters know a runtime, and that only the command line,
 * src/node and files named *.node.ts know Node. Type imports count: a declaration file drags its imports along just as code does.
 * Cycles within one tier are dpdm's to find (`npm run cycles`).
 */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import ts from 'typescript';

/** A module imports its own tier and those above it in this list. A module is a folder of src/, or a file in it. */
const TIERS = [
  ['errors', 'session', 'plots'],
  ['onnx', 'features', 'metrics'],
  ['attention', 'quant', 'kernels'],
  ['rewrite', 'machines', 'learn'],
  ['auto'],
  ['linearize'],
  ['calibrate'],
  ['bench'],
  ['node', 'verify', 'tasks', 'adapters', 'index'],
  ['cli'],
];
/** Same tier, yet kept apart: the core must stay free of what these import. */
const APART: Record<string, string[]> = { index: ['adapters', 'node'], verify: ['adapters', 'node'] };
const RUNTIME = /^(onnxruntime-|@huggingface\/transformers|transformers-v3)/;

const tierOf = new Map(TIERS.flatMap((modules, tier) => modules.map((module) => [module, tier] as const)));
const faults: string[] = [];
const files = sources('src');

for (const file of files) {
  const from = moduleOf(file);
  if (!tierOf.has(from)) {
    faults.push(`${file}: "${from}" has no place in the import order; give it one in scripts/imports.ts`);
    continue;
  }
  for (const { name, line } of importsOf(file)) {
    const fault = judge(file, from, name);
    if (fault) faults.push(`${file}:${line}: ${fault}`);
  }
}

// A reference that shares code with what it judges agrees with its mistakes.
for (const file of sources('test/oracle')) {
  for (const { name, line } of importsOf(file)) {
    if (name.startsWith('.') && resolve(file, name).startsWith('src/')) {
      faults.push(`${file}:${line}: the oracle imports ${name}; it shares nothing with src/`);
    }
  }
}

if (files.length === 0) faults.push('src/: no .ts files found; run from the root of the repository');
for (const fault of faults) console.error(fault);
if (faults.length > 0) {
  console.error(`\nimport order, left never importing right: ${TIERS.map((tier) => tier.join(', ')).join(' <- ')}`);
  process.exitCode = 1;
} else {
  console.log(`imports: ${files.length} files in order`);
}

function judge(file: string, from: string, name: string): string | undefined {
  if (RUNTIME.test(name)) {
    return from === 'adapters' ? undefined : `imports ${name}; only src/adapters may import a runtime`;
  }
  if (name.startsWith('node:')) {
    const allowed = from === 'cli' || from === 'node' || file.endsWith('.node.ts');
    return allowed ? undefined : `imports ${name}; only src/cli, src/node and *.node.ts may use Node`;
  }
  if (!name.startsWith('.')) return undefined;
  const target = resolve(file, name);
  if (!target.startsWith('src/')) return `imports ${name}, which lies outside src/`;
  const to = moduleOf(target);
  const [left, right] = [tierOf.get(from), tierOf.get(to)];
  if (left === undefined || right === undefined) return `imports ${name}: "${to}" has no place in the import order`;
  if (right > left) return `"${from}" imports "${to}" (${name}), against the import order`;
  if (APART[from]?.includes(to)) return `"${from}" imports "${to}" (${name}); the two are kept apart`;
  return undefined;
}

/** `typeof import('x')` is no import: nothing loads x, and no declaration names it unless it is exported. */
function importsOf(file: string): { name: string; line: number }[] {
  const text = readFileSync(file, 'utf8');
  return ts
    .preProcessFile(text, true, true)
    .importedFiles.filter(({ pos }) => !/\btypeof import\(\s*['"`]?$/.test(text.slice(0, pos)))
    .map(({ fileName, pos }) => ({ name: fileName, line: text.slice(0, pos).split('\n').length }));
}

function sources(folder: string): string[] {
  return ts.sys
    .readDirectory(folder, ['.ts'])
    .map((path) => relative('.', path).split(sep).join('/'))
    .sort();
}

function resolve(file: string, name: string): string {
  return join(dirname(file), name).split(sep).join('/');
}

/** src/onnx/decode.ts → onnx; src/errors.ts → errors */
function moduleOf(file: string): string {
  return (file.split('/')[1] ?? '').replace(/\.[jt]s$/, '');
}
