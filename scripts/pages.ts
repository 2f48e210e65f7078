/**
 * npm run pages: builds the pages demo/ and bench/ to out/pages/, static files that can be served from any folder. The
 * models lie beside them. A server that sends `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy:
 * require-corp` gives wasm its threads; without them it has one.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = { demo: 'demo/page', bench: 'bench/page' } as const;
export type PageName = keyof typeof pages;

/** Builds one page into a folder of its own, with a relative base. */
export async function buildPage(name: PageName, outDir: string): Promise<void> {
  await build({
    root: join(root, pages[name]),
    configFile: false,
    logLevel: 'warn',
    base: './',
    define: { __BUILD__: JSON.stringify(describeBuild()) },
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 4000 },
  });
}

function describeBuild(): { versions: Record<string, string>; commit?: string } {
  const version = (folder: string) => JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')).version;
  const versions = {
    'performers.js': version('.'),
    'onnxruntime-web': version('node_modules/onnxruntime-web'),
    '@huggingface/transformers': version('node_modules/@huggingface/transformers'),
  };
  try {
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, stdio: 'pipe' })
      .toString()
      .trim();
    return { versions, commit };
  } catch {
    // Sources without their history.
    return { versions };
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = join(root, 'out/pages');
  for (const name of Object.keys(pages) as PageName[]) await buildPage(name, join(out, name));
  // What ships, without the scripts that trained it.
  const shipped = (path: string) => !path.includes('/train') && !path.endsWith('losses.svg');
  cpSync(join(root, 'models'), join(out, 'models'), { recursive: true, filter: shipped });
  console.log(
    `out/pages: ${Object.keys(pages).join(', ')}; serve the folder, for example with npx vite preview --outDir out/pages`,
  );
}
