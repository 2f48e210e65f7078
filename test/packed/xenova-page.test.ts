/**
 * Folders patched ahead in @xenova/transformers 2.17.2 (onnxruntime 1.14) in Chromium, on wasm: its published file as it stands, in a
 * page without a bundler and in a worker of one.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page as Tab } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromium } from '../../scripts/chromium.js';
import { linearize, restore } from '../../src/linearize.js';
import { close, expectMutantFails } from '../close.js';
import { type Served, serve } from './serve.js';
import { at } from './ways.js';

declare global {
  interface Window {
    logitsOf(folder: string, tokens: number[]): Promise<number[]>;
  }
}

const scratch = mkdtempSync(join(tmpdir(), 'performers-xenova-page-'));
const name = 'performer-stories';
const tokens = Array.from({ length: 24 }, (_, i) => (97 + 131 * i) % 1536);
let browser: Browser;

beforeAll(async () => {
  execFileSync('npm', ['pack', '--silent', '@xenova/transformers@2.17.2'], { cwd: scratch });
  const [tarball = ''] = readdirSync(scratch).filter((file) => file.endsWith('.tgz'));
  execFileSync('tar', ['-xzf', tarball], { cwd: scratch });
  // The model ships patched; what it was made of is a decoder with softmax and a key cache.
  const folder = at(`models/${name}`);
  const report = JSON.parse(readFileSync(join(folder, 'onnx/model.performers.json'), 'utf8'));
  const original = restore(readFileSync(join(folder, 'onnx/model.onnx')), report.reports?.[0] ?? report);
  const write = (model: string, bytes: Uint8Array) => {
    cpSync(folder, join(scratch, 'models', model, name), { recursive: true });
    writeFileSync(join(scratch, 'models', model, name, 'onnx/model.onnx'), bytes);
  };
  write('original', original);
  write('exact', (await linearize(original, { plan: 'exact-blocked:block=8' })).bytes);
  write('mutant', (await linearize(original, { plan: 'window-causal:window=4,sinks=0' })).bytes);
  browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
});

afterAll(async () => {
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
});

describe.each([
  ['v2', { isolated: false }],
  ['v2', { isolated: true }],
  ['v2-worker', { isolated: false }],
] as const)('%s.html, %o', (page, { isolated }) => {
  let served: Served;
  let tab: Tab;

  beforeAll(async () => {
    const library = join(scratch, 'package/dist');
    const folders = { '/models/': join(scratch, 'models'), '/dist/': library, '/': at('test/packed/plain') };
    served = await serve(folders, { isolated });
    tab = await browser.newPage();
    await tab.goto(`${served.origin}/${page}.html`);
    await tab.waitForFunction(() => 'logitsOf' in window);
  });

  afterAll(async () => {
    await tab.close();
    served.close();
  });

  test('exact-blocked gives the logits of the original', async () => {
    expect(await tab.evaluate(() => crossOriginIsolated)).toBe(isolated);
    const logits = (model: string) =>
      tab.evaluate(([model, tokens]) => window.logitsOf(model, tokens), [model, tokens] as const);
    const want = await logits('original');
    expect(want).toHaveLength(24 * 1536);
    close(await logits('exact'), want, 1e-5);
    const mutant = await logits('mutant');
    expectMutantFails(() => close(mutant, want, 1e-2));
  });
});
