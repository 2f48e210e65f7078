/** A page bundled by vite around the built package, in Chromium: @huggingface/transformers 4.3.1 and 3.8.1 on wasm. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page as Tab } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromium } from '../../scripts/chromium.js';
import { close, expectMutantFails } from '../close.js';
import { modelFile, noModels } from '../shared.js';
import type { Answer } from './page/run.js';
import { type Served, serve } from './serve.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const v3 = join(root, 'node_modules/transformers-v3/node_modules/onnxruntime-web/dist');
const versions = [
  { name: '4.3.1', entry: 'v4', ort: join(root, 'node_modules/onnxruntime-web/dist'), alias: [] },
  {
    name: '3.8.1',
    entry: 'v3',
    ort: v3,
    // As in a project that has only 3.8.1 installed, where its onnxruntime-web is at the top.
    alias: [
      { find: /^onnxruntime-web$/, replacement: join(v3, 'ort.bundle.min.mjs') },
      { find: /^onnxruntime-web\/webgpu$/, replacement: join(v3, 'ort.webgpu.bundle.min.mjs') },
    ],
  },
];
let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
});

afterAll(() => browser.close());

describe.each(versions)('a page with transformers.js $name', ({ entry, ort, alias }) => {
  const outDir = mkdtempSync(join(tmpdir(), 'performers-page-'));
  const requests: string[] = [];
  let server: Served;
  let tab: Tab;

  beforeAll(async () => {
    const entryPoint = join(root, 'dist/adapters/transformers.js');
    if (!existsSync(entryPoint)) throw new Error('nothing to bundle: run `npm run build` first');
    await build({
      root: join(root, 'test/packed/page'),
      configFile: false,
      logLevel: 'error',
      resolve: { alias: [{ find: /^.*\/src\/adapters\/transformers\.js$/, replacement: entryPoint }, ...alias] },
      build: { outDir, emptyOutDir: true, rollupOptions: { input: join(root, `test/packed/page/${entry}.html`) } },
    });
    server = await serve({
      '/ort/': ort,
      '/models/vit-s14-saliency/': join(root, 'models/vit-s14-saliency'),
      ...(noModels ? {} : { '/models/all-MiniLM-L6-v2/': modelFile('all-MiniLM-L6-v2') }),
      '/': outDir,
    });
    tab = await browser.newPage();
    tab.on('request', (request) => requests.push(request.url()));
    await tab.goto(`${server.origin}/${entry}.html`);
    await tab.waitForFunction(() => 'page' in window);
  });

  afterAll(async () => {
    await tab.close();
    server.close();
    rmSync(outDir, { recursive: true, force: true });
  });

  test('depth-estimation: exact-blocked gives the map of the original', async () => {
    const want = await tab.evaluate(() => window.page.depth({ original: true }));
    const got = await tab.evaluate(() => window.page.depth({ plan: 'exact-blocked' }));
    const ruined = await tab.evaluate(() => window.page.depth({ plan: 'features:m=16' }));
    expect(got.sites).toEqual({ model: 12 });
    close(got.values, want.values, 1e-5);
    expectMutantFails(() => close(ruined.values, want.values, 1e-2));
  });

  test.skipIf(noModels)('feature-extraction: a padded batch', async () => {
    const embed = (options: object): Promise<Answer> =>
      tab.evaluate(
        (options) => window.page.embed(['Short.', 'A sentence that is longer than the other.'], options),
        options,
      );
    const want = await embed({ original: true });
    const got = await embed({ plan: 'exact-blocked:block=8' });
    expect(got.sites).toEqual({ model: 6 });
    close(got.values, want.values, 1e-5);
  });

  test('an unknown plan', async () => {
    const message = await tab.evaluate(() =>
      window.page.depth({ plan: 'windw' }).catch((error: Error) => error.message),
    );
    expect(message).toMatch(/^PF201 .* did you mean 'window'\?/);
  });

  test('nothing was asked of another host', () => {
    const hosts = new Set(requests.filter((url) => !url.startsWith('blob:')).map((url) => new URL(url).hostname));
    expect([...hosts]).toEqual(['127.0.0.1']);
  });
});
