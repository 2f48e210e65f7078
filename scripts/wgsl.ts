/**
 * Writes src/kernels/gen/<name>.ts, the text of every src/kernels/<name>.wgsl as a module (`npm run wgsl`). A module is the one form in which
 * vitest, tsx, vite, esbuild and tsup all take a text; a test holds these files to their sources. Comments and spaces that part nothing stay
 * behind, a page has no use for them; lines stay where they are, so that a compiler's message points into the file.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const folder = new URL('../src/kernels/', import.meta.url);

/** Every kernel's name and what its module holds. */
export function kernelModules(): { name: string; file: URL; module: string }[] {
  const sources = readdirSync(folder).filter((file) => file.endsWith('.wgsl'));
  return sources.sort().map((source) => {
    const name = source.slice(0, -'.wgsl'.length);
    const text = withoutSpaces(withoutComments(readFileSync(new URL(source, folder), 'utf8')));
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { file, module } of kernelModules()) writeFileSync(file, module);
}
