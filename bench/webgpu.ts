/**
 * npx tsx bench/webgpu.ts [--longest 512] [--limit 10000] [encoder vit decoder]: runs the bench page in Chromium, WebGPU alone, to its
 * end, and writes results/bench-webgpu-SHAPE.json, and a picture of the page to out/. Without a GPU the adapter is software, and the
 * result's title says so.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Browser, chromium } from 'playwright-core';
import { preview } from 'vite';
import { ensureChromium } from '../scripts/chromium.js';
import { buildPage } from '../scripts/pages.js';
import type { BenchResult } from '../src/bench/result.js';
import { shapeNames } from '../src/bench/shape.js';

const { values, positionals } = parseArgs({
  options: { longest: { type: 'string', default: '512' }, limit: { type: 'string', default: '10000' } },
  allowPositionals: true,
});
const root = fileURLToPath(new URL('../', import.meta.url));
const outDir = mkdtempSync(join(tmpdir(), 'performers-bench-'));
const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

await buildPage('bench', outDir);
const server = await preview({ configFile: false, build: { outDir }, preview: { port: 0, host: '127.0.0.1' } });
const browser = await chromium.launch({ executablePath: ensureChromium(), args });
try {
  for (const shape of positionals.length > 0 ? positionals : shapeNames) await measure(browser, shape);
} finally {
  await browser.close();
  await server.close();
  rmSync(outDir, { recursive: true, force: true });
}

async function measure(browser: Browser, shape: string): Promise<void> {
  const tab = await browser.newPage({ viewport: { width: 1100, height: 900 }, colorScheme: 'light' });
  await tab.goto(server.resolvedUrls?.local[0] ?? '');
  await tab.waitForFunction(() => document.querySelector<HTMLButtonElement>('#start')?.disabled === false);
  for (const [id, value] of Object.entries({ shape, longest: values.longest, limit: values.limit })) {
    await tab.selectOption(`#${id}`, value);
  }
  for (const box of await tab.locator('input[name=backend]').all()) {
    await box.setChecked((await box.inputValue()) === 'webgpu');
  }
  await tab.click('#start');
  let said = '';
  for (;;) {
    const status = (await tab.textContent('#status')) ?? '';
    if (status !== said) console.log(`${shape}: ${status}`);
    said = status;
    if (status === 'Done.') break;
    await tab.waitForTimeout(500);
  }
  const text = (await tab.textContent('#json')) ?? '';
  const { title }: BenchResult = JSON.parse(text);
  const name = `bench-webgpu-${shape}`;
  writeFileSync(join(root, 'bench/results', `${name}.json`), text);
  await tab.locator('#result').screenshot({ path: join(root, 'out', `${name}.png`) });
  console.log(`${title}\nbench/results/${name}.json, out/${name}.png`);
  await tab.close();
}
