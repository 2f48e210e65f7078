/**
 * Sizes of entries as a web page gets them: dist/<entry>.js bundled with what it imports, minified, gzipped. Of an entry that loads
 * parts of itself when they are needed, what is loaded with it counts, and the parts are listed. Bundling for a browser also proves that
 * none of them reaches Node or, but for the one adapter that is of a runtime, a runtime.
 */
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';

interface Limit {
  /** Bytes loaded with the entry. */
  readonly limit: number;
  /** Bytes of all that it loads when needed, at once. */
  readonly later?: number;
  readonly external?: string[];
}

const LIMITS: Record<string, Limit> = {
  /**
   * The core. Later comes the rewriter, with the first call that reads a model: half of it finds attention and proves shapes and masks, half
   * are the lowerings with the feature maps they draw. A page that loads files patched ahead needs none of it.
   */
  index: { limit: 30_000, later: 84_000 },
  /** What every page with performers() loads. The rest comes when a model is to be rewritten, or runs kernels. */
  'adapters/transformers': { limit: 30_000, external: ['onnxruntime-web/webgpu'] },
  'adapters/transformers.global': { limit: 30_000 },
  /** All of the kernels; a page carries those it imports (test/kernels/modules.test.ts). */
  'kernels/index': { limit: 25_000 },
};

for (const [entry, { limit, later = Number.POSITIVE_INFINITY, external }] of Object.entries(LIMITS)) {
  const { outputFiles, metafile } = await build({
    entryPoints: [`dist/${entry}.js`],
    outdir: 'out/size',
    bundle: true,
    splitting: true,
    metafile: true,
    minify: true,
    write: false,
    // With no side effects in the package, an import for those is none.
    logOverride: { 'ignored-bare-import': 'silent' },
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external,
  });
  const sizes = new Map(
    outputFiles.map(({ path, contents }) => [basename(path), gzipSync(contents, { level: 9 }).length]),
  );
  const sizeOf = (files: Iterable<string>) =>
    [...files].reduce((sum, file) => sum + (sizes.get(basename(file)) ?? 0), 0);
  const outputs = Object.entries(metafile.outputs);
  const [first = ''] = outputs.find(([, { entryPoint }]) => entryPoint === `dist/${entry}.js`) ?? [];
  const own = closure(metafile, first);
  const total = sizeOf(own);
  console.log(`${entry}: ${total} bytes gzipped, ${total <= limit ? 'within' : 'over'} the limit of ${limit}`);
  for (const [file, { entryPoint }] of outputs) {
    if (!entryPoint || own.has(file)) continue;
    const more = [...closure(metafile, file)].filter((part) => !own.has(part));
    console.log(`  and ${sizeOf(more)} more when it loads ${basename(entryPoint).replace(/-[A-Z0-9]{8}\.js$/, '')}`);
  }
  const rest = sizeOf(sizes.keys()) - total;
  if (rest > later) console.log(`  ${rest} bytes later, over the limit of ${later}`);
  if (total > limit || total === 0 || rest > later) process.exitCode = 1;
}

/** An output and what it imports, and so on; not what it loads later. */
function closure({ outputs }: Metafile, file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const { path, kind } of outputs[file]?.imports ?? []) {
    if (kind === 'import-statement') closure({ inputs: {}, outputs }, path, seen);
  }
  return seen;
}
