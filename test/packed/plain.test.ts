/**
 * Pages without a bundler: modules as they are published, their names resolved by an import map, or in workers, which have none,
 * imported by their addresses. The package is the built one, served from where an installation has it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { afterAll, describe, expect, test } from 'vitest';
import { findChromium } from '../../scripts/chromium.js';
import { serve } from './serve.js';
import { at, describeWays, type Way } from './ways.js';

const scratch = mkdtempSync(join(tmpdir(), 'performers-plain-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const libraries = {
  '4.3.1': {
    html: 'v4',
    library: 'node_modules/@huggingface/transformers/dist',
    ort: 'node_modules/onnxruntime-web/dist',
  },
  '3.8.1': {
    html: 'v3',
    library: 'node_modules/transformers-v3/dist',
    ort: 'node_modules/transformers-v3/node_modules/onnxruntime-web/dist',
  },
};

/** Each library in the page and in a worker, isolated and not, each with each. */
const places = [
  { version: '4.3.1', worker: false, isolated: false },
  { version: '4.3.1', worker: true, isolated: true },
  { version: '3.8.1', worker: false, isolated: true },
  { version: '3.8.1', worker: true, isolated: false },
] as const;

const ways = places.map(({ version, worker, isolated }): Way => {
  const { html, library, ort } = libraries[version];
  return {
    name: `transformers.js ${version} in ${worker ? 'a worker' : 'the page'}, ${isolated ? '' : 'not '}isolated`,
    html: `${worker ? `${html}-worker` : html}.html`,
    worker,
    isolated,
    async prepare() {
      // Their types taken off, and nothing bundled.
      const modules = ['run', 'calls'].map((name) => at(`test/packed/page/${name}.ts`));
      await build({ entryPoints: modules, outdir: scratch });
      return {
        '/run.js': join(scratch, 'run.js'),
        '/calls.js': join(scratch, 'calls.js'),
        '/transformers/': at(library),
        '/ort/': at(ort),
        '/performers.js/': at('dist'),
        '/': at('test/packed/plain'),
      };
    },
  };
});

describeWays(ways);

describe.each(['index.html', 'worker.html'])('demo/plain/%s', (page) => {
  test('shows a map of the model that was rewritten on its way', async () => {
    const server = await serve({
      '/node_modules/performers.js/dist/': at('dist'),
      '/node_modules/': at('node_modules'),
      '/models/': at('models'),
      '/': at('demo/plain'),
    });
    const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
    const tab = await browser.newPage();
    const elsewhere: string[] = [];
    tab.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol !== 'blob:' && hostname !== '127.0.0.1') elsewhere.push(hostname);
    });
    const fault = new Promise<never>((_, reject) => tab.on('pageerror', reject));
    try {
      await tab.goto(`${server.origin}/${page}`);
      const says = () => /layers/.test(document.querySelector('#status')?.textContent ?? '');
      await Promise.race([tab.waitForFunction(says, undefined, { timeout: 300_000 }), fault]);
      expect(await tab.textContent('#status')).toMatch(/^12 attention layers in linear memory/);
      const [width, height, brightest] = await tab.evaluate(() => {
        const canvas = document.querySelector('canvas');
        const pixels = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        const reds = Array.from(pixels).filter((_, i) => i % 4 === 0);
        return [canvas?.width, canvas?.height, reds.reduce((most, red) => Math.max(most, red), 0)];
      });
      expect([width, height]).toEqual([600, 400]);
      expect(brightest).toBeGreaterThan(200);
      expect(elsewhere).toEqual([]);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
