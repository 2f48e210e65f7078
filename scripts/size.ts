/**
 * Size of the core as a web page gets it: dist/index.js bundled with the protobuf runtime, minified, gzipped.
 * Bundling for a browser with nothing external also proves that the core reaches neither Node nor a runtime.
 */
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** Most of it is what proves shapes and masks, and the lowerings with the kernels they draw features of; a page that only applies saved plans needs a smaller entry still to come. */
const LIMIT = 72_000;

const { outputFiles } = await build({
  entryPoints: ['dist/index.js'],
  bundle: true,
  minify: true,
  write: false,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
});
const bytes = outputFiles[0]?.contents ?? new Uint8Array();
const zipped = gzipSync(bytes, { level: 9 }).byteLength;
const verdict = zipped <= LIMIT ? 'within' : 'over';
console.log(`core bundle: ${bytes.byteLength} bytes minified, ${zipped} gzipped, ${verdict} the limit of ${LIMIT}`);
if (zipped > LIMIT || bytes.byteLength === 0) process.exitCode = 1;
