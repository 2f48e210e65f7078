/**
 * `npx tsx scripts/features-docs.ts` writes docs/features.md: every entry of the registries of src/features, with the header of
 * its file. The headers are where equations, sources, shapes, numerics and costs are kept; this page has no text of its own
 * on them, so that the two cannot differ. test/features/docs.test.ts fails when it is out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { BAD_INPUT, EVIDENCE, type Evidence } from './features-evidence.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Of every registry: its file, its name, and what its entries are. */
const REGISTRIES: readonly (readonly [file: string, name: string, what: string])[] = [
  [
    'registry.ts',
    'samplers',
    'Draw a projection Ω [m,d]: `samplers.orf({ m, d, seed })`. Rows are N(0, I) unless the entry says otherwise.',
  ],
  [
    'registry.ts',
    'applies',
    'The product Ω x of a structured sampler without Ω: `applies.sorf({ m, d, seed })(x)`, rows x [n,d] → [n,m].',
  ],
  ['registry.ts', 'samplerTransforms', 'Make a sampler of a sampler: `samplerTransforms.antithetic(samplers.orf)`.'],
  [
    'registry.ts',
    'featureMaps',
    'Positive maps of the softmax kernel as constants (Ω, b) of the one double-softmax operator: `featureMaps["favor+"]({ heads, headDim, m })`. In a model: `--plan features:map=favor+,m=64` (or `hyperbolic`); for `shift`, `oprf`, `sderf` and `aderf`, which look at queries and keys, `performers linearize MODEL -o OUT --data FILE --keep 0 --candidates features:map=sderf,m=64`. What that is worth on a real model: [bench/README.md](../bench/README.md#feature-maps-that-look-at-queries-and-keys).',
  ],
  ['registry.ts', 'asymmetricMaps', 'The same with an Ω for queries and another for keys.'],
  ['registry.ts', 'rowMaps', 'Maps of rows: `rowMaps.trig({ d, m }).phi(x)`, x [n,d] → [n, features].'],
  ['registry.ts', 'pairMaps', 'Maps whose two sides differ: `pairMaps.hrf({ d, m })` has `query` and `key`.'],
  ['registry.ts', 'landmarkMaps', 'Maps made of landmarks of data: `landmarkMaps.nystrom({ d, m, rows })`.'],
  ['registry.ts', 'landmarkChoices', 'Ways of choosing landmarks [m,d]: `landmarkChoices.dpp({ d, m, rows })`.'],
  [
    'registry.ts',
    'dataSamplers',
    'Frequencies chosen by looking at data: `frequencyMap(d, dataSamplers.leverage({ d, m, rows }))`.',
  ],
  [
    'signed/registry.ts',
    'methods',
    'Features of a kernel, signed where it is indefinite: `methods.gorf(kernel, { m })`. Shapes of all: rows x [n,d] → φ [n,M], M ≤ m, and `signs` [M]. Numerics: constants and products in float64. `flops` a row and `bytes` of the constants are fields of each map; those of n = M/2 frequencies take n(2d + 4) flops and 8n(d + 1) bytes.',
  ],
  ['kernels/registry.ts', 'kernels', 'Kernels by name: `kernels.rbf({ d })`.'],
  [
    '../quant/registry.ts',
    'schemes',
    'Low-bit schemes, of `performers.js/quant`: `lowBitFeatures(kernel, { scheme: "lloyd-max", bits: 4, m })`, `encodeQuantized`. Shapes of all: values [rows,cols] → codes of b bits, packed, and one float32 scale: ⌈rows·cols·b / 8⌉ + 4 bytes. Numerics: levels and cuts are float64 functions of b, and are not stored.',
  ],
];

/** Files that no registry names, and what they are together. */
const OTHERS: readonly (readonly [title: string, what: string, files: readonly string[]])[] = [
  [
    'Low-bit storage and its law',
    'Of `performers.js/quant`: features in few bits, what they take, and bits by layer under a budget.',
    ['low-bit-features.ts', 'pack.ts', 'file.ts', 'memory.ts', 'planner.ts'].map((file) => `../quant/${file}`),
  ],
  [
    'Learned maps',
    'Of `performers.js/learn`, trained by `@jax-js/jax`.',
    ['deep-kernel.ts', 'straight-through.ts', 'generator.ts'].map((file) => `../learn/${file}`),
  ],
  [
    'Kernel machines',
    'Of `performers.js/machines`, on exact kernels or on features of them.',
    ['ridge.ts', 'svc.ts', 'svr.ts', 'quadratic.ts', 'sums.ts'].map((file) => `../machines/${file}`),
  ],
];

interface Entry {
  readonly name: string;
  /** What the registry holds under that name. */
  readonly value: string;
  /** Path below src/features. */
  readonly file: string;
}

