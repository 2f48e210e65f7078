/** The files made from kernels, what a bundle carries of them, and Node without a device. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { kernelModules } from '../../scripts/wgsl.js';
import { openGpu } from '../../src/kernels/gpu.js';
import { kernels } from '../../src/kernels/registry.js';

const kernelFolder = fileURLToPath(new URL('../../src/kernels/', import.meta.url));
const modules = kernelModules();
/** Names and numbers, and each sign between them; what is said of fields and attributes, and their declarations, are words of their own. */
const words = (line: string) =>
  /^\/\/ ----|^\s*\w+: [uif]32,$/.test(line) ? [line.trim()] : (line.match(/[.@]?\w+|[^\w\s]/g) ?? []);

describe('the modules made from kernels', () => {
  it.each(modules)('hold the text of the file: $name', ({ name, file, module }) => {
    // Run `npm run wgsl` after a change of a kernel.
    expect(readFileSync(file, 'utf8')).toBe(module);
    const lines = readFileSync(`${kernelFolder}${name}.wgsl`, 'utf8').split('\n');
    const code = lines.map((line) =>
      /^\/\/ ---- (parameters|end)$/.test(line) ? line : line.split('//')[0].trimEnd(),
    );
    // Spaces that part nothing are left out, and names inside functions are others: one for one.
    const made = kernels[name as keyof typeof kernels]?.text.split('\n').map(words);
    const names = new Map<string, string>();
    const wanted = code.map((line, i) =>
      words(line).map((word, j) => {
        const other = made[i]?.[j] ?? '';
        if (!names.has(word)) names.set(word, other);
        return names.get(word);
      }),
    );
    expect(made).toEqual(wanted);
    expect(new Set(names.values()).size).toBe(names.size);
    for (const [word, other] of names)
      expect(other === word || /^[a-z]\d?$/.test(other), `${word} ${other}`).toBe(true);
  });

  it('are all there are, and all in the registry', () => {
    expect(
      readdirSync(`${kernelFolder}gen`)
        .map((file) => file.replace('.ts', '').replaceAll('-', '_'))
        .sort(),
    ).toEqual(modules.map(({ name }) => name));
    expect(Object.keys(kernels).sort()).toEqual(modules.map(({ name }) => name));
  });
});

describe('a bundle', () => {
  /** Names of the kernels whose text it carries. */
  async function carried(code: string): Promise<string[]> {
    const { outputFiles } = await build({
      stdin: { contents: code, resolveDir: kernelFolder, loader: 'ts' },
      bundle: true,
      write: false,
      format: 'esm',
      minify: true,
    });
    const text = outputFiles[0]?.text ?? '';
    return modules.map(({ name }) => name).filter((name) => text.includes(`name:"${name}"`));
  }

  it('carries the kernels of what it imports, and no others', async () => {
    expect(await carried("import { merge } from './index.js'; console.log(merge);")).toEqual(['merge']);
    expect(await carried("import { attend } from './index.js'; console.log(attend);")).toEqual([
      'attend',
      'merge',
      'move',
    ]);
    expect(await carried("import { openGpu, run } from './index.js'; console.log(openGpu, run);")).toEqual([]);
    const hybrid = await carried("import { hybridAttention } from './index.js'; console.log(hybridAttention);");
    expect(hybrid).toEqual(['add_parts', 'assign', 'code_sums', 'hybrid', 'move', 'top_keys']);
  });

  it('carries all of them where all is imported', async () => {
    expect(await carried("import * as all from './index.js'; console.log(all);")).toEqual(
      modules.map(({ name }) => name),
    );
  });
});

it('the entry exports what it says', async () => {
  expect(Object.keys(await import('../../src/kernels/index.js')).sort()).toMatchInlineSnapshot(`
    [
      "PerformersError",
      "attend",
      "causalAttention",
      "decodeStep",
      "download",
      "emptyState",
      "featureAttention",
      "free",
      "hybridAttention",
      "lowBitAttention",
      "merge",
      "openGpu",
      "run",
      "sparseAttention",
      "upload",
    ]
  `);
});

describe('without an adapter', () => {
  it('says that there is none', async () => {
    await expect(openGpu({ gpu: create(['adapter=one that is nowhere']) })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF701  WebGPU offers no adapter
        at   openGpu
        mend run on wasm, or allow software rendering]
    `);
    await expect(openGpu()).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF701  there is no navigator.gpu
        at   openGpu
        mend use a browser with WebGPU, over https or localhost]
    `);
  });
});
