/**
 * Sizes of entries as a web page gets them: dist/<entry>.js bundled with what it imports, minified, gzipped.
 * Bundling for a browser with nothing external also proves that they reach neither Node nor a runtime.
 */
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const LIMITS = {
  /**
   * Half of it finds attention and proves shapes and masks, half are the lowerings with the feature maps they draw. Beside onnxruntime's
   * WebAssembly it is little; a page that loads files patched ahead needs none of it.
   */
  index: 82_000,
  /** All of the kernels; a page carries those it imports (test/kernels/modules.test.ts). */
  'kernels/index': 25_000,
};

for (const [entry, limit] of Object.entries(LIMITS)) {
  const { outputFiles } = await build({
    entryPoints: [`dist/${entry}.js`],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
  });
  const bytes = outputFiles[0]?.contents ?? new Uint8Array();
  const zipped = gzipSync(bytes, { level: 9 }).byteLength;
  const verdict = zipped <= limit ? 'within' : 'over';
  console.log(`${entry}: ${bytes.byteLength} bytes minified, ${zipped} gzipped, ${verdict} the limit of ${limit}`);
  if (zipped > limit || bytes.byteLength === 0) process.exitCode = 1;
}