export function featuresDocs(): string {
  const described = new Map<string, string>();
  const sections = REGISTRIES.map(([file, registry, what]) => {
    const blocks = groups(entriesOf(file, registry)).map(({ file: source, entries }) => {
      const names = entries.map(({ name }) => `\`${name}\``).join(', ');
      const functions = [...new Set(entries.map(({ value }) => `\`${value}\``))].join(', ');
      const title = `### ${names}\n\n${functions} in ${linkTo(source)}`;
      const before = described.get(source);
      if (before) return `${title}: see \`${registry === before ? registry : before}\`.`;
      described.set(source, registry);
      return `${title}\n\n\`\`\`text\n${header(source)}\n\`\`\``;
    });
    return [`## ${registry}`, what, ...blocks].join('\n\n');
  });
  const others = OTHERS.map(([title, what, files]) =>
    [`## ${title}`, what, ...files.map((file) => `### ${linkTo(file)}\n\n\`\`\`text\n${header(file)}\n\`\`\``)].join(
      '\n\n',
    ),
  );
  const example = readFileSync(join(root, 'docs/features.example.ts'), 'utf8').trimEnd();
  return `${[
    '# Random features',
    'Everything that `performers.js/features` has, by registry, then `/quant`, `/learn` and `/machines`. Written by `npx tsx scripts/features-docs.ts` from the headers of the files: change those, not this page.',
    'Headers say METHODS where a formula was taken from the design notes of this project, and then what the notes had verified and what the tests here verify.',
    `\`\`\`ts\n// docs/features.example.ts\n${example}\n\`\`\``,
    evidence(),
    ...sections,
    ...others,
  ].join('\n\n')}\n`;
}

/** A file of src by its path from src/features. */
function linkTo(file: string): string {
  return `[${file.replace('../', '')}](${posix.join('../src/features', file)})`;
}

/** The table of tests. */
function evidence(): string {
  const link = ({ file, title }: Pick<Evidence, 'file' | 'title'>) =>
    `[${file.replace('../', '')}](${posix.join('../test/features', file)})${title.startsWith('%s') && title.length < 3 ? '' : `: ${title.replaceAll('|', '\\|')}`}`;
  const rows = EVIDENCE.map((entry) => {
    const names = namesOf(entry).map((name) => `\`${name}\``);
    return `| ${entry.registry}: ${names.join(', ')} | ${entry.claim} | ${entry.mutant} | ${link(entry)} |`;
  });
  return [
    '## What is tested',
    'Of every entry: what a test in test/features shows of it, and the wrong version that the same test must refuse.',
    ['| entries | shown | refused | test |', '|---|---|---|---|', ...rows].join('\n'),
    'Bad input is a typed error that names the argument, its value and the remedy:',
    ['| given | test |', '|---|---|', ...BAD_INPUT.map((line) => `| ${line.claim} | ${link(line)} |`)].join('\n'),
  ].join('\n\n');
}

/** The entries a line of the table is about. */
export function namesOf({ registry, names }: Evidence): readonly string[] {
  if (names) return names;
  const [file] = REGISTRIES.find(([, name]) => name === registry) ?? [];
  if (!file) throw new Error(`no registry ${registry}`);
  const others = EVIDENCE.flatMap((line) => (line.registry === registry ? (line.names ?? []) : []));
  return entriesOf(file, registry).flatMap(({ name }) => (others.includes(name) ? [] : [name]));
}

/** The properties of an object literal in a registry, with the file that each value is imported from. */
export function entriesOf(file: string, registry: string): Entry[] {
  const path = join(root, 'src/features', file);
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022, true);
  const origin = new Map<string, string>();
  const entries: Entry[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const from = posix.join(posix.dirname(file), node.moduleSpecifier.text).replace(/\.js$/, '.ts');
      const bindings = node.importClause?.namedBindings;
      if (bindings && ts.isNamedImports(bindings))
        for (const { name } of bindings.elements) origin.set(name.text, from);
    }
    if (ts.isVariableDeclaration(node) && node.name.getText() === registry && node.initializer) {
      const object = ts.isSatisfiesExpression(node.initializer) ? node.initializer.expression : node.initializer;
      if (!ts.isObjectLiteralExpression(object)) throw new Error(`${file}: ${registry} is no object literal`);
      for (const property of object.properties) {
        const name =
          property.name && (ts.isStringLiteral(property.name) ? property.name.text : property.name.getText());
        const value = ts.isPropertyAssignment(property) ? property.initializer.getText() : name;
        const from = origin.get(/^\w+/.exec(value ?? '')?.[0] ?? '');
        if (!(name && value && from)) throw new Error(`${file}: cannot tell where ${property.getText()} comes from`);
        entries.push({ name, value, file: from });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  if (entries.length === 0) throw new Error(`${file}: no registry ${registry}`);
  return entries;
}

/** Entries of one file together, in the order of the registry. */
function groups(entries: readonly Entry[]): { file: string; entries: Entry[] }[] {
  return [...new Set(entries.map(({ file }) => file))].map((file) => ({
    file,
    entries: entries.filter((entry) => entry.file === file),
  }));
}

/** The comment that a file begins with, without its stars. */
function header(file: string): string {
  const text = readFileSync(join(root, 'src/features', file), 'utf8');
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1];
  if (!comment) throw new Error(`${file}: no header`);
  return comment
    .split('\n')
    .map((line) => line.replace(/^ \* ?/, '').trimEnd())
    .join('\n')
    .trim();
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  writeFileSync(join(root, 'docs/features.md'), featuresDocs());
}
