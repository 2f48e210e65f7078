/**
 * Writes src/kernels/gen/<name>.ts, the text of every src/kernels/<name>.wgsl as a module (`npm run wgsl`). A module is the one form in which
 * vitest, tsx, vite, esbuild and tsup all take a text; a test holds these files to their sources. Comments, spaces that part nothing and the
 * names of what is inside functions stay behind, a page has no use for them; lines stay where they are, so that a compiler's message points
 * into the file.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const folder = new URL('../src/kernels/', import.meta.url);

/** Every kernel's name and what its module holds. */
export function kernelModules(): { name: string; file: URL; module: string }[] {
  const sources = readdirSync(folder).filter((file) => file.endsWith('.wgsl'));
  const texts = sources
    .sort()
    .map((source) => withoutSpaces(withoutComments(readFileSync(new URL(source, folder), 'utf8'))));
  const short = shortNames(texts);
  return sources.map((source, i) => {
    const name = source.slice(0, -'.wgsl'.length);
    const text = withShortNames(texts[i], short);
    const constant = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const module = [
      `// Made from ../${source} by scripts/wgsl.ts.`,
      "import type { Kernel } from '../kernel.js';",
      '',
      `export const ${constant}Kernel: Kernel = {`,
      `  name: '${name}',`,
      `  text: \`${text}\`,`,
      '};',
      '',
    ].join('\n');
    return { name, file: new URL(`gen/${name.replaceAll('_', '-')}.ts`, folder), module };
  });
}

/** WGSL has no strings: whatever follows two slashes is a comment. The marks around the parameters are kept. */
function withoutComments(text: string): string {
  return text.replace(/[ \t]*\/\/(?! ---- (parameters|end)$).*$/gm, '');
}

/** Without indentation, and without spaces around what parts words by itself; not at signs that may stand beside their like. */
function withoutSpaces(text: string): string {
  const inside = (line: string) => line.trim().replace(/ ?([=+*/%<>,;(){}|&!?]+) ?/g, '$1');
  return text
    .split('\n')
    .map((line) => (/^\s/.test(line) ? inside(line) : line))
    .join('\n');
}

const struct = /^struct \w+ ?\{[^}]*\}/gm;

/**
 * Parameters, bindings, fields and types are known by their names; functions and what they declare are not. The same name is the same in all
 * kernels, which compresses best.
 */
function shortNames(texts: readonly string[]): ReadonlyMap<string, string> {
  const all = texts.join('\n').replace(struct, '');
  const names = new Set(
    [...all.matchAll(/\b(?:let|var|fn) (\w+)|\)(\w+): /g)].map(([, name, builtin]) => name ?? builtin),
  );
  const functions = new Set([...all.matchAll(/\bfn (\w+)/g)].map(([, name]) => name));
  // What is called and no function of ours is one of WGSL's.
  const called = [...all.matchAll(/(?<![.\w@])(\w+)\(/g)]
    .map(([, name]) => name)
    .filter((name) => !functions.has(name));
  const known = [...all.matchAll(/(?:var<[^>]*>|const|alias) (\w+)/g)].map(([, name]) => name);
  for (const name of [...known, ...called, 'main']) names.delete(name);
  const taken = new Set(texts.join('\n').match(/\w+/g));
  const free = letters().filter((name) => !taken.has(name));
  const counts = new Map<string, number>();
  for (const name of all.match(word) ?? []) if (names.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  const long = [...counts].filter(([name]) => name.length > 2).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return new Map(long.slice(0, free.length).map(([name], i) => [name, free[i]]));
}

/** A name that is no field of something, no attribute and no word of the marks around the parameters. */
const word = /(?<![.\w@]|---- )[A-Za-z]\w*/g;

function withShortNames(text: string, short: ReadonlyMap<string, string>): string {
  const rename = (part: string) => part.replace(word, (name) => short.get(name) ?? name);
  const structs = text.match(struct) ?? [];
  return text
    .split(struct)
    .map((part, i) => rename(part) + (structs[i] ?? ''))
    .join('');
}

/** a … z, then a0 … z9; no word of WGSL is one of them. */
function letters(): string[] {
  const single = Array.from({ length: 26 }, (_, i) => String.fromCharCode(97 + i));
  return [...single, ...single.flatMap((letter) => Array.from({ length: 10 }, (_, i) => `${letter}${i}`))];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { file, module } of kernelModules()) writeFileSync(file, module);
}
