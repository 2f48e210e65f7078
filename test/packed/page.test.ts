/** Pages bundled by vite around the built package: @huggingface/transformers 4.3.1 and 3.8.1 on wasm, in the page and in a worker. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { afterAll, expect, test } from 'vitest';
import { close } from '../close.js';
import { noModels } from '../shared.js';
import type { Answer } from './page/run.js';
import { at, describeWays, type Way } from './ways.js';

const scratch = mkdtempSync(join(tmpdir(), 'performers-page-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const v3 = at('node_modules/transformers-v3/node_modules/onnxruntime-web/dist');
const libraries = {
  '4.3.1': { html: 'v4', ort: at('node_modules/onnxruntime-web/dist'), alias: [] },
  '3.8.1': {
    html: 'v3',
    ort: v3,
    // As in a project that has only 3.8.1 installed, where its onnxruntime-web is at the top.
    alias: [
      { find: /^onnxruntime-web$/, replacement: join(v3, 'ort.bundle.min.mjs') },
      { find: /^onnxruntime-web\/webgpu$/, replacement: join(v3, 'ort.webgpu.bundle.min.mjs') },
    ],
  },
};

const ways = Object.entries(libraries).flatMap(([version, { html, ort, alias }]) =>
  [false, true].map((worker): Way => {
    const page = worker ? `${html}-worker` : html;
    return {
      name: `transformers.js ${version}, bundled, in ${worker ? 'a worker, not isolated' : 'the page, isolated'}`,
      html: `${page}.html`,
      worker,
      isolated: !worker,
      async prepare() {
        const outDir = join(scratch, page);
        const built = {
          find: /^.*\/src\/adapters\/transformers\.js$/,
          replacement: at('dist/adapters/transformers.js'),
        };
        await build({
          root: at('test/packed/page'),
          configFile: false,
          logLevel: 'error',
          resolve: { alias: [built, ...alias] },
          worker: { format: 'es' },
          build: { outDir, emptyOutDir: true, rollupOptions: { input: at(`test/packed/page/${page}.html`) } },
        });
        return { '/ort/': ort, '/': outDir };
      },
      more(tab) {
        test.skipIf(noModels || worker)('feature-extraction: a padded batch', async () => {
          const embed = (options: object): Promise<Answer> =>
            tab().evaluate(
              (options) => window.page.embed(['Short.', 'A sentence that is longer than the other.'], options),
              options,
            );
          const want = await embed({ original: true });
          const got = await embed({ plan: 'exact-blocked:block=8' });
          expect(got.sites).toEqual({ model: 6 });
          close(got.values, want.values, 1e-5);
        });
      },
    };
  }),
);

describeWays(ways);
